"""The proof that one picture is a copy of another.

A copy must be proven in every place, however small. For that the two are laid on each other at a size at which a price
tag can be read. Re-encoding leaves differences everywhere, in proportion to the contrast around them; a scratch, a
digit or the hand of a clock leaves one that stands out from the rest. Grain tells two photographs of one scene apart:
in flat places it is the same in a copy, or gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.clean.compare import correlation, frame, grey, lay, register, scale_of, shrunk
from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.clean.compare import Floats, Pixels
    from stages.clean.params import Match

_PROOF = 640  # px, the longer side at which a copy is proven
_RIM = 3  # px at the border that interpolation spoils
_FLOOR, _SLOPE = 8.0, 0.1  # grey levels; share of the contrast around: what a difference is measured against
_BLUR, _NEAR = 1.0, 9  # px, SD of the blur of the difference; side of the square in which contrast is taken
_NARROW, _WIDE, _ICON = 4, 16, 128  # px; the longer side of a picture up to which half as many are averaged
_GRAIN = 0.8  # grey levels, SD of the grain in flat places from which it tells something
_SLACK = 0.1  # of a usual difference, in the units of `Proof`: pictures that hardly differ at all
_USUAL = 1.2  # the largest usual difference; re-encoding at quality 25 leaves 0.9
_PLAIN = 0.5  # the largest difference between pictures without detail, in the same units


@dataclass(frozen=True)
class Proof:
    """What speaks against a copy.

    largest: the largest local difference. usual: the difference that 98 % of the places stay below; both in units of
    what the contrast around lets expect. grain: correlation of the grain in flat places; 1 where there is none.
    colour: correlation of the three channels. level: mean difference of the channels, grey levels, the largest.
    soft: the largest difference of a channel that is left after averaging over some pixels, or twice what is left over
    many, in the same units: codecs err up and down, a tint or a shadow does not.
    """

    largest: float
    usual: float
    grain: float
    colour: float
    level: float
    soft: float


def prove(first: Pixels, second: Pixels, warp: NDArray[np.float64], match: Match) -> Proof | None:
    """Compare two pictures of any size, uint8 (height, width, 3).

    A copy shows the whole frame. Where registration moves a corner away from the frame, a picture is cropped, tilted or
    shows a thing elsewhere; then one frame is laid on the other, and the pixels tell.

    Args:
        first: one of them.
        second: the other.
        warp: float64 (2, 3), from px of `second` to px of `first`, roughly.
        match: how far registration may move a corner, and by how much the contrast may differ, both as shares.

    Returns:
        The proof; None where the two have nothing in common to compare.
    """
    if scale_of(warp) < 1:  # the first is the coarser: the other way round
        first, second, warp = second, first, cv2.invertAffineTransform(warp)
    shrink = max(max(second.shape[:2]) / _PROOF, 1.0)
    right = cv2.resize(second, shrunk(second, shrink), interpolation=cv2.INTER_AREA)
    warp = warp @ np.diag([shrink, shrink, 1])
    size = shrunk(first, scale_of(warp))
    left = cv2.resize(first, size, interpolation=cv2.INTER_AREA)
    warp = np.diag([size[0] / first.shape[1], size[1] / first.shape[0]]) @ warp
    a, b = left.astype(np.float32), right.astype(np.float32)
    found = register(grey(a), grey(b), warp.astype(np.float32), blur=3)
    framed = frame(left, right)
    if found is None or _moved(found, framed, right.shape) > match.drop_moved * max(left.shape):
        found = framed.astype(np.float32)
    laid, covered = lay(a, found, b.shape)
    inside = cv2.erode(covered.astype(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8)) > 0
    inside[:_RIM] = inside[-_RIM:] = inside[:, :_RIM] = inside[:, -_RIM:] = False
    return _judge(laid, b, inside, match.drop_contrast) if inside.any() else None


def _moved(one: Floats, other: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """How far apart two maps take the corner of a picture for which they differ most, px."""
    height, width = shape[:2]
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]], np.float64)
    return float(np.abs((one - other) @ corners).max())


def _judge(a: Floats, b: Floats, inside: NDArray[np.bool_], contrast: float) -> Proof:
    mean_a, mean_b = (np.array(cv2.mean(x, inside.astype(np.uint8))[:3], np.float32) for x in (a, b))
    grey_a, grey_b = grey(a), grey(b)
    tuned = (a - mean_a) * np.float32(_gain(grey_a[inside], grey_b[inside], 1 + contrast)) + mean_b
    soft_a, soft_b = _soft(tuned), _soft(b)
    around = np.minimum(_contrast(grey(soft_a)), _contrast(grey(soft_b)))
    usual = _FLOOR + _SLOPE * around
    apart = cv2.transform(cv2.absdiff(soft_a, soft_b), np.full((1, 3), 1 / 3))
    difference = (apart / usual)[inside]
    return Proof(
        largest=float(difference.max()),
        usual=float(np.percentile(difference, 98)),
        grain=_grain(grey_a, grey_b, inside & (around <= np.median(around[inside]))),
        colour=correlation(a[inside], b[inside]),
        level=float(np.abs(mean_a - mean_b).max()),
        soft=_averaged(np.asarray((tuned - b) / usual[..., None], np.float32), inside),
    )


def _gain(a: Floats, b: Floats, most: float) -> float:
    """The factor that brings the contrast of `a` to that of `b` by least squares, between 1 / `most` and `most`."""
    spread = float(np.std(a))
    slope = correlation(a[:, None], b[:, None]) * float(np.std(b)) / spread if spread > 1 else 1.0
    return min(max(slope, 1 / most), most)


def _averaged(signed: Floats, inside: NDArray[np.bool_]) -> float:
    """What averaging leaves of differences (height, width, channels); of codecs, half as much over 16 px as over 4."""
    within = inside[..., None] * signed
    left = []
    for side in (_NARROW, _WIDE) if max(signed.shape) > _ICON else (_NARROW / 2, _WIDE / 2):
        small = cv2.resize(within, shrunk(within, side), interpolation=cv2.INTER_AREA)  # to one pixel
        left.append(float(np.abs(cv2.GaussianBlur(small, (0, 0), 1.0)).max()))  # which this joins with those around
    return max(left[0], 2 * left[1])


def _grain(a: Floats, b: Floats, flat: NDArray[np.bool_]) -> float:
    fine_a, fine_b = ((x - cv2.GaussianBlur(x, (0, 0), 1.5))[flat] for x in (a, b))
    if min(fine_a.std(), fine_b.std()) < _GRAIN:
        return 1.0
    return correlation(fine_a[:, None], fine_b[:, None])


def _soft(pixels: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), _BLUR), np.float32)


def _contrast(values: Floats) -> Floats:
    square = np.ones((_NEAR, _NEAR), np.uint8)
    return np.asarray(cv2.dilate(values, square) - cv2.erode(values, square), np.float32)


def proven(proof: Proof, match: Match, detailed: bool) -> bool:
    """Whether no place differs by more than re-encoding explains; without detail, whether hardly any pixel differs."""
    if proof.grain < match.drop_grain or proof.level > match.drop_level or proof.soft > match.drop_soft:
        return False
    if not detailed:
        return proof.largest <= _PLAIN
    even = proof.largest <= match.drop_difference * proof.usual + _SLACK
    return even and proof.usual <= _USUAL and proof.colour >= match.drop_colour
