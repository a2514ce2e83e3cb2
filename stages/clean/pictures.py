"""The pictures of a run: one object that gives their bytes, prints, thumbnails and pixels."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import PIL

from stages.clean import decode, describe, isolate
from stages.clean.cache import Cache
from stages.clean.decode import Refused
from stages.clean.describe import Job, Print
from stages.clean.opencv import cv2
from stages.core.children import cores
from stages.core.console import progress
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.clean.params import Clean

_KEPT = 400_000_000  # bytes of thumbnails in memory
LENIENT = {"truncated_min_visible": 0.001, "corrupt_data": "keep", "min_side": 1}
Task = tuple[str, str, decode.Box | None, bool]  # file, SHA-256, box, whether to be lenient


class Pictures:
    """Pictures by their position in the raw manifest."""

    def __init__(self, jobs: Sequence[Job | None], clean: Clean, cache_file: Path | None) -> None:
        """Describe every picture that has a job, in parallel; the result does not depend on the number of workers."""
        self.clean = clean
        self.prints = [Print("") for _ in jobs]
        self._jobs = jobs
        self._thumbs: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._room = _KEPT
        with contextlib.closing(Cache(cache_file)) as cache:
            self._describe(cache)

    def content(self, k: int) -> bytes:
        """The bytes of the file.

        Raises:
            UserError: they are not those that were described.
        """
        job = self._job(k)
        data = describe.read(job.file)
        if hashlib.sha256(data).hexdigest() != self.prints[k].sha256:
            raise UserError(f"{job.file} changed while it was read; make it again with `dvc repro -f ingest`")
        return data

    def picture(self, k: int) -> decode.Picture:
        """The normalised picture, whole."""
        clean = self.clean.model_copy(update=LENIENT) if self.prints[k].forced else self.clean
        return decode.decode(self.content(k), clean, self._job(k).box)

    def thumb(self, k: int) -> NDArray[np.uint8]:
        """The picture with a longer side of at most `features.SIDE` px, uint8 (height, width, 3)."""
        if k not in self._thumbs:
            self._keep(k, np.asarray(describe.small(self.picture(k).image)))
        self._thumbs.move_to_end(k)
        return self._thumbs[k]

    def _job(self, k: int) -> Job:
        job = self._jobs[k]
        assert job is not None  # noqa: S101 - only described pictures are asked for
        return job

    def _describe(self, cache: Cache) -> None:
        tasks: dict[int, Task] = {}
        for k, job in enumerate(self._jobs):
            if job is None:
                continue
            digest, size = "", 0
            try:
                digest, size = describe.identity(job.file)
                decode.check_bytes(size, self.clean)
                tasks[k] = job.file, digest, job.box, job.lenient
            except Refused as refused:
                self.prints[k] = Print(digest, size=size, reason=refused.reason, detail=refused.detail)
        keys = {k: _key(task, self.clean) for k, task in tasks.items()}
        known = {key: Print.unpacked(data) for key, data in cache.get(list(keys.values()))}
        for k, key in keys.items():
            if key in known:
                self.prints[k] = known[key]
                del tasks[k]
        work = functools.partial(_one, clean=self.clean)
        limits = {"seconds": self.clean.seconds, "gigabytes": self.clean.gigabytes}
        found = isolate.each(work, list(tasks.values()), workers=workers(self.clean), **limits)
        for k, result in progress(zip(tasks, found, strict=True), total=len(tasks), desc="describe", unit="picture"):
            if isinstance(result, Refused):  # a limit of this machine was met: not to be remembered
                self.prints[k] = Print(tasks[k][1], reason=result.reason, detail=result.detail)
                continue
            self.prints[k], thumb = result
            cache.put(keys[k], self.prints[k].packed())
            if thumb is not None and thumb.nbytes <= self._room:
                self._keep(k, thumb)

    def _keep(self, k: int, thumb: NDArray[np.uint8]) -> None:
        self._thumbs[k] = thumb
        self._room -= thumb.nbytes
        while self._room < 0 and len(self._thumbs) > 2:  # the two of a pair are in use
            _, old = self._thumbs.popitem(last=False)
            self._room += old.nbytes


def workers(clean: Clean) -> int:
    """Processes to use: as many as there are cores for this process, where the system says so (macOS does not)."""
    return clean.workers or cores()


def _one(task: Task, clean: Clean) -> tuple[Print, NDArray[np.uint8] | None]:
    """In a worker process: read a file again and describe its picture."""
    file, digest, box, lenient = task
    data = describe.read(file)
    try:
        return describe.describe(data, digest, box, clean)
    except Refused as refused:
        if lenient and refused.reason in ("truncated", "corrupt_data", "too_small"):
            with contextlib.suppress(Refused):
                forced, thumb = describe.describe(data, digest, box, clean.model_copy(update=LENIENT))
                return replace(forced, forced=str(refused)), thumb
        return Print(digest, size=len(data), reason=refused.reason, detail=refused.detail), None


def _key(task: Task, clean: Clean) -> bytes:
    """What the result depends on."""
    limits = sorted(clean.model_dump(exclude={"duplicates", "label_conflicts", "workers", "match"}).items())
    parts = ("print", describe.VERSION, PIL.__version__, cv2.__version__, limits, *task[1:])
    return hashlib.sha256(repr(parts).encode()).digest()[:16]
