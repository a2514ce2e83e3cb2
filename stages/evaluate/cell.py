"""One cell as train left it: its logits, matched to the images and labels of each split."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import cells, files, intact
from stages.core.errors import UserError
from stages.evaluate import metrics
from stages.train import data

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SPLITS = data.SPLITS


@dataclass(frozen=True)
class Split:
    """The images of one split, in its order: ids, class indices (images,), logits (images, classes), and their files.

    Where nobody looks at a picture, `paths` may be left out.
    """

    ids: list[str]
    targets: NDArray[np.int64]
    logits: NDArray[np.float32]
    paths: list[Path] = field(default_factory=list)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The class of the largest logit of each image, the first of equal ones: (images,)."""
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def log_p(self) -> NDArray[np.float64]:
        """Log-probabilities, (images, classes)."""
        return metrics.log_softmax(self.logits)


@dataclass(frozen=True)
class Cell:
    """What evaluate reads of one variant and seed; `classes` are the labels in class-index order."""

    variant: str
    seed: int
    classes: list[str]
    config: dict[str, Any]
    splits: dict[str, Split]


def read(variant: str, seed: int) -> Cell:
    """Read a cell's logits and match them to the split.

    Raises:
        UserError: a file is missing, or the logits do not belong to this split, or they are not finite.
    """
    path = cells.run_folder(variant, seed) / "logits.npz"
    if not path.exists():
        raise files.missing(path)
    images = data.load(seed)
    splits = {}
    archive = intact.arrays(path, SPLITS)
    for split, rows in images.rows.items():
        logits = archive[split]
        expected = (len(rows), len(images.classes))
        if logits.shape != expected or logits.dtype != np.float32:
            what, wanted = f"{logits.dtype} of shape {logits.shape}", f"float32 of {expected}"
            raise intact.damaged(path, f"`{split}` is {what}, but {cells.split_file(seed)} asks for {wanted}")
        if not np.isfinite(logits).all():
            raise UserError(
                f"{path}: `{split}` holds values that are not finite: the training of {variant}, seed {seed} "
                f"diverged; try a smaller `lr` for it"
            )
        ids, paths = [images.ids[i] for i in rows], [images.paths[i] for i in rows]
        splits[split] = Split(ids, images.labels[rows], logits, paths)
    config = files.read_json(cells.train_folder(variant, seed) / "config.json")
    return Cell(variant, seed, images.classes, config, splits)
