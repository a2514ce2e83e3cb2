"""The first pictures of a cell's first batch as the network got them, and what augmentation made of some of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from stages.core import files, sprite
from stages.train import data, feed, machine, order, pixels
from stages.train.augment import Augmenter
from stages.train.frozen import VIEWS_SEED, view_of
from stages.train.params import Cell
from stages.train.sections import Augment

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

BATCH, VIEWED, LAST_EPOCH = 16, 4, 3  # pictures of the first batch; those that are shown again, until which epoch
PX = 48  # longest side of a tile; smaller pictures are not magnified
KEYS = ("augment", "size", "resize", "views", "shuffle_window")  # settings that change the first batch


def write(trained: dict[str, dict[str, Any]], seed: int, folder: Path) -> None:
    """Write inputs_<variant>.json and .jpg into `folder`, for the first of the variants that are fed alike.

    Args:
        trained: variant -> its settings, as config.json holds them.
        seed: of the cells that are shown.
        folder: where to.
    """
    cells = {variant: Cell.model_validate(settings) for variant, settings in trained.items()}
    alike: dict[str, list[str]] = {}
    for variant, cell in cells.items():
        same = [*map(trained[variant].get, KEYS), min(BATCH, cell.batch), min(LAST_EPOCH, cell.total_epochs)]
        alike.setdefault(str(same), []).append(variant)
    load = functools.cache(data.load)
    for variants in alike.values():
        cell = cells[variants[0]]
        # One instruction set on every machine; the pictures are made on the processor, whatever trains the cells.
        machine.prepare(cell.model_copy(update={"instruction_set": "portable", "device": "cpu"}))
        shown, pictures = fed(cell, seed, load(seed, by_id=cell.by_id))
        px = min(PX, cell.size)
        about = {"variants": variants, "px": px, "columns": sprite.COLUMNS, "tiles": shown}
        files.write_json(folder / f"inputs_{variants[0]}.json", about)
        tiles = [sprite.tile(Image.fromarray(picture), px) for picture in pictures]
        sprite.write(folder / f"inputs_{variants[0]}.jpg", tiles)


def fed(cell: Cell, seed: int, images: data.Data) -> tuple[list[dict[str, Any]], list[NDArray[np.uint8]]]:
    """The input of a network before normalisation, for the tiles of a sprite.

    First come up to 16 pictures of the first batch. With augmentation the first four of them follow without it (epoch
    0) and in later epochs. Augmentation is a function of seed, epoch and image, so it can be repeated after training.

    Returns:
        image_id, label and epoch of each picture, and the pictures, uint8 (size, size, 3).
    """
    rows = order.permutation(seed, 1, len(images.training), cell.shuffle_window)[: min(BATCH, cell.batch)]
    source = feed.Images(Decoded(images.paths, cell), images.training)  # type: ignore[arg-type]
    shown, pictures = _received(cell, images, source, seed, 1, rows)
    if cell.augmentation != Augment():
        for row in rows[:VIEWED, None]:
            shown.append(_about(images, row[0], 0))
            pictures.append(source[row][0])
            for epoch in range(2, min(LAST_EPOCH, cell.total_epochs) + 1):
                about, picture = _received(cell, images, source, seed, epoch, row)
                shown += about
                pictures += picture
    return shown, pictures


@dataclass(frozen=True)
class Decoded:
    """The pixels of a study as train stores them, decoded when they are asked for: a page needs few of them."""

    paths: list[Path]
    cell: Cell

    @property
    def shape(self) -> tuple[int, ...]:
        """Images, height, width, channels."""
        return len(self.paths), self.cell.size, self.cell.size, 3

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        found = []
        for row in rows:
            with files.picture(self.paths[row]) as picture:
                found.append(np.asarray(pixels.square(picture, self.cell.size, self.cell.resize)))
        return np.stack(found)


def _received(
    cell: Cell, images: data.Data, source: feed.Images, seed: int, epoch: int, rows: NDArray[np.int64]
) -> tuple[list[dict[str, Any]], list[NDArray[np.uint8]]]:
    """The training images at `rows` in one epoch: image_id, label and epoch of each, and the pictures."""
    view = (seed, epoch) if cell.views is None else (VIEWS_SEED, view_of(epoch, cell.views))
    augmenter = Augmenter(cell.augmentation, view[0], source, cell.shuffle_window)
    x, mixed = augmenter(view[1], rows, torch.from_numpy(images.labels[images.training]))
    about = [_about(images, row, epoch) for row in rows]
    if mixed is not None:
        for one, label, share in zip(about, mixed.labels.tolist(), mixed.share.tolist(), strict=True):
            one |= {"mixed_with": images.classes[label], "share": round(share, 3)}
    return about, list(to_bytes(x))


def _about(images: data.Data, row: int, epoch: int) -> dict[str, Any]:
    """Epoch 0 is the picture before augmentation."""
    place = images.training[row]
    return {"image_id": images.ids[place], "label": images.classes[images.labels[place]], "epoch": epoch}


def to_bytes(x: Tensor) -> NDArray[np.uint8]:
    """Augmented images, float32 (n, 3, size, size) of 0 to 255, as pictures: uint8 (n, size, size, 3)."""
    pictures: NDArray[np.uint8] = x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(pictures)
