"""This machine as a place for the cells of a study: one command per core, or per GPU, while the memory is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        # A number of jobs, or the GPUs, decide alone; else cells share the cores by their threads.
        self.threads = {} if jobs or self.gpus else room.threads(study)
        self.on: dict[BaseProcess, str] = {}  # command -> its GPU, where there are several

    def fits(self, variant: str, others: Collection[str]) -> bool:
        """Whether a job is free beside those of other variants, and cores for the threads; one alone always fits."""
        return room.fits(variant, others, self.threads, self.jobs)

    def enough(self, running: Collection[BaseProcess]) -> bool:
        """Whether the memory is enough for one more."""
        return room.enough(running)

    def start(self, stage: Stage, environment: dict[str, str], log: Path) -> BaseProcess:
        """Start the command of a stage."""
        gpu = None
        if len(self.gpus) > 1:
            gpu = environment["CUDA_VISIBLE_DEVICES"] = min(self.gpus, key=list(self.on.values()).count)
        process = forked.start(stage.cmd.split()[-1], environment, log)
        if gpu:
            self.on[process] = gpu
        return process

    def ended(self, running: Collection[BaseProcess], seconds: float | None) -> list[BaseProcess]:
        """Wait until at least one has ended, or for some seconds; those that have."""
        done = forked.ended(running, seconds)
        for process in done:
            self.on.pop(process, None)
        return done

    def stop(self, running: Collection[BaseProcess]) -> None:
        """End them."""
        forked.stop(running)
