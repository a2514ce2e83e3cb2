"""OpenCV, made the same on every processor, and what the comparisons do with it: lay one picture on another.

OpenCV is held to one thread, and to no more than the instructions that all x86-64 processors share. By default it takes
what the processor has. Registration carries the last bit of a sum into the second decimal of its result, so that a pair
near a threshold would be a copy on one machine and none on another (docs/decisions/0105).

Registration: an affine map is fitted by maximising the enhanced correlation coefficient (G. D. Evangelidis and
E. Z. Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization", PAMI 2008; OpenCV's
`findTransformECC`).
"""

from __future__ import annotations

from typing import Any

import cv2 as _cv2
import numpy as np
from numpy.typing import NDArray

cv2: Any = _cv2  # its stubs know neither the types of its results nor all of its functions
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
_STEPS = 25  # of registration
_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def hold() -> None:
    """Hold OpenCV in the calling thread to these instructions; a new thread takes what the processor has."""
    cv2.setUseOptimized(False)


cv2.setNumThreads(1)  # the stage has threads of its own
hold()


def register(left: Floats, right: Floats, warp: Floats, mask: Pixels | None = None, blur: int = 5) -> Floats | None:
    """The affine map (2, 3) from px of `right` to px of `left`, sought from `warp` on; None where it runs away."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, 1e-3)
    try:
        _, found = cv2.findTransformECC(right, left, warp.copy(), cv2.MOTION_AFFINE, stop, mask, blur)
    except cv2.error:  # it does not converge
        found = warp
    return found if 0.4 < scale_of(found) / max(scale_of(warp), 1e-6) < 2.5 else None


def lay(pixels: Floats, warp: Floats, shape: tuple[int, ...]) -> tuple[Floats, NDArray[np.bool_]]:
    """The picture as it lies on one of `shape`, whose px `warp` takes to its own, and what it covers there."""
    size = shape[1], shape[0]
    laid = cv2.warpAffine(pixels, warp, size, flags=_INVERSE, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.ones(pixels.shape[:2], np.float32), warp, size, flags=_INVERSE)
    return np.asarray(laid, np.float32), covered > 0.99


def frame(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """The map from px of `second` to px of `first` under which both show the same frame."""
    return np.array([[first.shape[1] / second.shape[1], 0, 0], [0, first.shape[0] / second.shape[0], 0]], np.float64)


def farthest(one: NDArray[np.floating], other: NDArray[np.floating], shape: tuple[int, ...]) -> np.floating:
    """How far apart two maps (2, 3) take the corner of a picture of `shape` for which they differ most, px."""
    height, width = shape[:2]
    corners = [[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]]
    at = np.array(corners, np.result_type(one, other))
    apart: np.floating = np.abs(one @ at - other @ at).max()
    return apart


def scale_of(warp: NDArray[np.floating]) -> float:
    """The factor by which a map (2, 3) makes lengths longer, the mean over all directions."""
    return float(np.sqrt(abs(np.linalg.det(warp[:, :2].astype(np.float64)))))


def shrunk(pixels: NDArray[Any], scale: float) -> tuple[int, int]:
    """Width and height of an array (height, width, ...) that is made smaller by a factor; at least one px."""
    return max(1, round(pixels.shape[1] / scale)), max(1, round(pixels.shape[0] / scale))


def grey(pixels: Floats) -> Floats:
    """The brightness of RGB pixels (height, width, 3)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def correlation(a: Floats, b: Floats) -> float:
    """Correlation of two arrays (n, channels), each channel about its own mean."""
    a, b = (np.ascontiguousarray(x.T) for x in (a, b))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0
