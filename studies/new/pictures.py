"""What the pictures are: sizes, formats, damage, and copies, from all of them or from a sample."""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet

from stages.clean import filebytes, isolate
from stages.clean.decode import Refused, open_header
from stages.core import console
from stages.core.children import cores
from studies.new.listing import read, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tqdm import tqdm

    from studies.new.listing import Listing

MOST = 3000  # pictures that are opened
SECONDS = 20.0  # that opening them may take
NEAR = 2  # bits of 64 that the hashes of a copy may differ by, in both of two hashes
MAX_PIXELS = 100_000_000  # as `clean.max_pixels`
LIMITS: dict[str, float] = {"seconds": 10, "gigabytes": 4}  # of one picture; `clean` has limits of its own
_SUFFIXES = {"JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"}, "PNG": {".png"}, "WEBP": {".webp"}, "GIF": {".gif"}}


@dataclass(frozen=True)
class Looked:
    """What was seen of the pictures that were opened.

    Attributes:
        opened: how many pictures were opened.
        sizes: width and height of each of them.
        formats: how many of each format.
        misnamed: whose ending names another format.
        broken: that cannot be opened.
        copies: groups of files with the same bytes.
        alike: groups of pictures that look the same, with their byte copies.
        ones: those that could be opened.
    """

    opened: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    misnamed: int = 0
    broken: list[str] = field(default_factory=list)
    copies: list[list[str]] = field(default_factory=list)
    alike: list[list[str]] = field(default_factory=list)
    ones: Sequence[_One] = ()

    @property
    def side(self) -> int:
        """The median of the longer sides, px."""
        return int(np.median([max(size) for size in self.sizes])) if self.sizes else 0

    @property
    def turned(self) -> list[list[str]]:
        """Pairs of pictures of which one is a copy of the other, turned or mirrored."""
        found: list[list[str]] = []
        for way in Image.Transpose:
            hashes = [_hashes(one.small.transpose(way)) for one in self.ones if one.small]
            found += _near(self.ones, hashes)
        return found

    @property
    def extra(self) -> int:
        """How many files could go without losing a picture, by the bytes and the hashes."""
        groups = self.alike or self.copies
        return sum(len(group) - 1 for group in groups)


@dataclass(frozen=True)
class _One:
    """A picture that was opened; `hashes` and `small` are None where it cannot be."""

    path: str
    digest: str = ""
    size: tuple[int, int] = (0, 0)
    format: str = ""
    hashes: tuple[int, int] | None = None
    small: Image.Image | None = None


def look(listing: Listing) -> Looked:
    """Open the pictures of a folder, or a sample of them, in worker processes: a file may crash or block a decoder."""
    chosen = sample(listing, MOST)
    deadline = time.monotonic() + SECONDS
    ones: list[_One] = []
    workers: list[Any] = []
    stream = read(listing, chosen)
    bar: tqdm[str]
    with console.progress(total=len(chosen), desc="opening", unit=" pictures") as bar:
        while batch := [pair for _, pair in zip(range(64), stream, strict=False)]:
            found = isolate.each(_open, batch, workers=cores(), kept=workers, **LIMITS)
            for (path, _), one in zip(batch, found, strict=True):
                ones.append(_One(path) if isinstance(one, Refused) else one)
                bar.update()
            if time.monotonic() > deadline:
                break
    good = [one for one in ones if one.hashes is not None]
    copies = _same_bytes(good)
    return Looked(
        len(ones),
        [one.size for one in good],
        Counter(one.format for one in good),
        sum(_misnamed(one) for one in good),
        [one.path for one in ones if one.hashes is None],
        copies,
        _alike(good, copies),
        good,
    )


def _open(pair: tuple[str, bytes]) -> _One:
    path, data = pair
    digest = hashlib.sha256(data).hexdigest()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Before Pillow makes room for it; as `clean` does.
            if (announced := filebytes.webp_size(data)) and math.prod(announced) > MAX_PIXELS:
                return _One(path, digest)
            picture = open_header(data)
            size = picture.size
            if math.prod(size) > MAX_PIXELS or filebytes.excess(picture, data, MAX_PIXELS):
                return _One(path, digest)
            picture.draft("RGB", (256, 256))
            small = picture.convert("L").resize((64, 64), Image.Resampling.BOX)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a damaged file may raise anything
        return _One(path, digest)
    return _One(path, digest, size, picture.format or "", _hashes(small), small)


def _hashes(small: Image.Image) -> tuple[int, int]:
    import imagehash

    return int(str(imagehash.phash(small)), 16), int(str(imagehash.dhash(small)), 16)


def _misnamed(one: _One) -> bool:
    suffix = PurePosixPath(one.path).suffix.lower()
    return bool(suffix) and suffix not in _SUFFIXES.get(one.format, {suffix})


def _same_bytes(ones: list[_One]) -> list[list[str]]:
    """Groups of files with the same bytes."""
    same: defaultdict[str, list[str]] = defaultdict(list)
    for one in ones:
        same[one.digest].append(one.path)
    return [sorted(paths) for paths in same.values() if len(paths) > 1]


def _alike(ones: list[_One], copies: list[list[str]]) -> list[list[str]]:
    """Groups of pictures whose two hashes agree, joined with the files of the same bytes."""
    joined = DisjointSet(one.path for one in ones)
    for first, *others in [*copies, *_near(ones, [one.hashes for one in ones if one.hashes])]:
        for other in others:
            joined.merge(first, other)
    return sorted(sorted(group) for group in joined.subsets() if len(group) > 1)


def _near(ones: Sequence[_One], hashes: Sequence[tuple[int, int]]) -> list[list[str]]:
    """Pairs of pictures: the hashes of the first are near those that are given for the second."""
    if not ones:
        return []
    first: NDArray[np.uint64] = np.array([one.hashes for one in ones if one.hashes], dtype=np.uint64)
    second: NDArray[np.uint64] = np.array(hashes, dtype=np.uint64)
    # A picture of one colour has hashes without a bit, which tell nothing.
    told = np.bitwise_count(first).min(axis=1) > 4
    found = []
    for i, one in enumerate(ones):
        far = np.bitwise_count(second[i + 1 :] ^ first[i]).max(axis=1, initial=0)
        for j in np.flatnonzero((far <= NEAR) & told[i + 1 :] & told[i]) + i + 1:
            found.append([one.path, ones[int(j)].path])  # noqa: PERF401 - two loops in one comprehension read worse
    return found
