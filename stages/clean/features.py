"""Local features of a picture, and the similarity transform that lays two pictures on each other.

ORB (E. Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011) in OpenCV, with RANSAC. ORB costs a
tenth of SIFT, its descriptors are bits, so that every machine finds the same neighbours, and it is not fooled by the
repeated prints on which SIFT finds dozens of matches (docs/decisions/0101). ORB does not know mirrored pictures, so
features of the mirrored picture are kept too, to be looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 256  # px, the longer side of the picture that features are taken from
LEAST_SIDE = 64  # px, the shorter; smaller pictures have too few features
UPRIGHT, MIRRORED = 300, 200  # features kept, the strongest
_LEVELS, _STEP = 5, 1.414  # of the pyramid: a crop to half of the side is two levels away
_FAR = 64  # bits between two descriptors of one place, of 256
_REACH = 4.0  # px, how far a match may be from where the transform puts it
_ZOOM = 7.0  # the largest that is believed
_DTYPE = np.dtype([("at", "<f2", 2), ("angle", "u1"), ("octave", "u1"), ("bits", "u1", 32)])


@dataclass(frozen=True)
class Features:
    """The strongest features of a picture and of its mirror image.

    Each is a record array: place (px of the thumbnail, float16), angle (256 steps to a turn), octave of the pyramid
    and descriptor (32 bytes).
    """

    upright: NDArray[np.void]
    mirrored: NDArray[np.void]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> Features:
        """Take the features of a picture, uint8 (height, width, 3)."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return cls(_detect(grey, UPRIGHT), _detect(np.ascontiguousarray(grey[:, ::-1]), MIRRORED))

    def packed(self) -> bytes:
        """One string of bytes for the cache."""
        return len(self.upright).to_bytes(2, "little") + self.upright.tobytes() + self.mirrored.tobytes()

    @classmethod
    def unpacked(cls, data: bytes) -> Features:
        """Of what `packed` gave."""
        count = int.from_bytes(data[:2], "little")
        every = np.frombuffer(data[2:], _DTYPE)
        return cls(every[:count], every[count:])


NONE = Features(np.zeros(0, _DTYPE), np.zeros(0, _DTYPE))


@dataclass(frozen=True)
class Fit:
    """How one picture lies on another.

    warp: float64 (2, 3), from px of the second to px of the first. inliers: features that agree, one to one.
    places: of these in the second, float32 (inliers, 2).
    """

    warp: NDArray[np.float64]
    inliers: int
    places: NDArray[np.float32]


def fit(first: NDArray[np.void], second: NDArray[np.void]) -> Fit | None:
    """Find the similarity transform that most one-to-one matches of two sets of features agree on."""
    if min(len(first), len(second)) < 4:
        return None
    words = [np.ascontiguousarray(side["bits"]).view(np.uint64) for side in (first, second)]
    bits = np.bitwise_count(words[0][:, None] ^ words[1][None]).sum(axis=2, dtype=np.uint16)
    right = bits.argmin(axis=1)
    left = np.arange(len(first))
    mutual = (bits.argmin(axis=0)[right] == left) & (bits[left, right] <= _FAR)  # one to one
    left, right = left[mutual], right[mutual]
    if len(left) < 4:
        return None
    source, target = second["at"][right].astype(np.float32), first["at"][left].astype(np.float32)
    cv2.setRNGSeed(0)
    warp, inside = cv2.estimateAffinePartial2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=_REACH,
                                               maxIters=1000, confidence=0.99)  # fmt: skip
    if warp is None or not 1 / _ZOOM < np.sqrt(abs(np.linalg.det(warp[:, :2]))) < _ZOOM:
        return None
    agree = inside.ravel() > 0
    return Fit(warp, int(agree.sum()), source[agree])


def _detect(grey: NDArray[np.uint8], count: int) -> NDArray[np.void]:
    detector = cv2.ORB_create(nfeatures=count, scaleFactor=_STEP, nlevels=_LEVELS, edgeThreshold=15, fastThreshold=7)
    keys, bits = detector.detectAndCompute(grey, None)
    found = np.zeros(len(keys), _DTYPE)
    if len(keys):
        found["at"] = [k.pt for k in keys]
        found["angle"] = [int(k.angle * 256 / 360) % 256 for k in keys]
        found["octave"] = [k.octave for k in keys]
        found["bits"] = bits
    return found
