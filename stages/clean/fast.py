"""Grey thumbnails as Pillow makes them, bit for bit, several times as fast: compiled code resizes.

Pillow's resize is separable, in fixed point with 22 bits (`Resample.c`); its order of passes is that of Pillow 13.
Nothing is trusted: `thumbs` compares the first files with Pillow, and goes back to Pillow when one byte differs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from stages.clean.hashes import SIDE
from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = 22
_HALF = 1 << (_BITS - 1)
_SUPPORT = 3.0  # of the Lanczos filter, in output pixels
_STRIP = 1024  # pixels that are made grey at a time
_HIGH = tuple(np.uint16(weight >> 8) for weight in (19595, 38470, 7471))
_LOW = tuple(np.uint16(weight & 255) for weight in (19595, 38470, 7471))
_BYTE, _ROUND = np.uint16(8), np.uint16(128)


def thumbnails(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `hashes.thumbnails` gives: uint8 (1 or 2, 32, 32), from uint8 (height, width, 3)."""
    height, width = pixels.shape[:2]
    grey = _grey(np.ascontiguousarray(pixels))
    turned = cv2.transpose(grey)  # so that both passes run along memory
    whole = _resize(grey, turned, 0, 0, width, height)
    if height == width:
        return whole[None]
    side = min(height, width)
    return np.stack([whole, _resize(grey, turned, (width - side) // 2, (height - side) // 2, side, side)])


def _resize(
    grey: NDArray[np.uint8], turned: NDArray[np.uint8], left: int, top: int, width: int, height: int
) -> NDArray[np.uint8]:
    """Resize a part of `grey`; `turned` is its transpose."""
    if height > SIDE and height - SIDE > 2 * (width - SIDE):  # Pillow 13 shrinks tall pictures vertically first
        half = cv2.transpose(_columns(grey, top, left, width, *_filter(height)))
        return np.asarray(cv2.transpose(_columns(half, 0, 0, SIDE, *_filter(width))))
    half = cv2.transpose(_columns(turned, left, top, height, *_filter(width)))
    return np.asarray(_columns(half, 0, 0, SIDE, *_filter(height)))


@lru_cache(maxsize=2048)
def _filter(size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First input pixel and number of pixels (2, 32), and fixed-point weights (32, n), of each output pixel."""
    scale = size / SIDE
    stretch = max(scale, 1.0)
    support = _SUPPORT * stretch
    centre = (np.arange(SIDE) + 0.5) * scale
    low = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    high = np.minimum((centre + support + 0.5).astype(np.int64), size)
    taps = np.arange(int(np.ceil(support)) * 2 + 1)
    x = (taps + low[:, None] - centre[:, None] + 0.5) * (1.0 / stretch)
    inside = (x >= -_SUPPORT) & (x < _SUPPORT) & (taps < (high - low)[:, None])
    weight = np.where(inside, _sinc(x) * _sinc(x / 3.0), 0.0)
    weight /= weight.cumsum(axis=1)[:, -1:]  # added up one by one, as Pillow does
    return np.stack([low, high - low]), np.trunc(weight * (1 << _BITS) + np.copysign(0.5, weight)).astype(np.int32)


def _sinc(x: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = np.where(x == 0, 1.0, x) * np.pi
    return np.where(x == 0, 1.0, np.sin(turn) / turn)


@numba.njit(cache=True, nogil=True)
def _grey(pixels: Any) -> Any:  # pragma: no cover - compiled
    """ITU-R 601-2 luma as Pillow rounds it, (19595 R + 38470 G + 7471 B + 32768) >> 16, in 16 bits.

    Each weight is 256 times a high byte and a low byte; what the low bytes sum up to stays below 2**16, so only what
    it carries over counts. NumPy's functions keep 16 bits where operators would widen them: twice as many pixels at a
    time, and no slower multiplication of 32 bits.
    """
    height, width = pixels.shape[:2]
    flat = pixels.reshape(height * width * 3)
    grey = np.empty(height * width, np.uint8)
    planes = np.empty((3, _STRIP), np.uint8)  # first colour by colour, so that the rest runs along memory
    for start in range(0, len(grey), _STRIP):
        count = min(_STRIP, len(grey) - start)
        strip, out = flat[3 * start : 3 * (start + count)], grey[start : start + count]
        red, green, blue = planes[0], planes[1], planes[2]
        for k in range(count):
            red[k], green[k], blue[k] = strip[3 * k], strip[3 * k + 1], strip[3 * k + 2]
        for k in range(count):
            r, g, b = np.uint16(red[k]), np.uint16(green[k]), np.uint16(blue[k])
            high = np.add(np.add(np.multiply(r, _HIGH[0]), np.multiply(g, _HIGH[1])), np.multiply(b, _HIGH[2]))
            low = np.add(np.add(np.multiply(r, _LOW[0]), np.multiply(g, _LOW[1])), np.multiply(b, _LOW[2]))
            total = np.add(np.add(high, np.right_shift(low, _BYTE)), _ROUND)
            out[k] = np.uint8(np.right_shift(total, _BYTE))
    return grey.reshape(height, width)


@numba.njit(cache=True, nogil=True)
def _columns(grey: Any, top: int, left: int, width: int, spans: Any, weights: Any) -> Any:  # pragma: no cover
    """Shrink or stretch columns to 32 pixels: rows from `top`, columns `left` to `left + width`."""
    out = np.empty((SIDE, width), np.uint8)
    line = np.empty(width, np.int32)
    for y in range(SIDE):
        line[:] = _HALF
        start, count = top + spans[0, y], spans[1, y]
        for k in range(0, count - count % 4, 4):  # four rows at a time: `line` is read and written a fourth as often
            w0, w1, w2, w3 = weights[y, k], weights[y, k + 1], weights[y, k + 2], weights[y, k + 3]
            r0, r1 = grey[start + k, left : left + width], grey[start + k + 1, left : left + width]
            r2, r3 = grey[start + k + 2, left : left + width], grey[start + k + 3, left : left + width]
            for x in range(width):
                line[x] += np.int32(r0[x]) * w0 + np.int32(r1[x]) * w1 + np.int32(r2[x]) * w2 + np.int32(r3[x]) * w3
        for k in range(count - count % 4, count):
            weight, row = weights[y, k], grey[start + k, left : left + width]
            for x in range(width):
                line[x] += np.int32(row[x]) * weight
        for x in range(width):
            out[y, x] = min(max(line[x] >> _BITS, 0), 255)
    return out
