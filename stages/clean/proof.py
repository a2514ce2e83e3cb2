"""Is one picture a copy of the other, in every place, however small?

The two are laid on each other at a size at which a price tag can be read. Re-encoding leaves differences everywhere,
in proportion to the contrast around them; a scratch, a digit or the hand of a clock leaves one that stands out from the
rest. Grain tells two photographs of one scene apart: in flat places it is the same in a copy, or gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.clean.compare import correlation, grey, register
from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.clean.compare import Floats, Pixels

SIDE = 640  # px, the longer side at which two pictures are compared
_RIM = 3  # px at the border that interpolation spoils
_FLOOR, _SLOPE = 8.0, 0.1  # grey levels; share of the contrast around: what a difference is measured against
_BLUR, _NEAR = 1.0, 9  # px, SD of the blur of the difference; side of the square in which contrast is taken
_GRAIN = 0.8  # grey levels, SD of the grain in flat places from which it tells something


@dataclass(frozen=True)
class Proof:
    """What speaks against a copy.

    largest: the largest local difference. usual: the difference that 98 % of the places stay below; both in units of
    what the contrast around lets expect. grain: correlation of the grain in flat places; 1 where there is none.
    colour: correlation of the three channels. level: mean difference of the channels, grey levels, the largest.
    """

    largest: float
    usual: float
    grain: float
    colour: float
    level: float


def prove(first: Pixels, second: Pixels, warp: NDArray[np.float64]) -> Proof | None:
    """Compare two pictures of any size, uint8 (height, width, 3).

    Args:
        first: one of them.
        second: the other.
        warp: float64 (2, 3), from px of `second` to px of `first`, roughly.

    Returns:
        The proof; None where they cannot be laid on each other.
    """
    if float(np.linalg.det(warp[:, :2])) < 1:  # the first is the coarser: the other way round
        first, second, warp = second, first, np.asarray(cv2.invertAffineTransform(warp), np.float64)
    right, shrink = _fit(second)
    warp = warp @ np.diag([1 / shrink, 1 / shrink, 1])
    scale = float(np.sqrt(np.linalg.det(warp[:, :2])))
    size = max(1, round(first.shape[1] / scale)), max(1, round(first.shape[0] / scale))
    left = cv2.resize(first, size, interpolation=cv2.INTER_AREA)
    warp = np.diag([size[0] / first.shape[1], size[1] / first.shape[0]]) @ warp
    a, b = left.astype(np.float32), right.astype(np.float32)
    found = register(grey(a), grey(b), warp.astype(np.float32), blur=3)
    if found is None:
        return None
    height, width = b.shape[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = np.asarray(
        cv2.warpAffine(a, found, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
    covered = cv2.warpAffine(np.ones(a.shape[:2], np.float32), found, (width, height), flags=flags)
    inside = cv2.erode((covered > 0.99).astype(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8)) > 0
    inside[:_RIM], inside[-_RIM:], inside[:, :_RIM], inside[:, -_RIM:] = False, False, False, False
    return _judge(laid, b, inside) if inside.any() else None


def _judge(a: Floats, b: Floats, inside: NDArray[np.bool_]) -> Proof:
    level = float(np.abs(a[inside].mean(axis=0) - b[inside].mean(axis=0)).max())
    grey_a, grey_b = grey(a), grey(b)
    spread = float(np.std(grey_a[inside]))
    gain = (
        correlation(grey_a[inside][:, None], grey_b[inside][:, None]) * float(np.std(grey_b[inside])) / max(spread, 1)
    )
    tuned = (a - a[inside].mean(axis=0)) * (gain if spread > 1 else 1.0) + b[inside].mean(axis=0)
    soft_a, soft_b = _soft(tuned.astype(np.float32)), _soft(b)
    contrast = np.minimum(_contrast(grey(soft_a)), _contrast(grey(soft_b)))
    difference = (np.abs(soft_a - soft_b).mean(axis=2) / (_FLOOR + _SLOPE * contrast))[inside]
    return Proof(
        largest=float(difference.max()),
        usual=float(np.percentile(difference, 98)),
        grain=_grain(grey_a, grey_b, inside & (contrast <= np.median(contrast[inside]))),
        colour=correlation(a[inside], b[inside]),
        level=level,
    )


def _grain(a: Floats, b: Floats, flat: NDArray[np.bool_]) -> float:
    fine_a, fine_b = ((x - cv2.GaussianBlur(x, (0, 0), 1.5))[flat] for x in (a, b))
    if min(fine_a.std(), fine_b.std()) < _GRAIN:
        return 1.0
    return correlation(fine_a[:, None], fine_b[:, None])


def _fit(pixels: Pixels) -> tuple[Pixels, float]:
    scale = min(SIDE / max(pixels.shape[:2]), 1.0)
    if scale == 1:
        return pixels, 1.0
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _soft(pixels: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), _BLUR), np.float32)


def _contrast(values: Floats) -> Floats:
    square = np.ones((_NEAR, _NEAR), np.uint8)
    return np.asarray(cv2.dilate(values, square) - cv2.erode(values, square), np.float32)
