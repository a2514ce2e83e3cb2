"""What changed test images cost: accuracy under each change, measured as the clean accuracy is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics as sk

from stages.core import console, files, seeding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.evaluate.params import Robustness
    from stages.train.feed import Images
    from stages.train.frozen import Cut

COLUMNS = ["transform", "strength", "n", "changed", "top1", "macro_f1"]


def write(
    cell: Cut,
    images: Images,
    clean: NDArray[np.float32],
    targets: NDArray[np.int64],
    settings: Robustness,
    folder: Path,
) -> None:
    """Write robustness.csv into `folder`; its first row, `none`, is the unchanged images.

    Args:
        cell: gives the logits.
        images: the test images.
        clean: their logits as they are, (images, classes).
        targets: their classes, (images,).
        settings: which changes, how strong, on how many images.
        folder: where to.
    """
    files.write_rows(folder / "robustness.csv", COLUMNS, rows(cell, images, clean, targets, settings))


def rows(
    cell: Cut, images: Images, clean: NDArray[np.float32], targets: NDArray[np.int64], settings: Robustness
) -> list[dict[str, Any]]:
    """The rows of robustness.csv.

    `changed` is the fraction of images of which any pixel differs: a change that reached no image shows there. The
    strength that changes no pixel is not computed: its row holds the clean figures.
    """
    from stages.evaluate import moved, transforms
    from stages.train.feed import Images

    chosen = _subset(len(images), settings.images)
    images, targets = Images(images.pixels, images.rows[chosen]), targets[chosen]
    unchanged = _figures(clean[chosen], targets, 0.0)
    found = [{"transform": "none", "strength": None, **unchanged}]
    for name, strength in console.progress(
        list(_plan(settings, transforms.IDENTITY)), desc="robustness", unit="setting"
    ):
        row = unchanged if strength == transforms.IDENTITY[name] else None
        if row is None:
            logits, changed = moved.logits(cell, images, name, strength)
            row = _figures(logits, targets, changed)
        found.append({"transform": name, "strength": strength, **row})
    return found


def _plan(settings: Robustness, identity: dict[str, float | None]) -> Iterator[tuple[str, float]]:
    flip = [1.0] if settings.flip else []
    for name, unchanged in identity.items():
        strengths = flip if name.endswith("_flip") else list(getattr(settings, name))
        if strengths and unchanged is not None:
            yield name, unchanged
        yield from ((name, strength) for strength in strengths if strength != unchanged)


def _figures(logits: NDArray[np.float32], targets: NDArray[np.int64], changed: float) -> dict[str, Any]:
    guess = logits.argmax(axis=1)
    return {
        "n": len(targets),
        "changed": changed,
        "top1": float(sk.accuracy_score(targets, guess)),
        "macro_f1": float(sk.f1_score(targets, guess, average="macro", zero_division=0)),
    }


def _subset(count: int, most: int | None) -> NDArray[np.int64]:
    """All images, or `most` of them, the same for every cell, in their order."""
    if most is None or most >= count:
        return np.arange(count)
    return np.sort(seeding.generator(0, "robustness").permutation(count)[:most])
