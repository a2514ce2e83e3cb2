"""Lay one picture on another: see where they agree.

Registration: an affine map is fitted by maximising the enhanced correlation coefficient (G. D. Evangelidis and
E. Z. Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization", PAMI 2008; OpenCV's
`findTransformECC`). Then the finest detail is compared tile by tile. Silhouettes agree between different objects, and
a mean hides it; folds, grain and print in most tiles agree for one photograph alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from stages.clean.features import Fit

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
TILE = 16  # px
_AGREE = 0.6  # correlation from which a tile agrees
_TELLS = 1.0  # grey levels, SD of the detail of a tile in both pictures from which it tells something
_FINE, _COARSE = 0.8, 3.0  # px, SD of the Gaussian blurs whose difference is the detail
_STEPS = 25  # of registration
_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


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


def register(left: Floats, right: Floats, warp: Floats, mask: Pixels | None = None, blur: int = 5) -> Floats | None:
    """The affine map (2, 3) from px of `right` to px of `left`, sought from `warp` on; None where it runs away."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, 1e-3)
    try:
        _, found = cv2.findTransformECC(right, left, warp.copy(), cv2.MOTION_AFFINE, stop, mask, blur)
    except cv2.error:  # it does not converge
        found = warp
    return found if 0.4 < scale_of(found) / max(scale_of(warp), 1e-6) < 2.5 else None


def _halved(left: Floats, right: Floats, warp: NDArray[np.float64], core: Pixels | None) -> Floats | None:
    """Registration at half of the size, which is exact enough and costs a quarter."""
    a, b = (
        np.asarray(cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32) for x in (left, right)
    )
    mask = None if core is None else np.asarray(cv2.resize(core, b.shape[::-1], interpolation=cv2.INTER_NEAREST))
    found = register(a, b, (warp * [1, 1, 0.5]).astype(np.float32), None if mask is None else mask.astype(np.uint8))
    return None if found is None else np.asarray(found * [1, 1, 2], np.float32)


def lay(pixels: Floats, warp: Floats, shape: tuple[int, ...]) -> tuple[Floats, NDArray[np.bool_]]:
    """The picture as it lies on one of `shape`, whose px `warp` takes to its own, and what it covers there."""
    size = shape[1], shape[0]
    laid = cv2.warpAffine(pixels, warp, size, flags=_INVERSE, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.ones(pixels.shape[:2], np.float32), warp, size, flags=_INVERSE)
    return np.asarray(laid, np.float32), covered > 0.99


def frame(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """The map from px of `second` to px of `first` under which both show the same frame."""
    return np.array([[first.shape[1] / second.shape[1], 0, 0], [0, first.shape[0] / second.shape[0], 0]], np.float64)


def correlation(a: Floats, b: Floats) -> float:
    """Correlation of two arrays (n, channels), each channel about its own mean."""
    a, b = (np.ascontiguousarray(x.T) for x in (a, b))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


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


def grey(pixels: Floats) -> Floats:
    """The brightness of RGB pixels (height, width, 3)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def shrunk(pixels: NDArray[Any], scale: float) -> tuple[int, int]:
    """Width and height of an array (height, width, ...) that is made smaller by a factor; at least one px."""
    return max(1, round(pixels.shape[1] / scale)), max(1, round(pixels.shape[0] / scale))


def scale_of(warp: NDArray[np.floating]) -> float:
    """The factor by which a map (2, 3) makes lengths longer, the mean over all directions."""
    return float(np.sqrt(abs(np.linalg.det(warp[:, :2].astype(np.float64)))))


def _share(alike: NDArray[np.bool_], told: NDArray[np.bool_]) -> float:
    return float(alike[told].mean()) if told.any() else 0.0
