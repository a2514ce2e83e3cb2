"""Pictures for the report: what the cell was surest of, rightly and wrongly, what it confuses, and a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stages.core import files, seeding, sprite
from stages.evaluate import metrics, tables

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.evaluate.cell import Cell, Split
    from stages.evaluate.params import Samples

    Place = tuple[str, int]  # split, position in it


def write(cell: Cell, settings: Samples, folder: Path) -> None:
    """Write samples.jpg, a sprite, and samples.json, which says what stands in it, into `folder`."""
    chosen = choose(cell, settings)
    tiles = []
    for split, position in chosen:
        with Image.open(cell.splits[split].paths[position]) as picture:
            picture.load()
            tiles.append(picture)
    px = min(settings.px, max((max(picture.size) for picture in tiles), default=settings.px))
    listed = [_describe(cell, place, kinds) for place, kinds in chosen.items()]
    files.write_json(folder / "samples.json", {"px": px, "columns": sprite.COLUMNS, "tiles": listed})
    if tiles:
        sprite.write(folder / "samples.jpg", [sprite.tile(picture, px) for picture in tiles])


def choose(cell: Cell, settings: Samples) -> dict[Place, list[str]]:
    """Which images, and why: `surest_right`, `surest_wrong`, `confused`, `grid` (all test), `suspect` (any unseen)."""
    chosen: dict[Place, list[str]] = {}
    test = cell.splits["test"]
    confidence = np.exp(test.log_p).max(axis=1)

    def add(split: str, positions: NDArray[np.int64], kind: str) -> None:
        for position in positions.tolist():
            chosen.setdefault((split, position), []).append(kind)

    for right, wrong in surest(test, shown_classes(test, len(cell.classes), settings.classes), settings.per_class):
        add("test", right, "surest_right")
        add("test", wrong, "surest_wrong")
    confusion = metrics.confusion_matrix(test.targets, test.predicted, len(cell.classes))
    np.fill_diagonal(confusion, 0)
    for pair in np.argsort(-confusion, axis=None, kind="stable")[: settings.confused]:
        true, other = divmod(int(pair), len(cell.classes))
        inside = np.flatnonzero((test.targets == true) & (test.predicted == other))
        add("test", inside[np.argsort(-confidence[inside], kind="stable")][:1], "confused")
    add("test", seeding.generator(0, "grid").permutation(len(test.ids))[: settings.grid], "grid")
    for split, position in _most_wrong(cell, settings.suspects):
        add(split, np.array([position]), "suspect")
    return chosen


def shown_classes(split: Split, classes: int, most: int) -> list[int]:
    """All classes, or the `most` with the most images, in class order; the same for every cell."""
    support = np.bincount(split.targets, minlength=classes)
    return sorted(np.argsort(-support, kind="stable")[:most].tolist())


def surest(split: Split, classes: list[int], count: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each class, positions of the `count` images predicted rightly, and wrongly, with the highest confidence."""
    order = np.argsort(-np.exp(split.log_p).max(axis=1), kind="stable")
    found = []
    for index in classes:
        inside = order[split.targets[order] == index]
        right = split.predicted[inside] == index
        found.append((inside[right][:count], inside[~right][:count]))
    return found


def _most_wrong(cell: Cell, count: int) -> list[Place]:
    """The `count` unseen images whose own label the cell finds least likely, among those that it gets wrong."""
    found: list[tuple[float, str, int]] = []
    for name in tables.OUT_OF_SAMPLE:
        split = cell.splits[name]
        own = split.log_p[np.arange(len(split.ids)), split.targets]
        wrong = np.flatnonzero(split.predicted != split.targets)
        found += [(float(own[position]), name, int(position)) for position in wrong]
    return [(name, position) for _, name, position in sorted(found)[:count]]


def _describe(cell: Cell, place: Place, kinds: list[str]) -> dict[str, Any]:
    name, position = place
    split = cell.splits[name]
    guess = split.predicted[position]
    return {
        "image_id": split.ids[position],
        "split": name,
        "label": cell.classes[split.targets[position]],
        "predicted": cell.classes[guess],
        "confidence": tables.short(np.exp(split.log_p[position, guess])),
        "kinds": kinds,
    }
