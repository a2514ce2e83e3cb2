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

SIDE = 32  # of the thumbnail that is transformed
LOW = 8  # lowest frequencies kept in each direction
ORIENTATIONS = 8
Thumbs = NDArray[np.uint8]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]
UNIT = 127  # length of a vector
_Number = TypeVar("_Number", np.float64, np.int8)
_Pixel = TypeVar("_Pixel", np.uint8, np.float32)
_SIGN = np.where(np.arange(LOW) % 2, -1, 1)
_FREQUENCY = np.sqrt(np.hypot(*np.mgrid[:LOW, :LOW]))  # 0 for the mean brightness, which says nothing
_BASIS = 2 * np.cos(np.pi / (2 * SIDE) * np.outer(np.arange(LOW), 2 * np.arange(SIDE) + 1))
_TIE = 1e-5  # far above the rounding errors of coefficients of up to a million


def centre_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle of a picture."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def thumbnails(image: Image.Image) -> Thumbs:
    """Grey thumbnails of the picture and, where it is not square, of its centre square: uint8 (1 or 2, 32, 32)."""
    grey = image.convert("L")
    crops = [grey] if image.width == image.height else [grey, centre_square(grey)]
    return np.stack([np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for crop in crops])


def luma(pixels: NDArray[np.uint8]) -> Thumbs:
    """Grey of RGB as Pillow rounds it (ITU-R 601-2): uint8 (..., 3) to uint8 (...)."""
    red, green, blue = np.moveaxis(pixels, -1, 0).astype(np.uint32)
    return np.asarray((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16, np.uint8)


def transform(thumbs: Thumbs) -> tuple[Floats, Words]:
    """Coefficients and hashes of thumbnails.

    Args:
        thumbs: uint8 of shape (n, 32, 32).

    Returns:
        The 8x8 lowest DCT-II coefficients, float64 (n, 8, 8), and the hashes in 8 orientations, uint64 (n, 8).
    """
    low = np.asarray(_BASIS @ thumbs.astype(np.float64) @ _BASIS.T)
    words, tied = _threshold(orientations(low))
    close = np.flatnonzero(tied.any(axis=-1))
    if len(close):  # rounding decides their bits, so it must be that of the library that imagehash uses
        from scipy.fftpack import dct  # takes longer to load than a thousand hashes take

        low[close] = dct(dct(thumbs[close], axis=-2), axis=-1)[..., :LOW, :LOW]
        words[close] = _threshold(orientations(low[close]))[0]
    return low, words


def orientations(low: NDArray[_Number]) -> NDArray[_Number]:
    """The same coefficients for the picture in its 8 orientations, in the order of `orient`: (..., 8, 8, 8)."""
    sign = _SIGN.astype(low.dtype)
    flips = [low, low * sign, low * sign[:, None], low * sign * sign[:, None]]
    return np.stack(flips + [np.swapaxes(f, -1, -2) for f in flips], axis=-3)


def _threshold(oriented: Floats) -> tuple[Words, NDArray[np.bool_]]:
    """Compare coefficients (n, 8, 8, 8) with their median, imagehash's first bit the most significant.

    Returns:
        Hashes, uint64 (n, 8), and whether a coefficient is so close to the median that rounding may decide.
    """
    flat = oriented.reshape(*oriented.shape[:2], LOW * LOW)
    ordered = np.sort(flat[:, :4], axis=-1)  # the other four are these transposed: the same values
    below, above = np.tile(ordered[..., LOW * LOW // 2 - 1 : LOW * LOW // 2 + 1], (1, 2, 1)).transpose(2, 0, 1)
    bits = np.packbits(flat > ((below + above) / 2)[..., None], axis=-1)
    return bits.view(">u8")[..., 0].astype(np.uint64), above - below < _TIE


def vectors(low: Floats) -> NDArray[np.int8]:
    """Coefficients (..., 8, 8) as vectors of length 127 for cosines: int8 (..., 64).

    The amplitude of photographs falls as 1/f; weighting by the root of f lets all frequencies count without letting
    noise decide. Whole numbers make every dot product exact, so that no machine proposes other pairs.
    """
    flat = (low * _FREQUENCY).reshape(*low.shape[:-2], LOW * LOW)
    length = np.linalg.norm(flat, axis=-1, keepdims=True)
    return np.asarray(np.rint(UNIT * flat / np.maximum(length, 1e-9)).astype(np.int8))


def orient(pixels: NDArray[_Pixel], orientation: int) -> NDArray[_Pixel]:
    """Turn an array of shape (height, width, ...) into one of the 8 orientations, in the order of `hashes`."""
    if orientation & 1:
        pixels = pixels[:, ::-1]
    if orientation & 2:
        pixels = pixels[::-1]
    return np.swapaxes(pixels, 0, 1) if orientation & 4 else pixels


def contrast(thumbs: Thumbs) -> float:
    """Standard deviation of the grey levels of a whole picture's thumbnail."""
    return float(np.std(thumbs[0]))
