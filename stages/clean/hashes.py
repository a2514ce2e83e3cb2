"""Perceptual hashes: 64-bit pHash of a picture and of its centre square, each in the 8 orientations of a square.

The first of the 16 is bit for bit `imagehash.phash` of the normalised picture. A mirrored thumbnail has the same DCT
with signs changed, a transposed one the transposed DCT, so the other orientations cost one median each and no further
DCT.

pHash: C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010, as imagehash computes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fftpack import dct  # the one imagehash uses: another library differs in the last bit of flat pictures

SIDE = 32  # of the thumbnail that is transformed
LOW = 8  # lowest frequencies kept in each direction
ORIENTATIONS = 8
Thumbs = NDArray[np.uint8]
Words = NDArray[np.uint64]
_SIGN = np.where(np.arange(LOW) % 2, -1.0, 1.0)
_WEIGHTS = np.uint64(1) << np.arange(LOW * LOW - 1, -1, -1, dtype=np.uint64)


def centre_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle of a picture."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def thumbnails(image: Image.Image) -> Thumbs:
    """Grey thumbnails of the picture and of its centre square: uint8 of shape (2, 32, 32)."""
    grey = image.convert("L")
    whole = grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    if image.width == image.height:
        return np.stack([np.asarray(whole)] * 2)
    centre = centre_square(grey).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.stack([np.asarray(whole), np.asarray(centre)])


def hashes(thumbs: Thumbs) -> Words:
    """Hash thumbnails in the 8 orientations of `orient`.

    Args:
        thumbs: uint8 of shape (..., 32, 32).

    Returns:
        uint64 of shape (..., 8); the most significant bit is the first of imagehash's rows.
    """
    low = dct(dct(thumbs, axis=-2), axis=-1)[..., :LOW, :LOW]
    # the order of `orient`: bit 0 mirrors left to right, bit 1 turns upside down, bit 2 transposes afterwards
    flips = [low, low * _SIGN, low * _SIGN[:, None], low * _SIGN * _SIGN[:, None]]
    all_eight = np.stack(flips + [np.swapaxes(f, -1, -2) for f in flips], axis=-3)
    flat = all_eight.reshape(*all_eight.shape[:-2], LOW * LOW)
    bits = flat > np.median(flat, axis=-1, keepdims=True)
    return np.asarray((bits * _WEIGHTS).sum(axis=-1, dtype=np.uint64))


def orient(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn an array of shape (height, width, ...) into one of the 8 orientations, in the order of `hashes`."""
    if orientation & 1:
        pixels = pixels[:, ::-1]
    if orientation & 2:
        pixels = pixels[::-1]
    return np.swapaxes(pixels, 0, 1) if orientation & 4 else pixels


def contrast(thumbs: Thumbs) -> float:
    """Standard deviation of the grey levels of a whole picture's thumbnail."""
    return float(np.std(thumbs[0]))
