"""A Ray cluster as a place for the cells of a study: where `Here` starts processes, this asks nodes (decision 0801).

A cell's inputs travel by Ray's object store, its checkpoints come back after each epoch, its outputs at the end. What a
lost node had at work goes on elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.core import console
from stages.core.errors import UserError
from stages.tools import node, parcels, this_machine
from stages.tools.cargo import Cargo

if TYPE_CHECKING:
    from collections.abc import Collection

    from dvc.stage import Stage

    from stages.core.params import Study

LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
TRIES = 3  # of a cell that leaves no checkpoint in between
SECONDS = 10  # after which a node that has joined is seen
PATIENCE = 12  # times SECONDS without a free node, where those that are there refuse


class Needs(NamedTuple):
    """What a command takes of a node."""

    num_cpus: int
    num_gpus: float
    memory: int


class Remote:
    """A command of a cell on the cluster."""

    def __init__(self, work: node.Work, needs: Needs, log: Path) -> None:
        self.work, self.needs, self.log = work, needs, log
        self.exitcode: int | None = None
        self.tries = 0
        self.actor: Any = None
        self.waits: Any = None  # a reference to the next event
        self.placed = False  # its actor has found room on a node


class Cluster:
    """Starts commands on the nodes of a cluster, as `Here` does on this machine."""

    def __init__(self, address: str, study: Study, jobs: int | None, stages: list[Stage], folder: Path) -> None:
        """Connect.

        Args:
            address: as `ray.init` takes it.
            study: in the working folder.
            jobs: the most cells at once.
            stages: of all cells.
            folder: for notes.

        Raises:
            UserError: there is no such cluster, or it is not fit for the study.
        """
        self.ray, self.given = connected(address), jobs
        self.cargo = Cargo(study, stages, folder, self.ray.put)
        self.devices, self.threads = this_machine.devices(study), this_machine.threads(study)
        self.processes = this_machine.processes(study)
        self.memory = this_machine.largest()
        self.versions = node.versions_of(pinned())
        self.name = folder_name()
        self.idle: list[tuple[Needs, Any]] = []  # actors with loaded code, which hold their share of a node
        self.refusing: list[Any] = []  # actors kept where nothing can be done, so that no other is put there
        self.refused, self.quiet = "", 0
        if "cuda" in self.devices.values() and not self._total("GPU"):
            raise UserError(
                "params.yaml: `device: cuda`, but no node of the cluster has a GPU; `auto` takes what is there"
            )

    @property
    def jobs(self) -> int:
        """The most cells at once, as the cluster is now."""
        return self.given or max(1, int(self._total("GPU" if self._on_gpus() else "CPU")))

    def fits(self, variant: str, others: Collection[str]) -> bool:
        """Whether `jobs` allows one more cell. Ray chooses the node that has cores, memory and a GPU for it."""
        takes = self.processes if self._on_gpus() else {} if self.given else self.threads
        return this_machine.fits(variant, others, takes, self.jobs)

    def enough(self, running: Collection[Remote]) -> bool:  # noqa: ARG002 - as `Here` has it
        """Ray counts the memory of nodes."""
        return True

    def start(self, stage: Stage, environment: dict[str, str], log: Path) -> Remote:
        """Start the command of a stage.

        Raises:
            UserError: an input lies outside of the study's folder.
        """
        work = self.cargo.work(stage, environment)
        remote = Remote(work, self._needs(work.cell.rpartition("-")[0]), log)
        self._place(remote)
        return remote

    def ended(self, running: Collection[Remote], seconds: float | None) -> list[Remote]:
        """Wait for an event of a command, or for `seconds`; the commands that have ended."""
        waiting = {remote.waits: remote for remote in running}
        ready, _ = self.ray.wait(list(waiting), timeout=SECONDS if seconds is None else min(SECONDS, max(0, seconds)))
        if ready:  # also the events of other commands that are there by now
            ready, _ = self.ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        for reference in ready:
            self._hear(waiting[reference])
        self._look_for_room(running, bool(ready) or seconds is not None)
        self._hand_over(running)
        return [remote for remote in running if remote.exitcode is not None]

    def stop(self, running: Collection[Remote]) -> None:
        """End what runs, and leave the cluster; where nothing runs, its nodes are left as they were found."""
        actors = [actor for _, actor in self.idle] + self.refusing
        if not running:
            with contextlib.suppress(self.ray.exceptions.RayError):
                leave(self.ray, self.name, actors)
        for actor in [*actors, *(remote.actor for remote in running)]:
            kill(self.ray, actor)
        self.ray.shutdown()

    def _place(self, remote: Remote) -> None:
        """Give a command to an actor that is idle, or to a new one, which Ray puts where there is room."""
        kinds = [needs for needs, _ in self.idle]
        remote.placed = remote.needs in kinds
        if remote.placed:
            self._begin(remote, self.idle.pop(kinds.index(remote.needs))[1])
            return
        while self.idle:  # they hold what the new one may need
            kill(self.ray, self.idle.pop()[1])
        kind = self.ray.remote(node.Node).options(**remote.needs._asdict())
        remote.actor = kind.remote(self.name, self.versions)
        remote.waits = remote.actor.hello.remote()

    def _begin(self, remote: Remote, actor: Any) -> None:
        remote.placed, remote.actor = True, actor
        remote.waits = actor.begin.remote(self.cargo.state(remote.work))

    def _hand_over(self, running: Collection[Remote]) -> None:
        """Give idle actors to commands that still wait for room: an idle actor may hold the last free cores."""
        for remote in running:
            if self.idle and not remote.placed and remote.exitcode is None:
                kill(self.ray, remote.actor)
                self._place(remote)

    def _hear(self, remote: Remote) -> None:
        """Take note of the next event of a command, and answer it."""
        try:
            event = node.Event(*self.ray.get(remote.waits))
        except self.ray.exceptions.RayError as error:
            kill(self.ray, remote.actor)
            self._again(remote, str(error).strip().splitlines()[0])
            return
        if event.kind == "here":
            self._begin(remote, remote.actor)
        elif event.kind == "unlike":
            raise UserError(f"all nodes need the versions of this machine, but {event.said}; run `make setup` there")
        elif event.kind == "state":
            self.cargo.keep_state(remote.work, event.files)
            remote.tries = 0
            remote.waits = remote.actor.next.remote()
        elif event.kind == "broken":
            self.refusing.append(remote.actor)
            self.refused = event.said
            console.say(f"{remote.work.cell}: {event.said}; it goes on elsewhere, and this node gets no more cells")
            self._place(remote)
        else:
            self._end(remote, event)

    def _end(self, remote: Remote, event: node.Event) -> None:
        self.idle.append((remote.needs, remote.actor))
        if event.code < 0:
            self._again(remote, f"ended by signal {-event.code}, often for lack of memory")
            return
        if not event.code:
            self.cargo.write(remote.work, event.files)
        self._finish(remote, event.code, event.said)

    def _again(self, remote: Remote, why: str) -> None:
        """Begin a command once more, from its last checkpoint."""
        remote.tries += 1
        if remote.tries < TRIES:
            console.say(f"{remote.work.cell}: {why}; it begins again from its last checkpoint")
            self._place(remote)
        else:
            self._finish(remote, 1, f"error: lost {TRIES} times, the last time so: {why}")

    def _finish(self, remote: Remote, code: int, said: str) -> None:
        remote.log.parent.mkdir(parents=True, exist_ok=True)
        remote.log.write_text(said, encoding="utf-8")
        remote.exitcode = code

    def _look_for_room(self, running: Collection[Remote], heard: bool) -> None:
        """Where no node has room, wait for nodes to join; give up after a while where a node has refused a command."""
        self.quiet = 0 if heard or any(remote.placed for remote in running) else self.quiet + 1
        if self.quiet == PATIENCE // 2:
            console.say("no node of the cluster has room; waiting for one")
        if self.quiet >= PATIENCE and self.refused:
            for remote in running:
                kill(self.ray, remote.actor)
                self._finish(remote, 1, f"error: no node is left that can run it; the last one: {self.refused}")

    def _needs(self, variant: str) -> Needs:
        """Cores, GPUs and memory of a cell; no more than the largest node has, as one cell alone is always run."""
        share = 0.0
        if self._on_gpus() and self.devices[variant] != "cpu":
            share = 1 / max(1, math.ceil((self.given or 0) / self._total("GPU")))
            if self.processes[variant] > 1:  # a GPU for each, and whole ones
                share = min(self.processes[variant], self._most("GPU"))
        cores = min(self.threads[variant], max(1, int(self._most("CPU"))))
        return Needs(cores, share, int(min(self.memory, self._most("memory"))))

    def _on_gpus(self) -> bool:
        return self._total("GPU") > 0 and set(self.devices.values()) != {"cpu"}

    def _total(self, resource: str) -> float:
        return float(self.ray.cluster_resources().get(resource, 0))

    def _most(self, resource: str) -> float:
        """How much of a resource the node with the most of it has."""
        return max((n["Resources"].get(resource, 0) for n in self.ray.nodes() if n["Alive"]), default=0)


def folder_name() -> str:
    """The name of the folder, on the nodes, of the study in the working folder."""
    return hashlib.sha256(f"{socket.gethostname()}:{Path.cwd()}".encode()).hexdigest()[:12]


def kill(ray: Any, actor: Any) -> None:
    """End an actor."""
    with contextlib.suppress(ray.exceptions.RayError, ValueError):
        ray.kill(actor)


def leave(ray: Any, study: str, actors: list[Any]) -> None:
    """Remove the folders of a study on all nodes, also where no actor is left."""
    left = ray.get([actor.leave.remote() for actor in actors], timeout=60)
    nodes = [known["NodeID"] for known in ray.nodes() if known["Alive"] and known["NodeID"] not in left]
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    job = ray.remote(node.leave)
    on = [job.options(num_cpus=0, scheduling_strategy=strategy(one, soft=False)) for one in nodes]
    ray.get([one.remote(study) for one in on], timeout=60)


def library() -> Any:
    """Import Ray.

    Raises:
        UserError: it is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(
            "CLUSTER needs Ray, which is not installed; `make cluster` installs the extra evenhand[cluster], here and "
            "on every node"
        ) from None
    return ray


def connected(address: str) -> Any:
    """Connect to a cluster; returns the module of Ray.

    Raises:
        UserError: there is none at this address, or it has other versions.
    """
    ray = library()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as error:
        words = " ".join(str(error).split())[:300]
        raise UserError(f"CLUSTER={address}: {words}") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray has put its own in the place of ours
    for module in (node, parcels):
        ray.cloudpickle.register_pickle_by_value(module)
    return ray


def pinned() -> list[str]:
    """The packages of requirements.lock that this machine has."""
    names = re.findall(r"^([\w.-]+)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name, version in node.versions_of(names).items() if version != "none"]
