"""One cell from its settings to its files."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.core import cells, files
from stages.core.errors import UserError
from stages.train import checkpoint, data, feed, losses, machine, normalise, pixels, predict, zoo
from stages.train.loop import Stage, Trainer
from stages.train.predict import Loaded

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.params import Cell
    from stages.train.sections import Phase

_HISTORY = ["epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1"]


def run(cell: Cell, variant: str, seed: int) -> None:
    """Train a cell and write its outputs; an interrupted cell goes on where it was.

    Raises:
        UserError: what the user can put right, in data or settings.
    """
    begin = time.perf_counter()
    device = machine.prepare(cell)
    images = data.load()
    if cell.checkpoint != "last" and not len(images.rows["val"]):
        raise UserError(f"params.yaml: `checkpoint: {cell.checkpoint}` needs validation images; `split.val` gives none")
    stored = pixels.load(images.paths, cell.size, cell.resize)
    described = machine.describe(cell, device)
    fingerprint = checkpoint.fingerprint(cell, seed, pixels.key(images.paths, cell.size, cell.resize), described)
    network = zoo.build(cell.model, len(images.classes), cell.size, seed, images.prior)
    total, trainable = zoo.counts(network)
    training = feed.Images(stored, images.rows["train"])
    loaded = Loaded(
        network.to(device),
        normalise.fit(cell, training).to(device),
        cell, images, stored, device,
    )  # fmt: skip
    trainer = _trainer(loaded, seed, f"{variant}-{seed}")
    saved = checkpoint.Checkpoint(fingerprint)
    trainer.fit(lambda phase: _stage(phase, loaded, seed), saved)
    fitted = time.perf_counter()
    config = {
        "variant": variant,
        "seed": seed,
        "cell": cell.model_dump(),
        "classes": images.classes,
        "images": {name: len(rows) for name, rows in images.rows.items()},
        "params_total": total,
        "params_trainable": trainable,
        "best_epoch": trainer.progress.best_epoch,
        "epochs_run": trainer.progress.epoch,
        "normalisation": loaded.normaliser.describe(),
        "machine": described,
        "fingerprint": fingerprint,
    }
    _write(loaded, trainer, config, variant, seed)
    files.write_json(cells.timing_file(variant, seed), _timings(trainer, begin, fitted, device))
    saved.remove()


def _trainer(loaded: Loaded, seed: int, name: str) -> Trainer:
    images, device = loaded.data, loaded.device
    labels = {s: torch.from_numpy(images.labels[images.rows[s]]).to(device) for s in ("train", "val")}
    weights = losses.class_weights(loaded.cell.loss, images.labels[images.rows["train"]], images.classes)
    return Trainer(loaded.cell, seed, loaded.network, labels, weights.to(device) if weights is not None else None, name)


def _stage(_phase: Phase, loaded: Loaded, seed: int) -> Stage:
    cell = loaded.cell
    training, validation = (feed.Images(loaded.pixels, loaded.data.rows[s]) for s in ("train", "val"))
    live = feed.Live(training, cell.augmentation, loaded.normaliser, seed, loaded.device)
    return Stage(loaded.network, live, lambda: _logits(loaded, validation))


def _logits(loaded: Loaded, images: feed.Images) -> Tensor:
    parts = [predict.forward(loaded, x) for x in predict.normalised(loaded, images)]
    return torch.cat(parts) if parts else torch.zeros(0, len(loaded.classes))


def _write(loaded: Loaded, trainer: Trainer, config: dict[str, Any], variant: str, seed: int) -> None:
    from safetensors.torch import save_file

    logits: dict[str, NDArray[np.float32]] = {
        split: _logits(loaded, feed.Images(loaded.pixels, rows)).cpu().numpy()
        for split, rows in loaded.data.rows.items()
    }
    tensors = loaded.network.state_dict() | loaded.normaliser.tensors()
    folder = cells.run_folder(variant, seed)
    with files.atomic(folder / "model.safetensors") as partial:  # without metadata: their order is not stable
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, partial)
    with files.atomic(folder / "logits.npz") as partial:
        np.savez(partial, **logits)  # type: ignore[arg-type]
    with files.fresh_folder(cells.train_folder(variant, seed)) as partial:
        files.write_json(partial / "config.json", config)
        files.write_rows(partial / "history.csv", _HISTORY, trainer.progress.history)


def _timings(trainer: Trainer, begin: float, fitted: float, device: torch.device) -> dict[str, Any]:
    """Seconds and hardware; the first epoch stands apart, since it pays for what is only made once."""
    seconds, peak = trainer.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "epochs_here": len(seconds),
        "epoch_seconds_first": seconds[0] if seconds else None,
        "epoch_seconds_median": float(np.median(seconds[1:])) if seconds[1:] else None,
        "epoch_seconds": seconds,
        "seconds_to_fit": fitted - begin,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time(),
        "peak_memory_bytes": peak,
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
        "hardware": _hardware(device),
    }


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        import platform

        return platform.processor() or platform.machine()
