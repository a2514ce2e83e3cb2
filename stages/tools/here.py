"""This machine as a place for the cells of a study: one command per core, or per GPU, while the memory is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.core import children
from stages.tools import forked, room

if TYPE_CHECKING:
    from collections.abc import Collection
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from dvc.stage import Stage

    from stages.core.params import Study


class Here:
    """Starts commands in processes of this machine."""

    def __init__(self, study: Study, jobs: int | None) -> None:
        self.gpus = room.gpus(study)
        self.jobs = jobs or room.jobs(self.gpus)
        # Each process of a cell takes a GPU. Without GPUs a number of jobs decides alone; else cells share the cores.
        self.takes = room.processes(study) if self.gpus else {} if jobs else room.threads(study)
        self.on: dict[BaseProcess, list[str]] = {}  # command -> its GPUs, where there are several

    def fits(self, variant: str, others: Collection[str]) -> bool:
        """Whether GPUs, or cores, are free for it beside those of other variants; one alone always fits."""
        return room.fits(variant, others, self.takes, self.jobs)

    def enough(self, running: Collection[BaseProcess]) -> bool:
        """Whether the memory is enough for one more."""
        return room.enough(running)

    def start(self, stage: Stage, environment: dict[str, str], log: Path) -> BaseProcess:
        """Start the command of a stage."""
        chosen: list[str] = []
        if len(self.gpus) > 1:
            busy = [gpu for gpus in self.on.values() for gpu in gpus]
            variant = stage.name.partition("@")[2].rpartition("-")[0]
            chosen = sorted(self.gpus, key=busy.count)[: self.takes[variant]]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
        process = forked.start(stage.cmd.split()[-1], environment, log)
        if chosen:
            self.on[process] = chosen
        return process

    def ended(self, running: Collection[BaseProcess], seconds: float | None) -> list[BaseProcess]:
        """Wait until at least one has ended, or for some seconds; those that have."""
        done = forked.ended(running, seconds)
        for process in done:
            self.on.pop(process, None)
        return done

    def stop(self, running: Collection[BaseProcess]) -> None:
        """End them."""
        children.stop(running)
