"""The images that `clean` has kept, with their labels, in the parts and the order of `split`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.core import cells, files, intact
from stages.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLEAN, CLASSES = Path("data/clean"), cells.SPLIT / "classes.json"


@dataclass(frozen=True)
class Data:
    """The images of a study; arrays run in the order in which their pixels are stored."""

    classes: list[str]
    ids: list[str]
    paths: list[Path]
    labels: NDArray[np.int64]
    """(images,) class index"""
    rows: dict[str, NDArray[np.int64]]
    """split -> positions of its images, in the order of the split"""

    @cached_property
    def training(self) -> NDArray[np.int64]:
        """Positions of the training images, in the order in which their pixels are stored."""
        return np.sort(self.rows["train"])

    @property
    def prior(self) -> list[float]:
        """Fraction of each class in the training images."""
        counts = np.bincount(self.labels[self.rows["train"]], minlength=len(self.classes))
        return [float(n) for n in counts / counts.sum()]


def load(seed: int, *, by_id: bool = False) -> Data:
    """Read the manifest, the split of the cells of `seed`, and the classes.

    Args:
        seed: of the cells.
        by_id: store the pixels in the order of the ids, which begin with the SHA-256 of the pictures, so that the
            classes are mixed; else in the order of the split, which is one class after the other.

    Raises:
        UserError: a file is missing, an image of the split has no row in the manifest, or a path leads out of
            data/clean/images.
    """
    manifest = {row["image_id"]: row for row in files.read_rows(CLEAN / "manifest.csv")}
    path = cells.split_file(seed)
    split = files.read_rows(path)
    order = np.argsort([row["image_id"] for row in split]) if by_id else np.arange(len(split))
    classes: list[str] = files.read_json(CLASSES, list[str])
    index = {name: i for i, name in enumerate(classes)}
    try:
        rows = [manifest[row["image_id"]] for row in split]
        paths = [intact.inside(CLEAN / "manifest.csv", "images", row["path"]) for row in rows]
        labels = np.array([index[row["label"]] for row in rows], dtype=np.int64)
    except KeyError as error:
        raise UserError(f"{path} and {CLEAN}/manifest.csv disagree about {error}; run `dvc repro`") from None
    names, place = np.array([row["split"] for row in split]), np.argsort(order)
    positions = {name: place[names == name] for name in cells.PARTS}
    return Data(classes, [rows[k]["image_id"] for k in order], [paths[k] for k in order], labels[order], positions)
