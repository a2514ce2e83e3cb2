"""Pairs that share a part: zoomed crops, photographs under a banner, montages. Local features find them.

SIFT (D. G. Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004) as RootSIFT (R. Arandjelovic
and A. Zisserman, CVPR 2012): the descriptors of all pictures are compared in one go; what passes Lowe's ratio test
votes for a pair of pictures, and a similarity transform must explain the votes (RANSAC, OpenCV's
`estimateAffinePartial2D`). Pixels decide here as well: the part is cut out of both pictures and they are compared as
two pictures are.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.clean import neighbours
from stages.clean.hashes import UNIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.clean.params import LocalFeatures

cv2: Any
try:
    from stages.clean.opencv import cv2
except ImportError:  # nothing is found without it, and that is said
    cv2 = None

METHOD = f"sift-{cv2.__version__}" if cv2 else ""
PATCH = 64  # px, side at which the two parts are compared
_ALIKE = 0.8  # cosine between two descriptors
_REACH = 0.025  # of the side, how far a match may be from where the transform puts it
_RIM = 0.1  # of the part's side, added around the matches
_ZOOM = 6.0  # the largest that is believed
_CELLS, _BINS = 4, 8  # of a SIFT descriptor: 4x4 cells of 8 directions

Points = NDArray[np.float32]
Descriptors = NDArray[np.int8]


@dataclass(frozen=True)
class Features:
    """The strongest features of a picture: places in px, float32 (n, 2), and descriptors, int8 (n, 128)."""

    points: Points
    descriptors: Descriptors

    def packed(self) -> list[str]:
        """For the cache."""
        return [base64.b85encode(part.tobytes()).decode() for part in (self.points.astype("<f4"), self.descriptors)]

    @staticmethod
    def unpacked(packed: Sequence[str]) -> Features:
        """From the cache."""
        points, descriptors = (base64.b85decode(text) for text in packed)
        return Features(
            np.frombuffer(points, "<f4").reshape(-1, 2),
            np.frombuffer(descriptors, np.int8).reshape(-1, _CELLS * _CELLS * _BINS),
        )


@dataclass(frozen=True)
class Match:
    """Pictures a < b that share a part.

    mirrored: a has to be mirrored first. warp: float64 (2, 3), from px of b to px of a. corners: of the part in b, in
    px: left, top, right, bottom. inliers: matches that the warp explains.
    """

    a: int
    b: int
    mirrored: bool
    inliers: int
    warp: NDArray[np.float64]
    corners: tuple[float, float, float, float]


def shrunk(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture, (height, width, 3), with a longer side of at most `side` px."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def describe(pixels: NDArray[np.uint8], count: int) -> Features:
    """The `count` strongest SIFT features of a picture of shape (height, width, 3)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    keys, raw = cv2.SIFT_create(nfeatures=count, contrastThreshold=0.02).detectAndCompute(grey, None)
    if raw is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, _CELLS * _CELLS * _BINS), np.int8))
    places = np.array([(*k.pt, k.size, k.angle, k.response) for k in keys], np.float32)
    order = np.lexsort((*places[:, :4].T, -places[:, 4]))[:count]
    root = np.sqrt(raw[order] / np.maximum(raw[order].sum(axis=1, keepdims=True), 1))
    root -= root.mean(axis=1, keepdims=True)
    root *= UNIT / np.maximum(np.linalg.norm(root, axis=1, keepdims=True), 1e-9)
    # whole numbers, so that every product of two is exact
    return Features(places[order, :2], np.rint(root).astype(np.int8))


def matches(features: Sequence[Features], local: LocalFeatures, most: int) -> list[Match]:
    """Pairs of pictures that share a part, sorted.

    Args:
        features: of each picture.
        local: how many matches it takes.
        most: a feature that has likenesses in more places than that tells nothing.
    """
    every = np.concatenate([f.descriptors for f in features])
    points = np.concatenate([f.points for f in features])
    owner = np.repeat(np.arange(len(features)), [len(f.points) for f in features])
    best: dict[tuple[int, int], Match] = {}
    for mirrored in (False, True):
        i, j = _votes(_mirrored(every) if mirrored else every, every, owner, local.ratio, most)
        pair = owner[i] * len(features) + owner[j]
        ends = np.flatnonzero(np.diff(pair, prepend=-1, append=-1))
        for start, stop in pairwise(ends):
            if stop - start < local.inliers:
                continue
            a, b = int(owner[i[start]]), int(owner[j[start]])
            found = _fit(a, b, points[i[start:stop]], points[j[start:stop]], mirrored, local)
            if found and ((a, b) not in best or best[a, b].inliers < found.inliers):
                best[a, b] = found
    return [best[key] for key in sorted(best)]


