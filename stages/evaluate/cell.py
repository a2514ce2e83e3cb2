"""One cell as train left it: its logits, matched to the images and labels of each split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import cells, files, intact
from stages.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS = ("train", "val", "test")
MANIFEST, CLASSES = Path("data/clean/manifest.csv"), cells.SPLIT / "classes.json"


@dataclass(frozen=True)
class Split:
    """The images of one split, in the order of its file: ids, class indices (images,) and logits (images, classes)."""

    ids: list[str]
    targets: NDArray[np.int64]
    logits: NDArray[np.float32]


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
        raise UserError(f"{path} is not here; `dvc repro -s train@{variant}-{seed}` makes it, `dvc pull` fetches it")
    classes: list[str] = files.read_json(CLASSES, list[str])
    index = {label: number for number, label in enumerate(classes)}
    label = {row["image_id"]: row["label"] for row in files.read_rows(MANIFEST)}
    ids: dict[str, list[str]] = {split: [] for split in SPLITS}
    for row in files.read_rows(cells.split_file(seed)):
        ids.setdefault(row["split"], []).append(row["image_id"])
    if set(ids) > set(SPLITS):
        raise intact.damaged(cells.split_file(seed), f"it names other parts than {', '.join(SPLITS)}")
    splits = {}
    archive = intact.arrays(path, SPLITS)
    for split, logits in archive.items():
        expected = (len(ids[split]), len(classes))
        if logits.shape != expected:
            raise UserError(
                f"{path}: `{split}` has shape {logits.shape} but {cells.split_file(seed)} asks for {expected}; the "
                f"split changed after training: run `dvc repro train@{variant}-{seed}`"
            )
        if logits.dtype != np.float32:
            raise intact.damaged(path, f"`{split}` is {logits.dtype}, not float32")
        if not np.isfinite(logits).all():
            raise UserError(
                f"{path}: `{split}` holds values that are not finite: the training of {variant}, seed {seed} "
                f"diverged; try a smaller `lr` for it"
            )
        try:
            targets = np.array([index[label[image]] for image in ids[split]], dtype=np.int64)
        except KeyError as error:
            raise UserError(
                f"{cells.split_file(seed)}, {CLASSES} and {MANIFEST} disagree about {error}; run `dvc repro split`"
            ) from None
        splits[split] = Split(ids[split], targets, logits)
    config = files.read_json(cells.train_folder(variant, seed) / "config.json")
    return Cell(variant, seed, classes, config, splits)
