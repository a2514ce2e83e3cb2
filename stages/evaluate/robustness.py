"""What changed test images cost: accuracy under each change, measured as the clean accuracy is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import console, files, seeding
from stages.evaluate import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.evaluate.params import Robustness

    Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

COLUMNS = ["transform", "strength", "n", "changed", "top1", "macro_f1"]


def write(
    predict: Predict, images: NDArray[np.uint8], targets: NDArray[np.int64], settings: Robustness, folder: Path
) -> None:
    """Write robustness.csv into `folder`; its first row, `none`, is the unchanged images.

    Args:
        predict: from uint8 (images, height, width, 3) to logits (images, classes).
        images: the test images, uint8 (images, height, width, 3).
        targets: their classes, (images,).
        settings: which changes, how strong, on how many images.
        folder: where to.
    """
    files.write_rows(folder / "robustness.csv", COLUMNS, rows(predict, images, targets, settings))


def rows(
    predict: Predict, images: NDArray[np.uint8], targets: NDArray[np.int64], settings: Robustness
) -> list[dict[str, Any]]:
    """The rows of robustness.csv.

    `changed` is the fraction of images of which any pixel differs: a change that reached no image shows there. Where
    none does, the clean logits are taken, which are equal to the bit.
    """
    import torch

    from stages.evaluate import transforms

    chosen = _subset(len(images), settings.images)
    images, targets = images[chosen], targets[chosen]
    clean = predict(images)
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous()
    found = [_row("none", None, clean, targets, 0.0)]
    for name, strength in console.progress(
        list(_plan(settings, transforms.IDENTITY)), desc="robustness", unit="setting"
    ):
        moved = transforms.apply(name, tensor, strength).permute(0, 2, 3, 1).contiguous().numpy()
        changed = (moved != images).reshape(len(images), -1).any(axis=1)
        logits = predict(moved) if changed.any() else clean
        found.append(_row(name, strength, logits, targets, float(changed.mean())))
    return found


def _plan(settings: Robustness, identity: dict[str, float | None]) -> Iterator[tuple[str, float]]:
    flip = [1.0] if settings.flip else []
    for name, unchanged in identity.items():
        strengths = flip if name.endswith("_flip") else list(getattr(settings, name))
        if strengths and unchanged is not None:
            yield name, unchanged
        yield from ((name, strength) for strength in strengths if strength != unchanged)


def _row(
    name: str, strength: float | None, logits: NDArray[np.float32], targets: NDArray[np.int64], changed: float
) -> dict[str, Any]:
    guess = logits.argmax(axis=1).astype(np.int64)
    values = metrics.from_confusion(metrics.confusion_matrix(targets, guess, logits.shape[1]))
    return {
        "transform": name,
        "strength": strength,
        "n": len(targets),
        "changed": changed,
        "top1": values["top1"],
        "macro_f1": values["macro_f1"],
    }


def _subset(count: int, most: int | None) -> NDArray[np.int64]:
    """All images, or `most` of them, the same for every cell, in their order."""
    if most is None or most >= count:
        return np.arange(count)
    return np.sort(seeding.generator(0, "robustness").permutation(count)[:most])
