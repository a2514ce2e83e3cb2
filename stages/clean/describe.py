"""What is known of one picture: its identity, its size, hash, low frequencies and features, or why it was refused.

The hash is `imagehash.phash` (C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).

The features are ORB (E. Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011) in OpenCV. ORB costs
a tenth of SIFT, its descriptors are bits, so that every machine finds the same neighbours, and it is not fooled by the
repeated prints on which SIFT finds dozens of matches (docs/decisions/0101). ORB does not know mirrored pictures, so
features of the mirrored picture are kept too, to be looked up.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import sys
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import imagehash
import numpy as np
from PIL import Image
from scipy import fft

from stages.clean import decode
from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from numpy.typing import NDArray

    from stages.clean.decode import Box
    from stages.clean.params import Clean

VERSION = 7  # raise it when the print of the same file changes: earlier commits share the cache
_ANIMATED = re.compile(r"\bfirst of |the first frame; ")  # what `decode` says of further frames or pages
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_GREY = 32  # px of the grey thumbnail that is transformed
LOW = 8  # lowest frequencies kept in each direction
UNIT = 127  # length of a vector of low frequencies
_FREQUENCY = np.sqrt(np.hypot(*np.mgrid[:LOW, :LOW]))  # 0 for the mean brightness, which says nothing
SIDE = 256  # px, the longer side of the picture that features are taken from
LEAST_SIDE = 64  # px, the shorter; smaller pictures have too few features
UPRIGHT, MIRRORED = 300, 200  # features kept, the strongest
_LEVELS, _STEP = 5, 1.414  # of the pyramid: a crop to half of the side is two levels away
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
        return cls(every[:count], every[count:]) if len(every) else NO_FEATURES


NO_FEATURES = Features(np.zeros(0, _DTYPE), np.zeros(0, _DTYPE))


class Job(NamedTuple):
    """A file, and the part of it that is meant (None: the whole picture)."""

    file: str
    box: Box | None = None
    lenient: bool = False  # a person wants it, however small or damaged it is


@dataclass(frozen=True, slots=True)  # there is one for every picture
class Print:
    """One picture's fingerprint.

    sha256: of the file's bytes. pixels: SHA-256 of size and normalised pixels. width, height: px of the normalised
    picture. size: bytes of the file. suffix: see `decode.Picture`. word: perceptual hash. vector: low frequencies,
    64 of int8. contrast: grey levels of the thumbnail, standard deviation. reason, detail: why it was refused
    (`pixels` is then empty), or what had to be put right. forced: why it would be refused, had a person not asked.
    """

    sha256: str
    pixels: str = ""
    width: int = 0
    height: int = 0
    size: int = 0
    suffix: str = ""
    word: int = 0
    vector: bytes = b""  # a tuple takes ten times the memory
    contrast: float = 0.0
    reason: str = ""
    detail: str = ""
    features: Features = field(default=NO_FEATURES, compare=False)
    forced: str = ""

    @property
    def refused(self) -> bool:
        """Whether there is no picture to go on with."""
        return not self.pixels

    @property
    def quality(self) -> tuple[int, bool, int]:
        """Best first: more pixels, one frame (the bytes of further ones tell nothing), more bytes (less compressed)."""
        return -self.width * self.height, _ANIMATED.search(self.detail) is not None, -self.size

    def packed(self) -> bytes:
        """One string of bytes for the cache."""
        facts = {k: getattr(self, k) for k in self.__slots__ if k != "features"}
        facts["vector"] = array("b", self.vector).tolist()
        return json.dumps(facts).encode() + b"\n" + self.features.packed()

    @classmethod
    def unpacked(cls, data: bytes) -> Print:
        """Of what `packed` gave."""
        facts, _, rest = data.partition(b"\n")
        values = json.loads(facts)
        values |= {"vector": array("b", values["vector"]).tobytes(), "suffix": sys.intern(values["suffix"])}
        return cls(**values, features=Features.unpacked(rest))


NOT_READ = Print("")


def describe(data: bytes, digest: str, box: Box | None, clean: Clean) -> tuple[Print, NDArray[np.uint8]]:
    """Decode the bytes of a file and describe the picture.

    Returns:
        The print, and the thumbnail of `small`.

    Raises:
        Refused: there is no picture in it that can be let in.
    """
    picture = decode.decode(data, clean, box)
    image = picture.image
    pixels = hashlib.sha256(f"{image.width}x{image.height}\n".encode())
    pixels.update(image.tobytes())
    thumb = small(image)
    grey = thumbnail(image if max(image.size) <= SIDE else thumb)
    shown = np.asarray(thumb)
    able = min(shown.shape[:2]) >= LEAST_SIDE
    return Print(
        digest,
        pixels.hexdigest(),
        image.width,
        image.height,
        len(data),
        picture.suffix,
        phash(grey),
        vector(grey).tobytes(),
        round(float(np.std(np.asarray(grey))), 3),
        picture.note,
        picture.detail,
        Features.of(shown) if able else NO_FEATURES,
    ), shown


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
    low = (fft.dctn(np.asarray(thumb, np.float64), norm="ortho")[:LOW, :LOW] * _FREQUENCY).ravel()
    return np.asarray(np.rint(UNIT * low / max(float(np.linalg.norm(low)), 1e-9)), np.int8)


def small(image: Image.Image) -> Image.Image:
    """The picture with a longer side of at most `SIDE` px."""
    size = small_size(*image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of `small` of a picture."""
    scale = min(SIDE / max(width, height), 1)
    return max(1, round(width * scale)), max(1, round(height * scale))


def identity(file: str) -> tuple[str, int]:
    """SHA-256 and number of a file's bytes, however many; raises `decode.Refused` where they cannot be had."""
    with _opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), os.fstat(stream.fileno()).st_size


def read(file: str) -> bytes:
    """A file's bytes; raises `decode.Refused` where they cannot be had."""
    with _opened(file) as stream:
        return stream.read()


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BufferedReader]:
    try:
        handle = os.open(file, _READ)  # a pipe must not block
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise decode.Refused("unreadable", "not a file")
            yield stream
    except FileNotFoundError:
        raise decode.Refused("unreadable", "the file is not there") from None
    except OSError as error:
        raise decode.Refused("unreadable", error.strerror or type(error).__name__) from None
