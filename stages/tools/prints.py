"""Describe the pictures of a study on the nodes of a Ray cluster, before the stage `clean` asks for it.

The results go to the cache of `clean`, under the digest of the file. So the stage needs no code for clusters, it
describes the pictures that no node has described, and an interrupted run continues where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections import deque
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
AHEAD = 2  # chunks for each core that are under way
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
        self.job = self.ray.remote(node.describe).options(num_cpus=1, max_retries=TRIES - 1)
        self.asked: deque[tuple[int, Any]] = deque()  # of each chunk: its size, and a reference to its results

    def each(
        self, function: Callable[[Task], Any], items: Iterable[Task], *, workers: int, seconds: float, gigabytes: float
    ) -> Iterator[Any]:
        """Takes the place of `isolate.each`; pictures of a chunk that is lost `TRIES` times are `Refused`."""
        del workers  # of this machine
        limits = {"seconds": seconds, "gigabytes": gigabytes}
        source = chunks(items)
        while True:
            while len(self.asked) < AHEAD * self._cores() and (chunk := next(source, None)):
                tasks, contents = chunk
                # As bytes, since Ray reads its arguments before the node has the code that they need.
                call = pickle.dumps((function, tasks))
                reference = self.job.remote(self.name, self.versions, self.code, call, contents, limits)
                self.asked.append((len(tasks), reference))
            if not self.asked:
                return
            yield from self._results(*self.asked.popleft())

    def leave(self) -> None:
        """Leave the cluster as it was found."""
        with contextlib.suppress(self.ray.exceptions.RayError):
            for _, reference in self.asked:
                self.ray.cancel(reference, force=True)
            cluster.leave(self.ray, self.name, [])
        self.ray.shutdown()

    def _cores(self) -> int:
        """The cores that the cluster has now; 1 where it still waits for its first node."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 0)))

    def _results(self, count: int, reference: Any) -> list[Any]:
        """Wait for the results of a chunk of `count` pictures."""
        try:
            found: list[Any] | str = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            said = str(error).strip().splitlines()[-1]
            raise UserError(f"a node of the cluster cannot describe pictures: {said}") from None
        except self.ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[0]
            console.say(f"the nodes of {count} pictures were lost {TRIES} times: {said}; the stage `clean` reads them")
            return [Refused("unreadable", "left to the stage")] * count
        if isinstance(found, str):
            raise UserError(f"all nodes need the versions of this machine, but {found}; run `make setup` there")
        return found


def chunks(items: Iterable[Task]) -> Iterator[tuple[list[Task], list[bytes]]]:
    """Tasks, and the bytes of their files.

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
            yield tasks, contents
            tasks, contents = [], []
    if tasks:
        yield tasks, contents
