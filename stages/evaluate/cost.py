"""What a network costs: parameters, multiply-accumulates, bytes; and, outside of what is locked, milliseconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.core import cells, files

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from stages.evaluate.cell import Trained

LARGE = 16  # images in a large batch
SECONDS = 0.5  # repeat until so much time went by


def write(trained: Trained, network: torch.nn.Module, inputs: Tensor, folder: Path) -> None:
    """Write cost.json into `folder`.

    Args:
        trained: whose weights are counted.
        network: in evaluation mode.
        inputs: normalised images, float32 (at least 1, 3, height, width), on the device of the network.
        folder: of the cell's results.
    """
    files.write_json(
        folder / "cost.json",
        {
            "params_total": trained.config["params_total"],
            "params_trainable": trained.config["params_trainable"],
            "macs": macs(network, inputs[:1]),
            "bytes": (cells.run_folder(trained.variant, trained.seed) / "model.safetensors").stat().st_size,
        },
    )


@torch.no_grad()
def macs(network: torch.nn.Module, image: Tensor) -> int:
    """Multiply-accumulates for one image: convolutions, matrix products, attention; half of torch's count of FLOPs."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(image)
    return int(counter.get_total_flops()) // 2


def time_inference(trained: Trained, network: torch.nn.Module, image: Tensor) -> None:
    """Write timings/<variant>/<seed>.inference.json: ms per image, one at a time and in a large batch, by device.

    It stands outside of what DVC locks: it never comes out twice.
    """
    home = image.device
    devices = [torch.device("cpu")] + ([home] if home.type != "cpu" else [])
    found = {device.type: _time(network.to(device), image[:1].to(device)) for device in devices}
    network.to(home)
    place = cells.timing_file(trained.variant, trained.seed).with_suffix(".inference.json")
    files.write_json(place, {"batch": LARGE, "threads": torch.get_num_threads(), "ms_per_image": found})


@torch.no_grad()
def _time(network: torch.nn.Module, image: Tensor) -> dict[str, Any]:
    result: dict[str, Any] = {"device": _name(image.device)}
    for key, batch in (("batch_1", image), ("batch_large", image.expand(LARGE, -1, -1, -1).contiguous())):
        network(batch)  # the first call pays for what later ones find ready
        taken: list[float] = []
        while sum(taken) < SECONDS:
            _wait(image.device)
            start = time.perf_counter()
            network(batch)
            _wait(image.device)
            taken.append(time.perf_counter() - start)
        result[key] = float(np.median(taken)) * 1000 / len(batch)
    return result


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.backends.cpu.get_cpu_capability()})"
