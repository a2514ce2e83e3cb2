"""The first pictures of a cell's first batch as the network got them, and what augmentation made of some of them.

`inputs.jpg` is a sprite of at most 28 tiles of at most 48 px, some 20 kB; `inputs.json` says which
picture a tile shows, and in which epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from stages.core import files, sprite
from stages.train import feed, order
from stages.train.augment import Augmenter
from stages.train.frozen import VIEWS_SEED, view_of
from stages.train.sections import Augment

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.predict import Loaded

BATCH, VIEWED, EPOCHS = 16, 4, 3  # pictures of the batch; how many of them are shown again, in how many epochs
PX = 48  # longest side of a tile; smaller pictures are not magnified


def write(loaded: Loaded, seed: int, folder: Path) -> None:
    """Write inputs.jpg and inputs.json into `folder`: before normalisation, which is no picture any more.

    Augmentation is a function of seed, epoch and image, so the pictures can be made again after training.
    """
    cell, images = loaded.cell, feed.Images(loaded.pixels, loaded.data.training)
    rows = order.permutation(seed, 1, len(images), cell.shuffle_window)[: min(BATCH, cell.batch)]
    shown, pictures = _received(loaded, seed, 1, rows)
    if cell.augmentation != Augment():
        for row in rows[:VIEWED, None]:
            shown.append(_about(loaded, row[0], 0))
            pictures.append(images[row][0])
            for epoch in range(2, min(EPOCHS, cell.total_epochs) + 1):
                about, picture = _received(loaded, seed, epoch, row)
                shown += about
                pictures += picture
    px = min(PX, cell.size)
    files.write_json(folder / "inputs.json", {"px": px, "columns": sprite.COLUMNS, "tiles": shown})
    sprite.write(folder / "inputs.jpg", [sprite.tile(Image.fromarray(picture), px) for picture in pictures])


def _received(
    loaded: Loaded, seed: int, epoch: int, rows: NDArray[np.int64]
) -> tuple[list[dict[str, Any]], list[NDArray[np.uint8]]]:
    """The training images at `rows` in one epoch, and what a tile should say of each."""
    cell, train = loaded.cell, loaded.data.training
    view = (seed, epoch) if cell.views is None else (VIEWS_SEED, view_of(epoch, cell.views))
    augmenter = Augmenter(cell.augmentation, view[0], feed.Images(loaded.pixels, train), cell.shuffle_window)
    x, mixed = augmenter(view[1], rows, torch.from_numpy(loaded.data.labels[train]))
    about = [_about(loaded, row, epoch) for row in rows]
    if mixed is not None:
        for one, label, share in zip(about, mixed.labels.tolist(), mixed.share.tolist(), strict=True):
            one |= {"mixed_with": loaded.data.classes[label], "share": round(share, 3)}
    return about, list(to_bytes(x))


def _about(loaded: Loaded, row: int, epoch: int) -> dict[str, Any]:
    """Epoch 0 is the picture before augmentation."""
    place = loaded.data.training[row]
    return {
        "image_id": loaded.data.ids[place],
        "label": loaded.data.classes[loaded.data.labels[place]],
        "epoch": epoch,
    }


def to_bytes(x: Tensor) -> NDArray[np.uint8]:
    """Augmented images, float32 (n, 3, size, size) of 0 to 255, as pictures: uint8 (n, size, size, 3)."""
    pictures: NDArray[np.uint8] = x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(pictures)
