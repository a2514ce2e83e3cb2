"""Many small pictures in one JPEG: tile number i stands in row i // columns and column i % columns.

Photographs as PNG were two fifths of all that the repository held (decision 0010). libjpeg-turbo gives the same bytes
on every processor, with and without its vector code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from stages.core import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

COLUMNS = 10
QUALITY = 85
GROUND = 128  # grey beside a picture that is not square: neither of light nor of dark paper


def tile(picture: Image.Image, px: int) -> NDArray[np.uint8]:
    """The picture in a square of `px`, aspect kept, never magnified: uint8 (px, px, 3)."""
    small = picture.convert("RGB")
    small.thumbnail((px, px), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (px, px), (GROUND,) * 3)
    square.paste(small, ((px - small.width) // 2, (px - small.height) // 2))
    return np.asarray(square)


def side(rows: Iterable[Mapping[str, str]], most: int) -> int:
    """The side of tiles in px: the longest side of the pictures in these rows of manifest.csv, at most `most`."""
    return min(most, max((int(row[key]) for row in rows for key in ("width", "height")), default=most))


def tile_of(path: Path, px: int) -> NDArray[np.uint8]:
    """`tile` of a kept picture, which is decoded and dropped: a page may show thousands."""
    with files.picture(path) as picture:
        return tile(picture, px)


def write(path: Path, tiles: list[NDArray[np.uint8]]) -> None:
    """Write tiles, each uint8 (px, px, 3), as one JPEG."""
    px, rows = tiles[0].shape[0], -(-len(tiles) // COLUMNS)
    sheet = np.full((rows * px, min(len(tiles), COLUMNS) * px, 3), GROUND, dtype=np.uint8)
    for index, pixels in enumerate(tiles):
        row, column = divmod(index, COLUMNS)
        sheet[row * px : (row + 1) * px, column * px : (column + 1) * px] = pixels
    with files.atomic(path) as partial:
        # without subsampling, or a tile would take colour from its neighbour
        Image.fromarray(sheet).save(partial, format="JPEG", quality=QUALITY, subsampling=0)
