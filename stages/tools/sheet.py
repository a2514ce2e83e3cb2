"""`python -m stages.tools.sheet out.png [--size 96]`: what each augmentation preset does to pictures of this study."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw

from stages.core import errors, files, params
from stages.pictures.inputs import to_bytes
from stages.train import data, pixels
from stages.train.augment import Augmenter
from stages.train.feed import Images
from stages.train.presets import AUGMENT
from stages.train.sections import Augment, Resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PICTURES, _EPOCHS, _GAP, _LABEL = 3, 3, 4, 150  # px; each row shows so many pictures, in so many epochs
MORE = {
    "mixup": Augment(mixup=0.4),
    "cutmix": Augment(cutmix=1.0),
}


def sheet(stored: NDArray[np.uint8], rows: NDArray[np.int64]) -> Image.Image:
    """One row per preset.

    Args:
        stored: uint8 (n, size, size, 3).
        rows: the training images; the first ones are shown.
    """
    size, images = stored.shape[1], Images(stored, rows)
    shown = np.linspace(0, len(rows) - 1, _PICTURES).astype(np.int64)
    presets = AUGMENT | MORE
    page = Image.new("RGB", (_LABEL + _PICTURES * _EPOCHS * (size + _GAP), len(presets) * (size + _GAP)), "white")
    draw = ImageDraw.Draw(page)
    for line, (name, settings) in enumerate(presets.items()):
        draw.text((_GAP, line * (size + _GAP) + size // 2 - 8), name, fill="black", font_size=14)
        augmenter = Augmenter(settings, 0, images)
        for epoch in range(_EPOCHS):
            x, _ = augmenter(epoch + 1, shown, torch.zeros(len(rows), dtype=torch.int64))
            for i, tile in enumerate(to_bytes(x)):
                left = _LABEL + (i * _EPOCHS + epoch) * (size + _GAP)
                page.paste(Image.fromarray(tile), (left, line * (size + _GAP)))
    return page


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(prog="python -m stages.tools.sheet", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=96, help="px")
    chosen = parser.parse_args()
    images = data.load(params.read().seeds[0])
    training = images.rows["train"]
    stored = pixels.load([images.paths[i] for i in training], chosen.size, Resize())
    with files.atomic(chosen.out) as partial:
        sheet(stored, np.arange(len(training))).save(partial)


if __name__ == "__main__":
    errors.run(main)
