"""A 64-bit perceptual hash and the low frequencies of a picture, each in the 8 orientations of a square.

The hash is `imagehash.phash` (C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
Mirroring a picture changes the sign of the odd columns of its cosine transform, turning it over the sign of the odd
rows. A bit of the hash says whether a coefficient is above the median, which is near 0, so a turned picture has the
hash with those bits flipped, but for a few. The low frequencies are exact in every orientation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import imagehash
import numpy as np
from PIL import Image
from scipy import fft

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIDE = 32  # px of the grey thumbnail that is transformed
LOW = 8  # lowest frequencies kept in each direction
ORIENTATIONS = 8
INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)  # of an orientation: what turns the picture back
UNIT = 127  # length of a vector of low frequencies
_Kind = TypeVar("_Kind", np.bool_, np.int8)
_ODD = np.arange(LOW) % 2 == 1
_FREQUENCY = np.sqrt(np.hypot(*np.mgrid[:LOW, :LOW]))  # 0 for the mean brightness, which says nothing


def thumbnail(image: Image.Image) -> Image.Image:
    """A grey thumbnail of 32x32 px."""
    return image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def phash(thumb: Image.Image) -> int:
    """The hash of a grey thumbnail; the first bit of imagehash is the most significant."""
    return int(str(imagehash.phash(thumb)), 16)


def vector(thumb: Image.Image) -> NDArray[np.int8]:
    """Low frequencies of a grey thumbnail as a vector of length 127 for cosines: int8 (64,).

    The amplitude of photographs falls as 1/f; weighting by the root of f lets all frequencies count without letting
    noise decide. Whole numbers make every dot product exact, so that no machine proposes other pairs.
    """
    low = (fft.dctn(np.asarray(thumb, np.float64), norm="ortho")[:LOW, :LOW] * _FREQUENCY).ravel()
    return np.asarray(np.rint(UNIT * low / max(float(np.linalg.norm(low)), 1e-9)), np.int8)


def turned_words(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes (n,) in the 8 orientations of `orient`, (n, 8), up to a few bits."""
    bits = np.unpackbits(words.astype(">u8").view(np.uint8)).reshape(-1, LOW, LOW).astype(bool)
    turned = [_turn(bits, k, np.logical_xor) for k in range(ORIENTATIONS)]
    packed = np.packbits(np.stack(turned, axis=1).reshape(len(words), ORIENTATIONS, -1), axis=-1)
    return np.asarray(np.ascontiguousarray(packed).view(">u8")[..., 0], np.uint64)


def turned_vector(vectors: NDArray[np.int8], orientation: int) -> NDArray[np.int8]:
    """Vectors (n, 64) of the pictures in one of the 8 orientations of `orient`."""
    square = vectors.reshape(-1, LOW, LOW)
    return np.ascontiguousarray(_turn(square, orientation, _negate)).reshape(-1, LOW * LOW)


def orient(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn an array (height, width, ...): bit 1 mirrors, bit 2 turns upside down, bit 4 swaps axes, in this order."""
    if orientation & 1:
        pixels = pixels[:, ::-1]
    if orientation & 2:
        pixels = pixels[::-1]
    return np.swapaxes(pixels, 0, 1) if orientation & 4 else pixels


def _negate(values: NDArray[np.int8], where: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.where(where, -values, values).astype(np.int8)


def _turn(
    square: NDArray[_Kind], orientation: int, change: Callable[[NDArray[_Kind], NDArray[np.bool_]], NDArray[_Kind]]
) -> NDArray[_Kind]:
    """Change the odd columns and rows of arrays (..., 8, 8) as a turned picture does."""
    odd = np.broadcast_to(_ODD, (LOW, LOW))
    if orientation & 1:
        square = change(square, odd)
    if orientation & 2:
        square = change(square, odd.T)
    return np.swapaxes(square, -1, -2) if orientation & 4 else square
