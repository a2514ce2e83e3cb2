"""Describe the pictures of a study on the nodes of a Ray cluster, before the stage `clean` asks for it.

The results go to the cache of `clean`, under the digest of the file. So the stage needs no code for clusters, it
describes the pictures that no node has described, and an interrupted run continues where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from stages.clean import describe
from stages.clean.decode import Refused
from stages.clean.params import Clean
from stages.clean.pictures import CACHE, Pictures
from stages.clean.run import RAW, read
from stages.core import console, curation, params
from stages.core.errors import UserError
from stages.tools import cargo, cluster, node, parcels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stages.clean.pictures import Task

CODE = ("stages/__init__.py", "stages/core", "stages/clean")
BYTES, FILES = 8 * 2**20, 256  # after which a chunk ends
AHEAD = 2  # chunks for each place that are under way
TRIES = 3  # of a chunk whose node was lost


def ahead(address: str) -> None:
    """Describe the pictures of the study in the working folder that are not in the cache of `clean`.

    Raises:
        UserError: there is no such cluster, its nodes have other versions, or a file changes meanwhile.
    """
    jobs, _ = read(RAW, (), curation.read())
    nodes = Nodes(address)
    try:
        Pictures(jobs, params.section(Clean, params.read().raw["clean"], "clean"), CACHE, nodes.each)
    finally:
        nodes.leave()


class Nodes:
    """The nodes of a cluster as a place where pictures are described: on each core one at a time."""

    def __init__(self, address: str) -> None:
        """Connect; `address` is that of `ray.init`."""
        self.ray, self.name = cluster.connected(address), cluster.folder_name()
        self.code = [self.ray.put(part) for part in parcels.pack(cargo.ROOT, CODE)]
        self.versions = node.versions_of(cluster.pinned())
        self.busy: dict[Any, tuple[Any, int]] = {}  # what is waited for -> an actor, and the number of its chunk or -1
        self.idle: list[Any] = []
        self.failed = self.quiet = 0  # actors that did not begin; how often nothing happened

    def each(
        self, function: Callable[[Task], Any], items: Iterable[Task], *, workers: int, seconds: float, gigabytes: float
    ) -> Iterator[Any]:
        """Takes the place of `isolate.each`; pictures of a chunk that is lost `TRIES` times are `Refused`."""
        del workers  # of this machine
        limits = {"seconds": seconds, "gigabytes": gigabytes}
        source = self._chunks(items)
        chunks: dict[int, tuple[list[Task], Any]] = {}  # those that are not done
        done: dict[int, list[Any]] = {}
        waiting: list[int] = []  # numbers of chunks
        tries: Counter[int] = Counter()
        turn = begun = 0
        while True:
            while begun < turn + AHEAD * self._places() and (chunk := next(source, None)):
                chunks[begun] = chunk
                waiting.append(begun)
                begun += 1
            if turn == begun:
                return
            while self.idle and waiting:
                actor, number = self.idle.pop(), waiting.pop(0)
                self.busy[actor.describe.remote(function, *chunks[number], limits)] = actor, number
            for number, found in self._ended():
                if number < 0:
                    continue
                tries[number] += 1
                if found is None and tries[number] < TRIES:
                    waiting.insert(0, number)
                else:
                    tasks, _ = chunks.pop(number)
                    done[number] = found or [Refused("unreadable", "left to the stage")] * len(tasks)
            while turn in done:
                yield from done.pop(turn)
                turn += 1

    def leave(self) -> None:
        """Leave the cluster as it was found."""
        for actor, _ in self.busy.values():
            self.idle.append(actor)
        for actor in self.idle:
            cluster.kill(self.ray, actor)
        with contextlib.suppress(self.ray.exceptions.RayError):
            cluster.leave(self.ray, self.name, [])
        self.ray.shutdown()

    def _places(self) -> int:
        """Actors at work, as many as there are cores now."""
        kind = self.ray.remote(node.Describer).options(num_cpus=1)
        for _ in range(len(self.busy) + len(self.idle), int(self.ray.cluster_resources().get("CPU", 0))):
            actor = kind.remote(self.name, self.versions)
            self.busy[actor.hello.remote(self.code)] = actor, -1
        return len(self.busy) + len(self.idle)

    def _ended(self) -> Iterator[tuple[int, list[Any] | None]]:
        """Wait; the numbers of chunks that have ended, and their results, None where they are lost."""
        ready, _ = self.ray.wait(list(self.busy), timeout=cluster.SECONDS)
        self.quiet = 0 if ready or any(number >= 0 for _, number in self.busy.values()) else self.quiet + 1
        if self.quiet == cluster.PATIENCE // 2:
            console.say("no node of the cluster has room; waiting for one")
        for reference in ready:
            actor, number = self.busy.pop(reference)
            try:
                found = self.ray.get(reference)
            except self.ray.exceptions.RayError as error:
                said = str(error).strip().splitlines()[-1]
                self.failed += number < 0
                if self.failed == TRIES:
                    raise UserError(f"the nodes of the cluster cannot describe pictures: {said}") from None
                console.say(f"a node was lost, or failed: {said}; its pictures are described elsewhere")
                cluster.kill(self.ray, actor)
                yield number, None
                continue
            if number < 0 and found:
                raise UserError(f"all nodes need the versions of this machine, but {found}; run `make setup` there")
            self.idle.append(actor)
            yield number, found

    def _chunks(self, items: Iterable[Task]) -> Iterator[tuple[list[Task], Any]]:
        """Tasks, and a reference to the bytes of their files in the object store.

        Raises:
            UserError: a file changed, or cannot be read any more, since its digest was taken.
        """
        tasks: list[Task] = []
        contents: list[bytes] = []
        for job, digest in items:
            try:
                content = describe.read(job.file)
            except Refused as refused:  # it could be read when its digest was taken
                raise UserError(f"{job.file}: {refused}; make it again with `dvc repro -f ingest`") from None
            if hashlib.sha256(content).hexdigest() != digest:
                raise UserError(f"{job.file} changed while it was read; make it again with `dvc repro -f ingest`")
            tasks.append((job, digest))
            contents.append(content)
            if len(tasks) == FILES or sum(map(len, contents)) >= BYTES:
                yield tasks, self.ray.put(contents)
                tasks, contents = [], []
        if tasks:
            yield tasks, self.ray.put(contents)
