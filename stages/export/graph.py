"""The networks of a champion as one ONNX graph: bytes of pictures in, logits and calibrated probabilities out."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn

from stages.core import cells, files
from stages.track.model import Served

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.predict.model import Ensemble

OPSET = 18
IMAGES, OUTPUTS = "images", ["logits", "probabilities"]
_INPUT = (
    "uint8 (n, size, size, 3), RGB: the first frame, upright by its EXIF orientation, transparency on white, 8 bits a "
    "channel, no colour profile applied, then resized by Pillow as `resize` says. Normalisation is inside the graph."
)
_OUTPUT = (
    "logits: float32 (n, networks, classes). probabilities: float32 (n, classes), the mean over the networks of the "
    "softmax of logits / temperature."
)


class Graph(nn.Module):
    """uint8 (n, size, size, 3) to logits (n, networks, classes) and probabilities (n, classes), in plain float32."""

    temperatures: torch.Tensor

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.cell = ensemble.members[0].loaded.cell
        self.networks = nn.ModuleList(Served(member.loaded) for member in ensemble.members)
        heat = torch.tensor([member.temperature for member in ensemble.members], dtype=torch.float32)
        self.register_buffer("temperatures", heat.view(1, -1, 1))
        self.cpu().eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and probabilities."""
        logits = torch.stack([network(images) for network in self.networks], dim=1)
        return logits, torch.softmax(logits / self.temperatures, dim=2).mean(dim=1)


def about(study: str, variant: str, seeds: Sequence[int], ensemble: Ensemble) -> dict[str, str]:
    """The metadata of the file; lists and mappings as JSON."""
    weights = [files.sha256(cells.run_folder(variant, seed) / "model.safetensors") for seed in seeds]
    said = {
        "labels": ensemble.classes,
        "temperatures": [member.temperature for member in ensemble.members],
        "unlike_below": [member.threshold for member in ensemble.members],
        "seeds": list(seeds),
        "resize": ensemble.resize.model_dump(),
        "weights_sha256": weights,
    }
    words = {"study": study, "variant": variant, "size": str(ensemble.size), "input": _INPUT, "output": _OUTPUT}
    return words | {key: json.dumps(value, ensure_ascii=False) for key, value in said.items()}


def write(graph: Graph, path: Path, metadata: dict[str, str]) -> None:
    """Write the graph; the first axis of its input is free."""
    import onnx

    example = torch.zeros(2, graph.cell.size, graph.cell.size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter that replaces this one needs onnxscript, which is not in the pinned set.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        torch.onnx.export(
            graph, (example,), str(path), input_names=[IMAGES], output_names=OUTPUTS, opset_version=OPSET,
            dynamic_axes={name: {0: "n"} for name in (IMAGES, *OUTPUTS)}, dynamo=False,
        )  # fmt: skip
    made = onnx.load(path)
    onnx.helper.set_model_props(made, metadata)
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)