def _votes(
    queries: Descriptors, targets: Descriptors, owner: NDArray[np.int64], ratio: float, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in `queries` and `targets` of what matches and is the only one to do so, by pairs of pictures."""
    i, j, dots = neighbours.pairs(queries, targets, _ALIKE)
    often = np.bincount(np.concatenate([i, j]), minlength=len(owner)) > most
    keep = (owner[i] < owner[j]) & ~often[i] & ~often[j]
    i, j, away = i[keep], j[keep], 1 - dots[keep] / UNIT**2
    keep = _only(i, owner[j], away, ratio) & _only(j, owner[i], away, ratio)
    i, j = i[keep], j[keep]
    order = np.lexsort((j, i, owner[j], owner[i]))
    return i[order], j[order]


def _only(
    feature: NDArray[np.int64], picture: NDArray[np.int64], away: NDArray[np.float64], ratio: float
) -> NDArray[np.bool_]:
    """Lowe's ratio test: is a match that much nearer than the feature's next one in the same picture?"""
    order = np.lexsort((away, picture, feature))
    same = (np.diff(feature[order]) == 0) & (np.diff(picture[order]) == 0)
    following = np.full(len(order), 1 - _ALIKE)
    following[:-1][same] = away[order][1:][same]
    good = away[order] < ratio * following
    good[1:] &= ~same
    result = np.zeros(len(order), bool)
    result[order[good]] = True
    return result


def _mirrored(descriptors: Descriptors) -> Descriptors:
    """What the descriptors would be in the mirrored picture."""
    cells = descriptors.reshape(-1, _CELLS, _CELLS, _BINS)[:, ::-1]
    return np.ascontiguousarray(cells[..., -np.arange(_BINS)].reshape(len(descriptors), -1))


def _fit(a: int, b: int, left: Points, right: Points, mirrored: bool, local: LocalFeatures) -> Match | None:
    """The similarity transform that explains most matches, if it explains enough of them in different places."""
    if mirrored:
        left = left * np.array([-1, 1], np.float32)
    reach = _REACH * local.side
    warp, inside = cv2.estimateAffinePartial2D(right, left, method=cv2.RANSAC, ransacReprojThreshold=reach)
    if warp is None:
        return None
    kept = inside.ravel() > 0
    right = right[kept]
    inliers = len(np.unique(np.rint(right / reach), axis=0))  # several features of one spot are one witness
    zoom = float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))
    if inliers < local.inliers or not 1 / _ZOOM < zoom < _ZOOM:
        return None
    low, high = right.min(axis=0), right.max(axis=0)
    rim = _RIM * (high - low)
    corners = tuple(float(v) for v in (*(low - rim), *(high + rim)))
    return Match(a, b, mirrored, inliers, np.asarray(warp, np.float64), corners)  # type: ignore[arg-type]


def parts(
    left: NDArray[np.uint8], right: NDArray[np.uint8], match: Match
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """The shared part as it is in either picture.

    Args:
        left: picture a, uint8 (height, width, 3), as it was described.
        right: picture b.
        match: where the part is.

    Returns:
        Two of uint8 (64, 64, 3), and the share of a picture that the part fills, of the two the larger.
    """
    if match.mirrored:  # places in the mirrored picture were counted from its right edge, to the left
        left = np.ascontiguousarray(left[:, ::-1])
    shift = np.array([[0, 0, left.shape[1] - 1 if match.mirrored else 0], [0, 0, 0]])
    x1, y1 = np.maximum(match.corners[:2], 0)
    x2, y2 = np.minimum(match.corners[2:], (right.shape[1], right.shape[0]))
    scale = np.array([(x2 - x1) / PATCH, (y2 - y1) / PATCH])
    there = np.array([[scale[0], 0, x1], [0, scale[1], y1], [0, 0, 1]])
    own, other = there[:2], (match.warp + shift) @ there
    shares = [abs(np.linalg.det(m[:, :2])) * PATCH**2 / p[..., 0].size for m, p in ((other, left), (own, right))]
    return _cut(left, other), _cut(right, own), float(min(max(shares), 1))


def _cut(picture: NDArray[np.uint8], warp: NDArray[np.float64]) -> NDArray[np.uint8]:
    step = float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))  # px of the picture to one of the part
    if step > 1:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.5 * step)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, warp, (PATCH, PATCH), flags=flags, borderMode=cv2.BORDER_REPLICATE))
