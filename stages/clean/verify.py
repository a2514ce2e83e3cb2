"""Look at the pixels of two pictures: are they one photograph?

Registration first: an affine map is fitted by maximising the enhanced correlation coefficient (G. D. Evangelidis and
E. Z. Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization", PAMI 2008; OpenCV's
`findTransformECC`), so that shifted, scaled and cropped copies lie on each other. Then what overlaps is compared
three ways. Without OpenCV pictures are compared where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

cv2: Any
try:
    from stages.clean.opencv import cv2
except ImportError:  # less is found without it, but nothing else is
    cv2 = None

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
METHOD = f"shift, ecc-{cv2.__version__}" if cv2 else "in place"
_FIRST, _STEPS = 3, 30  # of registration, before a pair is given up, and in all that follows
# detail after the first steps under which a pair is given up, by side; of the pairs of CIFAR-10 that end above 0.88,
# 0.2 % are below 0.8, of the others 98 %
_HOPELESS = {64: 0.6, 32: 0.8}
_MARGIN = 1  # px at the border that interpolation and JPEG blocks spoil
_BLOCKS = 4


@dataclass(frozen=True)
class Evidence:
    """How two pictures agree where they overlap.

    colour: correlation of the three channels, each about its own mean. detail: correlation of what a Gaussian blur of
    1/16 of the side takes away: edges and texture, which different scenes of the same layout do not share. worst:
    detail of the worst of 4x4 blocks that has any. overlap: share of the second picture that the first covers. moved:
    how far the corners had to be moved, as a share of the side.
    """

    colour: float
    detail: float
    worst: float
    overlap: float
    moved: float


UNLIKE = Evidence(0.0, 0.0, 0.0, 0.0, 0.0)


def compare(left: Pixels, right: Pixels, shift: tuple[int, int] = (0, 0)) -> Evidence:
    """Register `left` on `right` and compare them.

    Args:
        left: uint8 of shape (side, side, 3).
        right: the same shape.
        shift: x and y in px from places in `right` to places in `left`, where registration starts.

    Returns:
        The evidence; `UNLIKE` where a few steps of registration show that there is nothing to find.
    """
    a, b = left.astype(np.float32), right.astype(np.float32)
    grey_a, grey_b = _grey(a), _grey(b)
    warp = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    found = register(grey_a, grey_b, warp, _FIRST)
    if found is not None:
        fine, inside = _lay(_detail(grey_a), found)
        if inside.sum() < len(right) or _correlation(fine[inside], _detail(grey_b)[inside]) < _HOPELESS[len(right)]:
            return UNLIKE
        found = register(grey_a, grey_b, found, _STEPS)
    return _measure(a, b, found)


def _measure(a: Floats, b: Floats, warp: Floats | None) -> Evidence:
    side = len(b)
    if warp is None:
        inside = _margin(np.ones((side, side), bool))
        moved = 0.0
    else:
        a, inside = _lay(a, warp)
        corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]], np.float32)
        moved = float(np.abs(corners @ warp.T - corners[:, :2]).max() / side)
    if inside.sum() < side:
        return UNLIKE
    fine_a, fine_b = _detail(_grey(a)), _detail(_grey(b))
    return Evidence(
        colour=_correlation(a[inside], b[inside]),
        detail=_correlation(fine_a[inside], fine_b[inside]),
        worst=_worst(fine_a, fine_b, inside),
        overlap=float(inside.sum() / (side - 2 * _MARGIN) ** 2),
        moved=moved,
    )


def register(left: Floats, right: Floats, warp: Floats, steps: int) -> Floats | None:
    """The affine map (2, 3) from px of `right` to px of `left`, sought from `warp` on; None where none is found."""
    if cv2 is None:
        return None
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
    try:
        _, warp = cv2.findTransformECC(right, left, warp.copy(), cv2.MOTION_AFFINE, stop, None, 3)
    except cv2.error:  # it does not converge: the pictures have nothing in common
        return None
    if not 0.4 < abs(float(np.linalg.det(warp[:, :2]))) < 2.5:
        return None
    return np.asarray(warp, np.float32)


def _lay(picture: Floats, warp: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """A picture moved by `warp`, and where it is known then."""
    side = len(picture)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(picture, warp, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.ones((side, side), np.float32), warp, (side, side), flags=flags) > 0.99
    return np.asarray(moved, np.float32), _margin(covered)


def _margin(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inside[:_MARGIN] = inside[-_MARGIN:] = False
    inside[:, :_MARGIN] = inside[:, -_MARGIN:] = False
    return inside


def _grey(pixels: Floats) -> Floats:
    """Mean of the channels: the bits of `mean(axis=2)` in a fifth of the time."""
    return np.asarray((pixels[..., 0] + pixels[..., 1] + pixels[..., 2]) / np.float32(3), np.float32)


def _detail(grey: Floats) -> Floats:
    side = len(grey)
    return _blur(grey, side / 50) - _blur(grey, side / 16)


def _blur(grey: Floats, sigma: float) -> Floats:
    if cv2 is not None:
        return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(grey, sigma, mode="mirror"), np.float32)


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def _worst(a: Floats, b: Floats, inside: NDArray[np.bool_]) -> float:
    """Detail correlation of the worst block that is covered and has detail in either picture."""

    def sums(x: NDArray[Any]) -> NDArray[np.float64]:
        step = len(x) // _BLOCKS
        blocks = (x * inside).reshape(_BLOCKS, step, _BLOCKS, step)
        return np.asarray(blocks.sum(axis=(1, 3), dtype=np.float64))

    count = np.maximum(sums(np.ones_like(a)), 1)
    mean_a, mean_b = sums(a) / count, sums(b) / count
    var_a, var_b = sums(a * a) / count - mean_a**2, sums(b * b) / count - mean_b**2
    value = (sums(a * b) / count - mean_a * mean_b) / np.sqrt(np.maximum(var_a * var_b, 1e-6))
    typical = float(np.sqrt((a[inside] ** 2).mean() * (b[inside] ** 2).mean()))
    told = (count >= 0.5 * (len(a) // _BLOCKS) ** 2) & (np.maximum(var_a, var_b) >= 0.1 * typical)
    return float(value[told].min()) if told.any() else 0.0
