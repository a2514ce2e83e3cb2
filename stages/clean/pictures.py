"""The pictures of a run: one object that gives their bytes, prints, features, thumbnails and pixels."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import PIL

from stages.clean import decode, describe, features, isolate
from stages.clean.cache import Cache, key
from stages.clean.decode import Refused
from stages.clean.describe import Job, Print
from stages.clean.features import Features
from stages.clean.opencv import cv2
from stages.core.children import cores
from stages.core.console import progress
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from tqdm import tqdm

    from stages.clean.params import Clean

_KEPT = 400_000_000  # bytes of thumbnails in memory
_AT_ONCE = 256  # prints written to the cache in one transaction
LENIENT = {"truncated_min_visible": 0.001, "corrupt_data": "keep", "min_side": 1}
Task = tuple[str, str, decode.Box | None, bool]  # file, SHA-256, box, whether to be lenient


class Pictures:
    """Pictures by their position in the raw manifest."""

    def __init__(self, jobs: Sequence[Job | None], clean: Clean, cache: Cache) -> None:
        """Describe every picture that has a job, in parallel; the result does not depend on the number of workers."""
        self.clean = clean
        self._jobs, self._cache = jobs, cache
        self._thumbs: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._room = _KEPT
        self.prints = [Print("") for _ in jobs]
        self._keys: dict[int, bytes] = {}
        self._describe()
        self.features = functools.lru_cache(maxsize=4096)(self._features)

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

    def _features(self, k: int) -> Features:
        if min(self.prints[k].width, self.prints[k].height) == 0:
            return features.NONE
        name = self._keys[k]
        known = self._cache.get([name])
        return Print.unpacked(known[name]).features if name in known else Features.of(self.thumb(k))

    def _job(self, k: int) -> Job:
        job = self._jobs[k]
        assert job is not None  # noqa: S101 - only described pictures are asked for
        return job

    def _describe(self) -> None:
        tasks: dict[int, Task] = {}
        for k, job in enumerate(self._jobs):
            if job is None:
                continue
            try:
                digest, size = describe.identity(job.file)
            except Refused as refused:
                self.prints[k] = Print("", reason=refused.reason, detail=refused.detail)
                continue
            try:
                decode.check_bytes(size, self.clean)
            except Refused as refused:
                self.prints[k] = Print(digest, size=size, reason=refused.reason, detail=refused.detail)
                continue
            tasks[k] = job.file, digest, job.box, job.lenient
            self._keys[k] = _key(tasks[k], self.clean)
        known = {name: Print.unpacked(data) for name, data in self._cached(self._keys.values())}
        new = {k: task for k, task in tasks.items() if self._keys[k] not in known}
        for k in tasks.keys() - new.keys():
            self.prints[k] = known[self._keys[k]]
        self._work(new)

    def _cached(self, names: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """What is known of pictures by their keys, without their features, which stay on disk."""
        every = list(names)
        for start in range(0, len(every), _AT_ONCE):
            for name, data in self._cache.get(every[start : start + _AT_ONCE]).items():
                facts, mark, _ = data.partition(b"\n")
                yield name, facts + mark + b"\0\0"

    def _work(self, tasks: dict[int, Task]) -> None:
        bar: tqdm[None]
        waiting: list[tuple[bytes, bytes]] = []
        work = functools.partial(_one, clean=self.clean)
        seconds, gigabytes = self.clean.seconds, self.clean.gigabytes
        items = list(tasks.values())
        found = isolate.each(work, items, workers=workers(self.clean), seconds=seconds, gigabytes=gigabytes)
        with progress(total=len(tasks), desc="describe", unit="picture") as bar:
            for k, result in zip(tasks, found, strict=True):
                if isinstance(result, Refused):  # a limit of this machine was met: not to be remembered
                    self.prints[k] = Print(tasks[k][1], reason=result.reason, detail=result.detail)
                else:
                    one, thumb = result
                    waiting.append((self._keys[k], one.packed()))
                    self.prints[k] = replace(one, features=features.NONE)
                    if thumb is not None and thumb.nbytes <= self._room:
                        self._keep(k, thumb)
                if len(waiting) >= _AT_ONCE:
                    self._cache.put(waiting)
                    waiting.clear()
                bar.update()
        self._cache.put(waiting)

    def _keep(self, k: int, thumb: NDArray[np.uint8]) -> None:
        self._thumbs[k] = thumb
        self._room -= thumb.nbytes
        while self._room < 0 and len(self._thumbs) > 2:  # the two of a pair are in use
            _, old = self._thumbs.popitem(last=False)
            self._room += old.nbytes


class Ordered:
    """The pictures at some positions, in an order of its own: position k is `order[k]` of the pictures."""

    def __init__(self, pictures: Pictures, order: Sequence[int]) -> None:
        self.clean = pictures.clean
        self.prints = [pictures.prints[k] for k in order]
        self._pictures, self._order = pictures, order

    def picture(self, k: int) -> decode.Picture:
        """As `Pictures.picture`."""
        return self._pictures.picture(self._order[k])

    def thumb(self, k: int) -> NDArray[np.uint8]:
        """As `Pictures.thumb`."""
        return self._pictures.thumb(self._order[k])

    def features(self, k: int) -> Features:
        """As `Pictures.features`."""
        return self._pictures.features(self._order[k])


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
    limits = sorted(clean.model_dump(exclude={"duplicates", "label_conflicts", "workers", "match"}).items())
    lenient = ("lenient",) if task[3] else ()
    return key("print", describe.VERSION, PIL.__version__, cv2.__version__, limits, task[1], task[2], *lenient)
