"""What is remembered of each file: its identity, its size and its hashes, or why it was refused."""

from __future__ import annotations

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import PIL
from PIL import Image

from stages.clean import decode, hashes
from stages.clean.cache import Cache, key
from stages.clean.thumbs import Thumbnailer
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tqdm import tqdm

    from stages.clean.decode import Box, Picture
    from stages.clean.params import Clean

_VERSION = 1  # raise it when a fingerprint of the same file changes
_CHUNK = 64


@dataclass(frozen=True)
class Job:
    """A file, and the part of it that is meant (None: the whole picture)."""

    file: Path
    box: Box | None = None


@dataclass(frozen=True)
class Fingerprint:
    """One file's (or box's) fingerprint.

    sha256: of the file's bytes. look: of size and thumbnails, so that equal pictures have equal looks; `pixel_hash`
    tells whether those of equal looks are. width, height: px of the normalised picture. size: bytes. suffix: see
    `Picture`. words: 16 hashes, 8 orientations of the picture, then of its centre square. vectors: of both, in
    hexadecimal. contrast: grey levels of the thumbnail, standard deviation. reason, detail: why it was refused
    (`look` is then empty), or what had to be put right.
    """

    sha256: str
    look: str = ""
    width: int = 0
    height: int = 0
    size: int = 0
    suffix: str = ""
    words: tuple[int, ...] = ()
    vectors: str = ""
    contrast: float = 0.0
    reason: str = ""
    detail: str = ""

    @property
    def refused(self) -> bool:
        """Whether there is no picture to go on with."""
        return not self.look


def fingerprints(jobs: Sequence[Job], clean: Clean, cache: Cache) -> list[Fingerprint]:
    """Fingerprint files in parallel; the result does not depend on the number of workers."""
    Image.init()  # loads Pillow's plug-ins; threads must not do it side by side
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    prints: list[Fingerprint] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(workers(clean)) as pool:
        warnings.simplefilter("ignore")  # plug-ins warn about sloppy files; what matters of it is in the ledger
        thumbnailer = Thumbnailer(clean)
        bar: tqdm[None]
        with progress(total=len(jobs), desc="fingerprint", unit="file") as bar:
            for part in pool.map(lambda chunk: _chunk(chunk, clean, cache, thumbnailer), chunks):
                prints += part
                bar.update(len(part))
        if clean.truncated_min_visible < 1:
            for k, (job, known) in enumerate(zip(jobs, prints, strict=True)):
                if known.reason == "truncated":
                    prints[k] = _rescue(job, known, clean)
    return prints


def workers(clean: Clean) -> int:
    """Threads to use."""
    return clean.workers or len(os.sched_getaffinity(0))


def picture(job: Job, known: Fingerprint, clean: Clean) -> Picture:
    """Decode a file again that was let in before.

    Raises:
        Refused: it is not what it was.
    """
    open_ = decode.decode_truncated if known.reason == "truncated" else decode.decode
    return open_(read(job.file), clean, job.box)


def pixel_hash(job: Job, known: Fingerprint, clean: Clean) -> str:
    """SHA-256 of the normalised picture with its mode and shape; raises `Refused` as `picture` does."""
    image = picture(job, known, clean).image
    digest = hashlib.sha256(f"{image.mode} {image.width}x{image.height}\n".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def read(file: Path) -> bytes:
    """A file's bytes; raises `decode.Refused` where they cannot be had."""
    try:
        if not file.is_file():
            raise decode.Refused("unreadable", "not a file" if file.exists() else "the file is not there")
        return file.read_bytes()
    except OSError as error:
        raise decode.Refused("unreadable", error.strerror or type(error).__name__) from None


def identity(job: Job, sha256: str, clean: Clean) -> bytes:
    """Cache key of a fingerprint."""
    limits = clean.min_side, clean.max_pixels, clean.max_bytes
    return key("fingerprint", _VERSION, PIL.__version__, limits, sha256, job.box)


def _chunk(chunk: Sequence[Job], clean: Clean, cache: Cache, thumbnailer: Thumbnailer) -> list[Fingerprint]:
    """Read, look up, decode what is new, hash it in one go."""
    prints: list[Fingerprint | None] = []
    data: list[bytes] = []
    for job in chunk:
        try:
            content = read(job.file)
            prints.append(Fingerprint(hashlib.sha256(content).hexdigest(), size=len(content)))
        except decode.Refused as refused:
            content = b""
            prints.append(Fingerprint("", reason=refused.reason, detail=refused.detail))
        data.append(content)
    wanted = {k: identity(chunk[k], p.sha256, clean) for k, p in enumerate(prints) if p and p.sha256}
    known = cache.get(list(wanted.values()))
    new: dict[int, NDArray[np.uint8]] = {}
    result: list[Fingerprint] = [p for p in prints if p]
    for k, name in wanted.items():
        if name in known:
            values = known[name]
            result[k] = Fingerprint(**values | {"words": tuple(values["words"])})
            continue
        try:
            result[k], new[k] = _look(data[k], result[k], chunk[k], thumbnailer)
        except decode.Refused as refused:
            result[k] = replace(result[k], reason=refused.reason, detail=refused.detail)
    if new:
        for k, one in zip(new, _hashed([result[k] for k in new], np.stack(list(new.values()))), strict=True):
            result[k] = one
    cache.put((name, asdict(result[k])) for k, name in wanted.items() if name not in known)
    return result


def _look(data: bytes, known: Fingerprint, job: Job, thumbnailer: Thumbnailer) -> tuple[Fingerprint, NDArray[np.uint8]]:
    """Decode a file: what is known of it now, and its thumbnails."""
    width, height, picture, thumbs = thumbnailer(data, job.box)
    if picture is None:
        return replace(known, width=width, height=height, suffix=".jpg"), thumbs
    return _of(picture, known), thumbs


def _of(picture: Picture, known: Fingerprint) -> Fingerprint:
    width, height = picture.image.size
    return replace(known, width=width, height=height, suffix=picture.suffix, reason=picture.note, detail=picture.detail)


def _hashed(prints: list[Fingerprint], thumbs: NDArray[np.uint8]) -> list[Fingerprint]:
    """Add hashes, vectors and contrast; `thumbs` is uint8 of shape (n, 2, 32, 32)."""
    low = hashes.low_frequencies(thumbs)
    words = hashes.hashes(hashes.orientations(low)).reshape(len(prints), -1)
    vectors = hashes.vectors(low).reshape(len(prints), -1)
    contrast = thumbs[:, 0].std(axis=(1, 2))
    result = []
    for k, one in enumerate(prints):
        look = hashlib.sha256(f"{one.width}x{one.height}".encode() + thumbs[k].tobytes()).hexdigest()[:32]
        result.append(
            replace(
                one,
                look=look,
                words=tuple(words[k].tolist()),
                vectors=vectors[k].tobytes().hex(),
                contrast=round(float(contrast[k]), 3),
            )
        )
    return result


def _rescue(job: Job, refused: Fingerprint, clean: Clean) -> Fingerprint:
    """Keep what is there of a truncated file, if it is enough."""
    try:
        picture = decode.decode_truncated(read(job.file), clean, job.box)
    except decode.Refused as again:
        return replace(refused, reason=again.reason, detail=again.detail)
    return _hashed([_of(picture, refused)], hashes.thumbnails(picture.image)[None])[0]
