"""Lay one picture on another: how well they agree, and the proof that one is a copy of the other.

The finest detail is compared tile by tile. Silhouettes agree between different objects, and a mean hides it; folds,
grain and print in most tiles agree for one photograph alone.

A copy must be proven in every place, however small. For that the two are laid on each other at a size at which a price
tag can be read. Re-encoding leaves differences everywhere, in proportion to the contrast around them; a scratch, a
digit or the hand of a clock leaves one that stands out from the rest. Grain tells two photographs of one scene apart:
in flat places it is the same in a copy, or gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.clean.opencv import correlation, cv2, farthest, frame, grey, lay, register, scale_of, shrunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.clean.opencv import Floats, Pixels
    from stages.clean.params import Match
    from stages.clean.search import Fit

TILE = 16  # px
_AGREE = 0.6  # correlation from which a tile agrees
_TELLS = 1.0  # grey levels, SD of the detail of a tile in both pictures from which it tells something
_FINE, _COARSE = 0.8, 3.0  # px, SD of the Gaussian blurs whose difference is the detail
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
class Evidence:
    """How two pictures agree where they overlap.

    tiles: how many have detail in both. agree: share of these that agree. overlap: share of the picture that is covered
    more that the other covers. core: share of the picture that the matching features span. core_tiles, core_agree: the
    same within that part. inliers: matching features.
    """

    tiles: int = 0
    agree: float = 0.0
    overlap: float = 0.0
    core: float = 0.0
    core_tiles: int = 0
    core_agree: float = 0.0
    inliers: int = 0


UNLIKE = Evidence()


def compare(first: Pixels, second: Pixels, warp: NDArray[np.float64], fit: Fit | None = None) -> Evidence:
    """Register two pictures from `warp` on and compare them, at the scale of the coarser.

    Args:
        first: uint8 of shape (height, width, 3).
        second: the same, of another size perhaps.
        warp: (2, 3), from px of `second` to px of `first`.
        fit: the features that say so; None where a hash does.
    """
    places = None if fit is None else fit.places
    scale = scale_of(warp)
    if scale < 1:  # the first is the coarser: the other way round
        warp, first, second, scale = cv2.invertAffineTransform(warp), second, first, 1 / scale
        places = None if places is None else cv2.transform(places[None], cv2.invertAffineTransform(warp))[0]
    left, right = grey(first.astype(np.float32)), grey(second.astype(np.float32))
    if scale > 1.2:
        left, warp = cv2.resize(left, shrunk(left, scale), interpolation=cv2.INTER_AREA), warp / scale
    core = _hull(places, right.shape)
    found = _halved(left, right, warp, core)
    if found is None:
        return UNLIKE
    laid, inside = lay(left, found, right.shape)
    if inside.sum() < TILE * TILE:
        return UNLIKE
    told, alike, within = _tiles(laid, right, inside, core)
    shares = inside.mean(), inside.sum() * scale_of(found) ** 2 / (left.shape[0] * left.shape[1])
    return Evidence(
        tiles=int(told.sum()),
        agree=_share(alike, told),
        overlap=float(min(max(shares), 1.0)),
        core=0.0 if core is None else float((core > 0).mean()),
        core_tiles=int((told & within).sum()),
        core_agree=_share(alike, told & within),
        inliers=0 if fit is None else fit.inliers,
    )


def _halved(left: Floats, right: Floats, warp: NDArray[np.float64], core: Pixels | None) -> Floats | None:
    """Registration at half of the size, which is exact enough and costs a quarter."""
    a, b = (
        np.asarray(cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32) for x in (left, right)
    )
    mask = None if core is None else np.asarray(cv2.resize(core, b.shape[::-1], interpolation=cv2.INTER_NEAREST))
    found = register(a, b, (warp * [1, 1, 0.5]).astype(np.float32), None if mask is None else mask.astype(np.uint8))
    return None if found is None else np.asarray(found * [1, 1, 2], np.float32)


def _tiles(
    left: Floats, right: Floats, inside: NDArray[np.bool_], core: Pixels | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """For each tile whether it tells something, whether it agrees, whether it lies in the core."""
    a, b = _detail(left), _detail(right)
    mean_a, mean_b = _mean(a), _mean(b)
    strength = [np.sqrt(np.maximum(_mean(x * x) - mean * mean, 0)) for x, mean in ((a, mean_a), (b, mean_b))]
    alike = _mean(a * b) - mean_a * mean_b > _AGREE * np.maximum(strength[0] * strength[1], 1e-6)
    told = (np.minimum(*strength) > _TELLS) & (_mean(inside) > 0.95)
    within = np.zeros(told.shape, bool) if core is None else _mean(core) > 0.5
    return told, alike, within


def _mean(values: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of each tile of an array (height, width)."""
    rows, columns = values.shape[0] // TILE, values.shape[1] // TILE
    part = values[: rows * TILE, : columns * TILE].astype(np.float32)
    return np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), np.float64)


def _hull(places: NDArray[np.float32] | None, shape: tuple[int, ...]) -> Pixels | None:
    """Where the matching features lie, with a rim of half a tile: uint8, 1 inside."""
    if places is None:
        return None
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(places).astype(np.int32)), 1)
    return np.asarray(cv2.dilate(mask, np.ones((TILE + 1, TILE + 1), np.uint8)), np.uint8)


def _detail(values: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), _FINE) - cv2.GaussianBlur(values, (0, 0), _COARSE), np.float32)


def _share(alike: NDArray[np.bool_], told: NDArray[np.bool_]) -> float:
    return float(alike[told].mean()) if told.any() else 0.0


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
    if found is None or farthest(found, framed, right.shape) > match.drop_moved * max(left.shape):
        found = framed.astype(np.float32)
    laid, covered = lay(a, found, b.shape)
    inside = cv2.erode(covered.astype(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8)) > 0
    inside[:_RIM] = inside[-_RIM:] = inside[:, :_RIM] = inside[:, -_RIM:] = False
    return _judge(laid, b, inside, match.drop_contrast) if inside.any() else None


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
    """What averaging leaves of differences (height, width, channels); of codecs, half as much over 16 px as over 4.

    Each square of 4 or 16 px becomes one pixel; a Gaussian blur then joins it with those around, since a tint need not
    begin where a square does.
    """
    within = inside[..., None] * signed
    left = []
    for side in (_NARROW, _WIDE) if max(signed.shape) > _ICON else (_NARROW / 2, _WIDE / 2):
        squares = cv2.resize(within, shrunk(within, side), interpolation=cv2.INTER_AREA)
        left.append(float(np.abs(cv2.GaussianBlur(squares, (0, 0), 1.0)).max()))
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
