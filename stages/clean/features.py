"""What pictures are found by: a perceptual hash and low frequencies, each in 8 orientations, and local features.

The hash is `imagehash.phash` (C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
Mirroring a picture changes the sign of the odd columns of its cosine transform, turning it over the sign of the odd
rows. A bit of the hash says whether a coefficient is above the median, which is near 0, so a turned picture has the
hash with those bits flipped, but for a few. The low frequencies are exact in every orientation.

The features are ORB (E. Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011) in OpenCV, with
RANSAC. It costs a tenth of SIFT, its descriptors are bits, so that every machine finds the same neighbours, and it is
not fooled by the repeated prints on which SIFT finds dozens of matches (docs/decisions/0101). ORB does not know
mirrored pictures, so features of the mirrored picture are kept too, to be looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import imagehash
import numpy as np
from PIL import Image
from scipy import fft

from stages.clean.hashes import hamming
from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_GREY = 32  # px of the grey thumbnail that is transformed
_LOW = 8  # lowest frequencies kept in each direction
ORIENTATIONS = 8
INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)  # of an orientation: what turns the picture back
UNIT = 127  # length of a vector of low frequencies
_Kind = TypeVar("_Kind", np.bool_, np.int8)
_ODD = np.arange(_LOW) % 2 == 1
_FREQUENCY = np.sqrt(np.hypot(*np.mgrid[:_LOW, :_LOW]))  # 0 for the mean brightness, which says nothing
SIDE = 256  # px, the longer side of the picture that features are taken from
LEAST_SIDE = 64  # px, the shorter; smaller pictures have too few features
_AT_ONCE = 65_536  # hashes
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
        every = np.frombuffer(data, _DTYPE, offset=2)
        return cls(every[:count], every[count:]) if len(every) else NONE


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
    bits = hamming(*(np.ascontiguousarray(side["bits"]) for side in (first, second)))
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


def thumbnail(image: Image.Image) -> Image.Image:
    """A grey thumbnail of 32x32 px."""
    return image.convert("L").resize((_GREY, _GREY), Image.Resampling.LANCZOS)


def phash(thumb: Image.Image) -> int:
    """The hash of a grey thumbnail; the first bit of imagehash is the most significant."""
    return int.from_bytes(np.packbits(imagehash.phash(thumb).hash).tobytes())


def vector(thumb: Image.Image) -> NDArray[np.int8]:
    """Low frequencies of a grey thumbnail as a vector of length 127 for cosines: int8 (64,).

    The amplitude of photographs falls as 1/f; weighting by the root of f lets all frequencies count without letting
    noise decide. Whole numbers make every dot product exact, so that no machine proposes other pairs.
    """
    low = (fft.dctn(np.asarray(thumb, np.float64), norm="ortho")[:_LOW, :_LOW] * _FREQUENCY).ravel()
    return np.asarray(np.rint(UNIT * low / max(float(np.linalg.norm(low)), 1e-9)), np.int8)


def turned_words(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes (n,) in the 8 orientations of `orient`, (n, 8), up to a few bits."""
    found = np.empty((len(words), ORIENTATIONS), np.uint64)
    for start in range(0, len(words), _AT_ONCE):  # a bit takes a byte here
        part = words[start : start + _AT_ONCE].astype(">u8").view(np.uint8)
        bits = np.unpackbits(part).reshape(-1, _LOW, _LOW).astype(bool)
        for k in range(ORIENTATIONS):
            turned = np.packbits(_turn(bits, k, np.logical_xor).reshape(len(bits), -1), axis=-1)
            found[start : start + _AT_ONCE, k] = turned.view(">u8")[:, 0]
    return found


def turned_vector(vectors: NDArray[np.int8], orientation: int) -> NDArray[np.int8]:
    """Vectors (n, 64) of the pictures in one of the 8 orientations of `orient`."""
    square = vectors.reshape(-1, _LOW, _LOW)
    return np.ascontiguousarray(_turn(square, orientation, _negate)).reshape(-1, _LOW * _LOW)


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
    odd = np.broadcast_to(_ODD, (_LOW, _LOW))
    if orientation & 1:
        square = change(square, odd)
    if orientation & 2:
        square = change(square, odd.T)
    return np.swapaxes(square, -1, -2) if orientation & 4 else square
