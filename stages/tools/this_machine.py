"""This machine as a place for the cells of a study, and how many have room: cores, GPUs, memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from stages.core import children, files
from stages.core.cells import TIMINGS
from stages.core.errors import UserError
from stages.tools import forked

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from dvc.stage import Stage

    from stages.core.params import Study

LEAST = 10**9  # bytes that a cell needs where none of this study has left its timings here


def jobs(gpus: list[str]) -> int:
    """The most cells at once: one per GPU, or one per core."""
    return len(gpus) or children.cores()


def threads(study: Study) -> dict[str, int]:
    """Variant -> the cores that a cell of it keeps busy: the threads of all its processes."""
    each = zip(_each(study, "threads", 1), _each(study, "processes", 1), strict=True)
    return dict(zip(study.variants, (int(threads) * int(processes) for threads, processes in each), strict=True))


def processes(study: Study) -> dict[str, int]:
    """Variant -> the GPUs that a cell of it takes where there are any: one for each process, one at least."""
    each = zip(_each(study, "processes", 1), devices(study).values(), strict=True)
    return dict(zip(study.variants, (1 if on == "cpu" else int(count) for count, on in each), strict=True))


def fits(variant: str, others: Collection[str], takes: Mapping[str, int], jobs: int) -> bool:
    """Whether one more cell has room beside those of `others`; a single cell always fits.

    Args:
        variant: of the cell.
        others: variants of the cells that run.
        takes: variant -> cores or GPUs of a cell; a variant that is not in it takes one.
        jobs: the cores or GPUs that all cells together may take.
    """
    busy = sum(takes.get(other, 1) for other in others)
    return not others or busy + takes.get(variant, 1) <= jobs


def devices(study: Study) -> dict[str, str]:
    """Variant -> the device that it asks for."""
    return dict(zip(study.variants, _each(study, "device", "auto"), strict=True))


def gpus(study: Study) -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them; none where no cell of the study uses one."""
    if all(device == "cpu" for device in devices(study).values()):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    return asked.stdout.split() if asked.returncode == 0 else []


def largest() -> int:
    """The largest peak of memory in `timings/`, bytes; `LEAST` where there is none."""
    peaks = (timing(path).get("peak_memory_bytes") or 0 for path in TIMINGS.glob("*/*.json"))
    return max(peaks, default=0) or LEAST


def timing(path: Path) -> dict[str, Any]:
    """A file of timings; empty where there is none, where it is damaged, or while a cell writes it."""
    try:
        found: dict[str, Any] = files.read_json(path)
    except UserError:  # no result depends on it, and `glob` also finds the file that a running cell is about to rename
        return {}
    return found


def _each(study: Study, key: str, default: Any) -> list[Any]:
    """A setting of `train` in each variant."""
    shared = (study.raw["train"] or {}).get(key, default)
    return [(settings or {}).get(key, shared) for settings in study.variants.values()]


class Here:
    """Starts commands in processes of this machine."""

    def __init__(self, study: Study, asked: int | None) -> None:
        self.gpus = gpus(study)
        self.jobs = asked or jobs(self.gpus)
        # Each process of a cell takes a GPU. Without GPUs a number of jobs decides alone; else cells share the cores.
        self.takes = processes(study) if self.gpus else {} if asked else threads(study)
        self.on: dict[BaseProcess, list[str]] = {}  # command -> its GPUs, where there are several

    def fits(self, variant: str, others: Collection[str]) -> bool:
        """Whether GPUs, or cores, are free for it beside those of other variants; one alone always fits."""
        return fits(variant, others, self.takes, self.jobs)

    @staticmethod
    def enough(running: Collection[BaseProcess]) -> bool:
        """Whether the memory is enough for one cell more; one alone is always started, as `dvc repro` would do."""
        import psutil  # type: ignore[import-untyped]

        used = 0
        for process in running:
            with contextlib.suppress(psutil.Error):
                cell = psutil.Process(process.pid)
                used += sum(one.memory_full_info().uss for one in (cell, *cell.children(recursive=True)))
        free = psutil.virtual_memory().available
        return not running or free + used >= (len(running) + 1) * largest()

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
        """Wait until at least one command has ended, or for `seconds`; the commands that have ended."""
        done = forked.ended(running, seconds)
        for process in done:
            self.on.pop(process, None)
        return done

    stop = staticmethod(children.stop)
