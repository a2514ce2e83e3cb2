"""Perceptual hashes: 64-bit pHash of a picture and of its centre square, each in the 8 orientations of a square.

The same 64 DCT coefficients also serve as a vector: their cosine is a finer measure than the bits (`vectors`).

The first of the 16 is bit for bit `imagehash.phash` of the normalised picture. A mirrored thumbnail has the same DCT
with signs changed, a transposed one the transposed DCT, so the other orientations cost one median each and no further
DCT.

pHash: C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010, as imagehash computes it.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fftpack import dct  # the one imagehash uses: another library differs in the last bit of flat pictures

SIDE = 32  # of the thumbnail that is transformed
LOW = 8  # lowest frequencies kept in each direction
ORIENTATIONS = 8
Thumbs = NDArray[np.uint8]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]
UNIT = 127  # length of a vector
_Number = TypeVar("_Number", np.float64, np.int8)
_SIGN = np.where(np.arange(LOW) % 2, -1, 1)
_FREQUENCY = np.sqrt(np.hypot(*np.mgrid[:LOW, :LOW]))  # 0 for the mean brightness, which says nothing
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


def low_frequencies(thumbs: Thumbs) -> Floats:
    """The 8x8 lowest DCT-II coefficients of thumbnails: uint8 (..., 32, 32) to float64 (..., 8, 8)."""
    return np.asarray(dct(dct(thumbs, axis=-2), axis=-1)[..., :LOW, :LOW])


def orientations(low: NDArray[_Number]) -> NDArray[_Number]:
    """The same coefficients for the picture in its 8 orientations, in the order of `orient`: (..., 8, 8, 8)."""
    sign = _SIGN.astype(low.dtype)
    flips = [low, low * sign, low * sign[:, None], low * sign * sign[:, None]]
    return np.stack(flips + [np.swapaxes(f, -1, -2) for f in flips], axis=-3)


def hashes(low: Floats) -> Words:
    """Threshold coefficients (..., 8, 8) at their median: uint64 (...), imagehash's first bit the most significant."""
    flat = low.reshape(*low.shape[:-2], LOW * LOW)
    bits = flat > np.median(flat, axis=-1, keepdims=True)
    return np.asarray((bits * _WEIGHTS).sum(axis=-1, dtype=np.uint64))


def vectors(low: Floats) -> NDArray[np.int8]:
    """Coefficients (..., 8, 8) as vectors of length 127 for cosines: int8 (..., 64).

    The amplitude of photographs falls as 1/f; weighting by the root of f lets all frequencies count without letting
    noise decide. Whole numbers make every dot product exact, so that no machine proposes other pairs.
    """
    flat = (low * _FREQUENCY).reshape(*low.shape[:-2], LOW * LOW)
    length = np.linalg.norm(flat, axis=-1, keepdims=True)
    return np.asarray(np.rint(UNIT * flat / np.maximum(length, 1e-9)).astype(np.int8))


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
