"""One cell as train left it: its logits, matched to the images and labels of each part of the split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import cells, files, intact
from stages.core.errors import UserError
from stages.evaluate import metrics
from stages.train import data

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Part:
    """The images of train, val or test, in the order of the split."""

    ids: list[str]
    targets: NDArray[np.int64]
    """class indices, (images,)"""
    logits: NDArray[np.float32]
    """(images, classes)"""

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The class of the largest logit of each image, the first of equal ones: (images,)."""
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def log_p(self) -> NDArray[np.float64]:
        """Log-probabilities, (images, classes)."""
        return metrics.log_softmax(self.logits)


@dataclass(frozen=True)
class Trained:
    """What evaluate reads of one variant and seed.

    Attributes:
        classes: the labels in class-index order.
        config: of config.json.
        parts: train, val and test.
    """

    variant: str
    seed: int
    classes: list[str]
    config: dict[str, Any]
    parts: dict[str, Part]


def read(variant: str, seed: int) -> Trained:
    """Read a cell's logits and match them to the split.

    Raises:
        UserError: a file is missing, or the logits do not belong to this split, or they are not finite.
    """
    path = cells.run_folder(variant, seed) / "logits.npz"
    if not path.exists():
        raise files.missing(path)
    images = data.load(seed)
    parts = {}
    archive = intact.arrays(path, cells.PARTS)
    for part, rows in images.rows.items():
        logits = archive[part]
        expected = (len(rows), len(images.classes))
        if logits.shape != expected or logits.dtype != np.float32:
            what, wanted = f"{logits.dtype} of shape {logits.shape}", f"float32 of {expected}"
            raise intact.damaged(path, f"`{part}` is {what}, but {cells.split_file(seed)} asks for {wanted}")
        if not np.isfinite(logits).all():
            raise UserError(
                f"{path}: `{part}` holds values that are not finite: the training of {variant}, seed {seed} "
                f"diverged; try a smaller `lr` for it"
            )
        parts[part] = Part([images.ids[i] for i in rows], images.labels[rows], logits)
    config = files.read_json(cells.train_folder(variant, seed) / "config.json")
    return Trained(variant, seed, images.classes, config, parts)
