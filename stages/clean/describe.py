"""What is known of one picture: its identity, its size, hashes and features, or why it was refused."""

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

import numpy as np
from PIL import Image

from stages.clean import decode, features
from stages.clean.features import Features

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from numpy.typing import NDArray

    from stages.clean.decode import Box
    from stages.clean.params import Clean

VERSION = 7  # raise it when the print of the same file changes: earlier commits share the cache
_ANIMATED = re.compile(r"\bfirst of |the first frame; ")  # what `decode` says of further frames or pages
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


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
    features: Features = field(default=features.NONE, compare=False)
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
    grey = features.thumbnail(image if max(image.size) <= features.SIDE else thumb)
    shown = np.asarray(thumb)
    able = min(shown.shape[:2]) >= features.LEAST_SIDE
    return Print(
        digest,
        pixels.hexdigest(),
        image.width,
        image.height,
        len(data),
        picture.suffix,
        features.phash(grey),
        features.vector(grey).tobytes(),
        round(float(np.std(np.asarray(grey))), 3),
        picture.note,
        picture.detail,
        Features.of(shown) if able else features.NONE,
    ), shown


def small(image: Image.Image) -> Image.Image:
    """The picture with a longer side of at most `features.SIDE` px."""
    size = small_size(*image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of `small` of a picture."""
    scale = min(features.SIDE / max(width, height), 1)
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
