"""What is remembered of each file: its identity, its size and its hashes, or why it was refused."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import PIL
from PIL import Image

from stages.clean import decode, hashes
from stages.clean.cache import Cache, key
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tqdm import tqdm

    from stages.clean.decode import Box, Picture
    from stages.clean.params import Clean
    from stages.clean.thumbs import Reader

_VERSION = 3  # raise it when a fingerprint of the same file changes, or its text: other commits share the cache
_CHUNK = 64
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Job(NamedTuple):
    """A file, and the part of it that is meant (None: the whole picture)."""

    file: str
    box: Box | None = None


class Fingerprint(NamedTuple):
    """One file's (or box's) fingerprint.

    sha256: of the file's bytes. look: of size and thumbnails, so that equal pictures have equal looks; `pixel_hash`
    tells whether those of equal looks are. width, height: px of the normalised picture. size: bytes. suffix: see
    `Picture`. words: 16 hashes, 8 orientations of the picture, then of its centre square. vectors: of both. These two
    as the bytes of little-endian arrays, in hexadecimal. contrast: grey levels of the thumbnail, standard deviation.
    reason, detail: why it was refused (`look` is then empty), or what had to be put right.
    """

    sha256: str
    look: str = ""
    width: int = 0
    height: int = 0
    size: int = 0
    suffix: str = ""
    words: str = ""
    vectors: str = ""
    contrast: float = 0.0
    reason: str = ""
    detail: str = ""

    @property
    def refused(self) -> bool:
        """Whether there is no picture to go on with."""
        return not self.look

    def packed(self) -> str:
        """One text for the cache: as a list JSON takes four times as long."""
        return "\t".join(map(str, self))

    @classmethod
    def unpacked(cls, text: str) -> Fingerprint:
        """Of what `packed` gave."""
        sha256, look, width, height, size, suffix, words, vectors, contrast, *why = text.split("\t", 10)
        sizes = int(width), int(height), int(size)
        return cls(sha256, look, *sizes, suffix, words, vectors, float(contrast), *why)


def fingerprints(jobs: Sequence[Job], clean: Clean, cache: Cache, reader: Reader) -> list[Fingerprint]:
    """Fingerprint files in parallel; the result does not depend on the number of workers."""
    Image.preinit()  # loads plug-ins of Pillow; threads must not do it side by side
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    prints: list[Fingerprint] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(workers(clean)) as pool:
        warnings.simplefilter("ignore")  # plug-ins warn about sloppy files; what matters of it is in the ledger
        bar: tqdm[None]
        with progress(total=len(jobs), desc="fingerprint", unit="file") as bar:
            for part in pool.map(lambda chunk: _chunk(chunk, clean, cache, reader), chunks):
                prints += part
                bar.update(len(part))
        if clean.truncated_min_visible < 1:
            for k, (job, known) in enumerate(zip(jobs, prints, strict=True)):
                if known.reason == "truncated":
                    prints[k] = _rescue(job, known, clean)
    return prints


def workers(clean: Clean) -> int:
    """Threads to use: as many as there are cores for this process, where the system says so (macOS does not)."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return clean.workers or here or 1


def picture(job: Job, known: Fingerprint, clean: Clean, reader: Reader) -> Image.Image:
    """The normalised picture of a file that was let in before.

    Raises:
        Refused: it is not what it was.
    """
    kept = reader.kept(known.sha256, job.box)
    if kept is not None:
        return Image.fromarray(kept)
    open_ = decode.decode_truncated if known.reason == "truncated" else decode.decode
    return open_(content(job.file, known, reader), clean, job.box).image


def content(file: str, known: Fingerprint, reader: Reader) -> bytes:
    """The bytes that were fingerprinted; raises `decode.Refused` where only the file has them, and has others now."""
    kept = reader.file(known.sha256)
    if kept is not None:
        return kept
    data = read(file)
    if hashlib.sha256(data).hexdigest() != known.sha256:
        raise decode.Refused("changed", "the file changed while it was read")
    return data


def pixel_hash(job: Job, known: Fingerprint, clean: Clean, cache: Cache, reader: Reader) -> str:
    """SHA-256 of the normalised picture with its mode and shape; raises `Refused` as `picture` does."""
    name = key("pixels", identity(job, known.sha256, clean))
    found = cache.get([name])
    if name not in found:
        image = picture(job, known, clean, reader)
        digest = hashlib.sha256(f"{image.mode} {image.width}x{image.height}\n".encode())
        digest.update(image.tobytes())
        found[name] = digest.hexdigest()
        cache.put(found.items())
    return str(found[name])


