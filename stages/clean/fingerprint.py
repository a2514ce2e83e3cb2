"""What is remembered of each file: its identity, its size and its hashes, or why it was refused."""

from __future__ import annotations

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from stages.clean import decode, hashes
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.clean.decode import Box, Picture
    from stages.clean.params import Clean


@dataclass(frozen=True)
class Job:
    """A file, and the part of it that is meant (None: the whole picture)."""

    file: Path
    box: Box | None = None


@dataclass(frozen=True)
class Fingerprint:
    """One file's (or box's) fingerprint.

    sha256: of the file's bytes. pixels: of the normalised picture and its shape. width, height: px of the normalised
    picture. size: bytes. suffix: see `Picture`. words: 16 hashes as of `hashes.hashes` of shape (2, 8), flattened.
    contrast: of the grey thumbnail. reason, detail: why it was refused (words is then empty), or what had to be put
    right.
    """

    sha256: str
    pixels: str = ""
    width: int = 0
    height: int = 0
    size: int = 0
    suffix: str = ""
    words: tuple[int, ...] = ()
    contrast: float = 0.0
    reason: str = ""
    detail: str = ""

    @property
    def refused(self) -> bool:
        """Whether there is no picture to go on with."""
        return not self.words


def fingerprints(jobs: Sequence[Job], clean: Clean) -> list[Fingerprint]:
    """Fingerprint files in parallel; the result does not depend on the number of workers."""
    Image.init()  # loads Pillow's plug-ins; threads must not do it side by side
    workers = clean.workers or len(os.sched_getaffinity(0))
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        warnings.simplefilter("ignore")  # plug-ins warn about sloppy files; what matters of it is in the ledger
        prints = list(progress(pool.map(lambda job: _one(job, clean), jobs), total=len(jobs), desc="fingerprint"))
        if clean.truncated_min_visible < 1:
            prints = [
                _rescue(job, p, clean) if p.reason == "truncated" else p for job, p in zip(jobs, prints, strict=True)
            ]
    return prints


def read(file: Path) -> bytes:
    """A file's bytes; raises `decode.Refused` where they cannot be had."""
    try:
        if not file.is_file():
            raise decode.Refused("unreadable", "not a file" if file.exists() else "the file is not there")
        return file.read_bytes()
    except OSError as error:
        raise decode.Refused("unreadable", error.strerror or type(error).__name__) from None


def _one(job: Job, clean: Clean) -> Fingerprint:
    sha256, size = "", 0
    try:
        data = read(job.file)
        sha256, size = hashlib.sha256(data).hexdigest(), len(data)
        return _of(decode.decode(data, clean, job.box), sha256, size)
    except decode.Refused as refused:
        return Fingerprint(sha256, size=size, reason=refused.reason, detail=refused.detail)


def _rescue(job: Job, refused: Fingerprint, clean: Clean) -> Fingerprint:
    try:
        return _of(decode.decode_truncated(read(job.file), clean, job.box), refused.sha256, refused.size)
    except decode.Refused as again:
        return Fingerprint(refused.sha256, size=refused.size, reason=again.reason, detail=again.detail)


def _of(picture: Picture, sha256: str, size: int) -> Fingerprint:
    image = picture.image
    thumbs = hashes.thumbnails(image)
    pixels = hashlib.sha256(f"RGB {image.width}x{image.height}\n".encode())
    pixels.update(image.tobytes())
    return Fingerprint(
        sha256=sha256,
        pixels=pixels.hexdigest(),
        width=image.width,
        height=image.height,
        size=size,
        suffix=picture.suffix,
        words=tuple(hashes.hashes(thumbs).ravel().tolist()),
        contrast=round(hashes.contrast(thumbs), 3),
        reason=picture.note,
        detail=picture.detail,
    )
