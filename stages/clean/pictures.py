"""The pictures of a run: one object that gives their bytes, prints, thumbnails and pixels.

What was worked out before is remembered by content: a picture seen once is not decoded again, whatever it is called
now. One SQLite file under `.cache/` holds it, and nothing that cannot be worked out again; deleting it is safe.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sqlite3
import threading
from collections import OrderedDict, deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL

from stages.clean import decode, describe, isolate
from stages.clean.decode import Refused
from stages.clean.describe import NOT_READ, Job, Print
from stages.clean.opencv import cv2
from stages.core.children import cores
from stages.core.console import progress, say
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from tqdm import tqdm

    from stages.clean.params import Clean

CACHE = Path(".cache/clean.sqlite")
_SUM = 8  # bytes before each value by which damage is noticed: SQLite has none
_PATIENCE = 30.0  # seconds to wait for another run
_AT_ONCE = 256  # values written in one transaction, and asked for in one question
_KEPT = 400_000_000  # bytes of thumbnails in memory
LENIENT = {"truncated_min_visible": 0.001, "corrupt_data": "keep", "min_side": 1}
Task = tuple[Job, str]  # and the SHA-256 of the file


class Pictures:
    """Pictures by their position in the raw manifest."""

    def __init__(self, jobs: Sequence[Job | Refused], clean: Clean, cache_file: Path | None, each: Any = None) -> None:
        """Describe every picture, in parallel; the result does not depend on the number of workers.

        Args:
            jobs: of every picture, or why it cannot be described.
            clean: the section of params.yaml.
            cache_file: prints of pictures that were seen before; None: none are kept.
            each: what takes the place of `isolate.each`.
        """
        self.clean = clean
        self._each = each or isolate.each
        self.prints = [NOT_READ] * len(jobs)
        self._jobs = jobs
        self._thumbs: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._room = _KEPT
        self._thumbs_lock = threading.Lock()  # several threads ask for thumbnails
        self._whole_lock = threading.Lock()  # two pictures in all pixels can take a gigabyte: one thread at a time
        self.picture = functools.lru_cache(maxsize=2)(self._picture)  # a pair is looked at twice
        with contextlib.closing(Cache(cache_file)) as cache:
            self._describe(cache)

    def _job(self, k: int) -> Job:
        job = self._jobs[k]
        if isinstance(job, Refused):
            raise job
        return job

    def content(self, k: int) -> bytes:
        """The bytes of the file.

        Raises:
            UserError: they are not those that were described.
        """
        file = self._job(k).file
        with contextlib.suppress(Refused):  # it was deleted
            data = describe.read(file)
            if hashlib.sha256(data).hexdigest() == self.prints[k].sha256:
                return data
        raise UserError(f"{file} changed while it was read; make it again with `dvc repro -f ingest`")

    def _picture(self, k: int) -> decode.Picture:
        """The normalised picture, whole."""
        clean = self.clean.model_copy(update=LENIENT) if self.prints[k].forced else self.clean
        return decode.decode(self.content(k), clean, self._job(k).box)

    def thumb(self, k: int) -> NDArray[np.uint8]:
        """The picture with a longer side of at most `describe.SIDE` px, uint8 (height, width, 3)."""
        thumb = self._kept_thumb(k)
        if thumb is None:
            with self._whole_lock:
                thumb = self._kept_thumb(k)  # another thread may have decoded the picture while this one waited
                if thumb is None:
                    thumb = np.asarray(describe.small(self.picture(k).image))
                    with self._thumbs_lock:
                        self._keep(k, thumb)
        return thumb

    def _kept_thumb(self, k: int) -> NDArray[np.uint8] | None:
        with self._thumbs_lock:
            if k in self._thumbs:
                self._thumbs.move_to_end(k)
            return self._thumbs.get(k)

    @contextlib.contextmanager
    def whole(self, *places: int) -> Iterator[list[NDArray[np.uint8]]]:
        """All pixels of some pictures, uint8 (height, width, 3) each; other threads wait until the block is left."""
        with self._whole_lock:
            yield [np.asarray(self.picture(k).image) for k in places]

    def _describe(self, cache: Cache) -> None:
        asked: deque[tuple[int, bytes]] = deque()  # of those that are being described: position and key
        work = functools.partial(_one, clean=self.clean)
        seconds, gigabytes = self.clean.seconds, self.clean.gigabytes
        bar: tqdm[Any] = progress(total=len(self._jobs), desc="describe", unit="picture")
        tasks = self._unknown(cache, asked, bar)
        for result in self._each(work, tasks, workers=workers(self.clean), seconds=seconds, gigabytes=gigabytes):
            k, key = asked.popleft()
            bar.update()
            if isinstance(result, Refused):  # a limit of this machine was met: not to be remembered
                self.prints[k] = replace(self.prints[k], reason=result.reason, detail=result.detail)
                continue
            packed, thumb = result
            self.prints[k] = Print.unpacked(packed)
            cache.put(key, packed)
            if thumb is not None and thumb.nbytes <= self._room:
                self._keep(k, thumb)
        bar.close()

    def _unknown(self, cache: Cache, asked: deque[tuple[int, bytes]], bar: tqdm[Any]) -> Iterator[Task]:
        """Those that have to be described; the prints of the others are filled in."""
        for start in range(0, len(self._jobs), _AT_ONCE):
            tasks: dict[int, Task] = {}
            for k, job in enumerate(self._jobs[start : start + _AT_ONCE], start):
                digest, size = "", 0
                try:
                    if isinstance(job, Refused):
                        raise job
                    digest, size = describe.identity(job.file)
                    decode.check_bytes(size, self.clean)
                    tasks[k] = job, digest
                    self.prints[k] = Print(digest)
                except Refused as refused:
                    self.prints[k] = Print(digest, size=size, reason=refused.reason, detail=refused.detail)
                    bar.update()
            keys = {k: _key(*task, self.clean) for k, task in tasks.items()}
            known = cache.get(list(keys.values()))
            for k, key in keys.items():
                if key in known:
                    self.prints[k] = Print.unpacked(known[key])
                    bar.update()
                else:
                    asked.append((k, key))
                    yield tasks[k]

    def _keep(self, k: int, thumb: NDArray[np.uint8]) -> None:
        if k not in self._thumbs:  # else another thread decoded the picture at the same time
            self._room -= thumb.nbytes
        self._thumbs[k] = thumb
        while self._room < 0:  # a thread that uses a thumbnail still holds it when it is left out here
            _, old = self._thumbs.popitem(last=False)
            self._room += old.nbytes


def workers(clean: Clean) -> int:
    """Processes to use: as many as there are cores for this process, where the system says so (macOS does not)."""
    return clean.workers or cores()


def _one(task: Task, clean: Clean) -> tuple[bytes, NDArray[np.uint8] | None]:
    """In a worker process: read a file again and describe its picture; the packed print, and the thumbnail."""
    job, digest = task
    data = describe.read(job.file)
    thumb = None
    try:
        found, thumb = describe.describe(data, digest, job.box, clean)
    except Refused as refused:
        found = Print(digest, size=len(data), reason=refused.reason, detail=refused.detail)
        if job.lenient and refused.reason in ("truncated", "corrupt_data", "too_small"):
            with contextlib.suppress(Refused):
                forced, thumb = describe.describe(data, digest, job.box, clean.model_copy(update=LENIENT))
                found = replace(forced, forced=str(refused))
    return found.packed(), thumb


def _key(job: Job, digest: str, clean: Clean) -> bytes:
    """What the result depends on."""
    limits = sorted(clean.model_dump(exclude={"duplicates", "label_conflicts", "workers", "match"}).items())
    parts = describe.VERSION, PIL.__version__, cv2.__version__, limits, digest, job.box, job.lenient
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


class Cache:
    """Keys to bytes. A temporary file takes the place of one that cannot be used; one that is damaged is deleted."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._waiting: list[tuple[bytes, bytes]] = []
        try:
            self._base = _open(file)
        except (sqlite3.Error, OSError) as error:
            self._base = self._without(error)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The keys that are known, each with its value."""
        marks = ",".join("?" * len(keys))
        try:
            rows = self._base.execute(f"SELECT key, value FROM prints WHERE key IN ({marks})", keys).fetchall()  # noqa: S608
        except sqlite3.Error as error:
            self._base = self._without(error)
            return {}
        return {key: value[_SUM:] for key, value in rows if _is_whole(value)}

    def put(self, key: bytes, value: bytes) -> None:
        """Remember a value: many in one transaction, so that an interrupted run goes on nearly where it was."""
        self._waiting.append((key, _sum(value) + value))
        if len(self._waiting) == _AT_ONCE:
            self._write()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._write()
        self._base.close()

    def _write(self) -> None:
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO prints VALUES (?, ?)", self._waiting)
        except sqlite3.OperationalError:
            pass  # a full disk costs the memory, not the run
        except sqlite3.Error as error:
            self._base = self._without(error)
        self._waiting.clear()

    def _without(self, error: Exception) -> sqlite3.Connection:
        """A temporary database, after an error; a file that is damaged, not merely locked or full, is deleted."""
        say(f"{self._file} cannot be used ({error}): everything is worked out anew")
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._base.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with contextlib.suppress(OSError):
                for end in ("", "-wal", "-shm"):
                    Path(f"{self._file}{end}").unlink(missing_ok=True)
        return _open(None)


def _open(file: Path | None) -> sqlite3.Connection:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(file or "", timeout=_PATIENCE)  # "": a temporary file
    try:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=NORMAL")
        base.execute("CREATE TABLE IF NOT EXISTS prints (key BLOB PRIMARY KEY, value BLOB)")
    except sqlite3.Error:
        base.close()
        raise
    return base


def _is_whole(value: object) -> bool:
    return isinstance(value, bytes) and value[:_SUM] == _sum(value[_SUM:])


def _sum(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()[:_SUM]