def read(file: str) -> bytes:
    """A file's bytes; raises `decode.Refused` where they cannot be had."""
    try:
        handle = os.open(file, _READ)  # a pipe must not block
        try:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise decode.Refused("unreadable", "not a file")
            data = os.read(handle, facts.st_size + 1)
            while len(data) != facts.st_size and (more := os.read(handle, 1 << 20)):
                data += more
            return data
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise decode.Refused("unreadable", "the file is not there") from None
    except OSError as error:
        raise decode.Refused("unreadable", error.strerror or type(error).__name__) from None


def identity(job: Job, sha256: str, clean: Clean) -> bytes:
    """Cache key of a fingerprint."""
    limits = clean.min_side, clean.max_pixels, clean.max_bytes
    return key("fingerprint", _VERSION, PIL.__version__, limits, sha256, job.box)


def _chunk(chunk: Sequence[Job], clean: Clean, cache: Cache, reader: Reader) -> list[Fingerprint]:
    """Read, look up, decode what is new, hash it in one go."""
    prints: list[Fingerprint | None] = []
    data: list[bytes] = []
    for job in chunk:
        try:
            content = read(job.file)
            digest = hashlib.sha256(content).hexdigest()
            reader.keep_file(digest, content)
            prints.append(Fingerprint(digest, size=len(content)))
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
            result[k] = Fingerprint.unpacked(known[name])
            continue
        try:
            result[k], new[k] = _look(data[k], result[k], chunk[k], reader)
        except decode.Refused as refused:
            result[k] = result[k]._replace(reason=refused.reason, detail=refused.detail)
    if new:
        for k, one in zip(new, _hashed([result[k] for k in new], list(new.values())), strict=True):
            result[k] = one
    cache.put((name, result[k].packed()) for k, name in wanted.items() if name not in known)
    return result


def _look(data: bytes, known: Fingerprint, job: Job, reader: Reader) -> tuple[Fingerprint, NDArray[np.uint8]]:
    """Decode a file: what is known of it now, and its thumbnails."""
    pixels, picture = reader.pixels(data, job.box)
    reader.keep(known.sha256, job.box, pixels)
    thumbs = reader.thumbnails(pixels, picture)
    if picture is None:
        return known._replace(width=pixels.shape[1], height=pixels.shape[0], suffix=".jpg"), thumbs
    return _of(picture, known), thumbs


def _of(picture: Picture, known: Fingerprint) -> Fingerprint:
    width, height = picture.image.size
    return known._replace(width=width, height=height, suffix=picture.suffix, reason=picture.note, detail=picture.detail)


def _hashed(prints: list[Fingerprint], thumbs: list[NDArray[np.uint8]]) -> list[Fingerprint]:
    """Add hashes, vectors and contrast; `thumbs` as of `Reader.thumbnails`."""
    colour = [k for k, mine in enumerate(thumbs) if mine.ndim == 4]
    if colour:
        for k, grey in zip(colour, hashes.luma(np.concatenate([thumbs[k] for k in colour])), strict=True):
            thumbs[k] = grey[None]
    low, words = hashes.transform(np.concatenate(thumbs))
    texts = words.astype("<u8").tobytes().hex(), hashes.vectors(low).tobytes().hex()
    contrast = np.stack([mine[0] for mine in thumbs]).std(axis=(1, 2)).round(3).tolist()
    step = len(texts[0]) // len(words)  # hexadecimal digits of 8 hashes, and of a vector
    result, at = [], 0
    for one, mine, level in zip(prints, thumbs, contrast, strict=True):
        start, last = step * at, step * (at + len(mine) - 1)  # a square is its own centre square
        at += len(mine)
        seen = hashlib.sha256(f"{one.width}x{one.height}".encode())
        seen.update(mine.data)
        own, vector = (text[start : start + step] + text[last : last + step] for text in texts)
        result.append(one._replace(look=seen.hexdigest()[:32], words=own, vectors=vector, contrast=level))
    return result


def _rescue(job: Job, refused: Fingerprint, clean: Clean) -> Fingerprint:
    """Keep what is there of a truncated file, if it is enough."""
    try:
        picture = decode.decode_truncated(read(job.file), clean, job.box)
    except decode.Refused as again:
        return refused._replace(reason=again.reason, detail=again.detail)
    return _hashed([_of(picture, refused)], [hashes.thumbnails(picture.image)])[0]
