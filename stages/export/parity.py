"""The differences between an ONNX file and torch over the test set, and the cost of int8 on validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.core import cells, intact
from stages.core.console import progress
from stages.core.errors import UserError
from stages.export.graph import IMAGES, OUTPUTS
from stages.train import data, feed, pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.export.graph import Graph
    from stages.train.params import Cell

    Run = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]

SINGLE = "top1_changes_of_single_networks"


class Part:
    """The pictures of one part of the split of a seed, as the network is fed with them, and their class indices."""

    def __init__(self, cell: Cell, seed: int, part: str) -> None:
        found = data.load(seed, by_id=cell.by_id)
        rows = found.rows[part]
        self.cell, self.labels = cell, found.labels[rows]
        self.images = feed.Images(pixels.load(found.paths, cell.size, cell.resize), rows)
        self.paths = [found.paths[row] for row in rows]  # two seeds of one split have the same

    def through(self, run: Run, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits and probabilities of all pictures, in order; `name`: of the bar that shows the progress."""
        chunks = list(feed.chunks(len(self.images), self.cell))
        parts = [run(self.images[chosen]) for chosen in progress(chunks, desc=name)]
        return np.concatenate([one for one, _ in parts]), np.concatenate([one for _, one in parts])


def by_onnx(path: Path) -> Run:
    """Run an ONNX file on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, probabilities = session.run(OUTPUTS, {IMAGES: images})
        return np.asarray(logits), np.asarray(probabilities)

    return run


def by_torch(graph: Graph) -> Run:
    """Run the same networks in torch, in plain float32 on the CPU."""

    @torch.no_grad()
    def run(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, probabilities = graph(torch.from_numpy(images))
        return logits.numpy(), probabilities.numpy()

    return run


def against_torch(graph: Graph, variant: str, seeds: Sequence[int], path: Path) -> dict[str, Any]:
    """The largest differences over the test sets of the seeds, from torch and from the logits of the study.

    The logits of the study may come from another machine, or from another precision than float32.
    """
    here = {"largest_logit_difference": 0.0, "largest_probability_difference": 0.0, "top1_changes": 0, SINGLE: 0}
    stored = {"largest_logit_difference": 0.0, SINGLE: 0}
    run, known, seen = by_onnx(path), by_torch(graph), list[Any]()
    count = 0
    logits: NDArray[np.float32] = np.zeros((0, 0, 0), np.float32)
    for place, seed in enumerate(seeds):
        test = Part(graph.cell, seed, "test")
        if test.paths not in seen:
            seen.append(test.paths)
            count += len(test.images)
            logits, probabilities = test.through(run, f"{path.name} on test")
            own, own_probabilities = test.through(known, "torch on test")
            _largest(here, "largest_logit_difference", logits, own)
            _largest(here, "largest_probability_difference", probabilities, own_probabilities)
            here["top1_changes"] += _changes(probabilities, own_probabilities)
            here[SINGLE] += _changes(logits, own)
        file = cells.run_folder(variant, seed) / "logits.npz"
        study = intact.arrays(file, ["test"])["test"]
        _largest(stored, "largest_logit_difference", logits[:, place], study)
        stored[SINGLE] += _changes(logits[:, place], study)
    return {"test_images": count, "against_torch": here, "against_the_logits_of_the_study": stored}


def refuse_changes(stated: dict[str, Any]) -> None:
    """Refuse an ONNX file that changes a label.

    Raises:
        UserError: one does.
    """
    found = stated["against_torch"]
    if changes := found["top1_changes"] + found[SINGLE]:
        raise UserError(
            f"export: ONNX gives another label than torch {changes} times on {stated['test_images']} "
            f"test pictures (largest difference of logits {found['largest_logit_difference']:.3g}), so nothing was "
            "written; `make predict` and `make register` use torch itself"
        )


def cost(graph: Graph, seeds: Sequence[int], path: Path, small: Path) -> dict[str, Any]:
    """Top-1 on validation of each network on its own split, as a mean over the seeds, before and after int8."""
    scores: dict[str, list[float]] = {"float32": [], "int8": []}
    images = 0
    for place, seed in enumerate(seeds):
        part = Part(graph.cell, seed, "val")
        images = len(part.images)
        for name, file in (("float32", path), ("int8", small)):
            logits, _ = part.through(by_onnx(file), f"{file.name} on validation")
            scores[name].append(float((logits[:, place].argmax(axis=1) == part.labels).mean()))
    means = {f"top1_{name}": float(np.mean(values)) for name, values in scores.items()}
    means["top1_lost"] = means["top1_float32"] - means["top1_int8"]
    return {"validation": {"images": images, **means}}


def sentence(stated: dict[str, Any]) -> str:
    """The main figures of parity.json in a sentence."""
    found = stated["model.onnx"]
    said = (
        f"export/model.onnx: no label differs from torch over the test sets of the seeds ({found['test_images']} "
        f"predictions); the largest difference of a logit is {found['against_torch']['largest_logit_difference']:.2g}"
    )
    if small := stated.get("model.int8.onnx"):
        said += f"; int8 costs {100 * small['validation']['top1_lost']:.2f} points of top-1 on validation"
    return said


def _largest(found: dict[str, Any], key: str, one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    found[key] = max(found[key], float(np.abs(one - other).max(initial=0)))


def _changes(one: NDArray[np.float32], other: NDArray[np.float32]) -> int:
    return int((one.argmax(axis=-1) != other.argmax(axis=-1)).sum())
