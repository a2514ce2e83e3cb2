"""Cells of a study, several at a time, each in processes of its own, until they are done or the time is over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu import carry
from stages.core import cells as places
from stages.core import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.gpu.carry import Cell

ROOT = Path(__file__).parents[2]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Runner:
    """Trains with `jobs` processes at once, and evaluates what is trained beside them."""

    def __init__(self, study: Path, jobs: int, deadline: float, *, cuda: bool, evaluate: bool = True) -> None:
        """`deadline` is of `time.monotonic`; without `cuda` no GPU is seen."""
        self.study, self.jobs, self.deadline, self.evaluate = study, jobs, deadline, evaluate
        hidden = {} if cuda else {"CUDA_VISIBLE_DEVICES": ""}
        self.environment = {
            **os.environ,
            **hidden,
            **dict.fromkeys(_THREADS, "1"),
            "PYTHONPATH": self._path(),
            "CI": "1",
        }
        self.environment.pop("DVC_ROOT", None)
        self.seconds: dict[str, float] = {}  # of a variant's cell, as seen here
        self.failed: dict[str, str] = {}
        self.running: set[subprocess.Popen[str]] = set()
        self.lock = threading.Lock()

    def run(self, cells: Sequence[Cell]) -> list[Cell]:
        """Run what is not done; the cells that are done at the end. What the time does not allow is not begun."""
        todo = [cell for cell in cells if not carry.is_done(self.study, cell)]
        threading.Thread(target=self._watch, daemon=True).start()
        with ThreadPoolExecutor(os.cpu_count()) as evaluating, ThreadPoolExecutor(self.jobs) as training:
            trained = [training.submit(self._train, cell, evaluating) for cell in todo]
            for one in trained:
                one.result()
        done = [
            cell for cell in cells if carry.is_done(self.study, cell) or (not self.evaluate and self._trained(cell))
        ]
        console.say(f"{self.study.name}: {len(done)} of {len(cells)} cells are done")
        return done

    def _train(self, cell: Cell, evaluating: ThreadPoolExecutor) -> None:
        variant, seed = cell
        left, needed = self.deadline - time.monotonic(), self.seconds.get(variant, 0.0)
        if not self._trained(cell):
            if left < max(needed, 1.0):
                console.say(f"{variant}-{seed}: not begun, {max(left, 0):.0f} s are left, and one took {needed:.0f} s")
                return
            if not self._stage("train", cell):
                return
        if self.evaluate:
            evaluating.submit(self._stage, "evaluate", cell)

    def _trained(self, cell: Cell) -> bool:
        return (self.study / places.train_folder(*cell) / "config.json").exists()

    def _stage(self, stage: str, cell: Cell) -> bool:
        variant, seed = cell
        begin = time.monotonic()
        if begin > self.deadline:
            return False
        process = subprocess.Popen(
            [sys.executable, "-m", f"stages.{stage}", "--variant", variant, "--seed", str(seed)],
            cwd=self.study, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        with self.lock:
            self.running.add(process)
        said, _ = process.communicate()
        with self.lock:
            self.running.discard(process)
        taken = time.monotonic() - begin
        if process.returncode:
            self.failed[f"{stage}@{variant}-{seed}"] = said[-2000:]
            console.say(
                f"{stage}@{variant}-{seed}: ended with {process.returncode} after {taken:.0f} s\n{said[-2000:]}"
            )
        else:
            if stage == "train":
                self.seconds[variant] = max(taken, self.seconds.get(variant, 0.0))
            console.say(f"{stage}@{variant}-{seed}: {taken:.1f} s {said.strip()[-200:]}")
        return process.returncode == 0

    def _watch(self) -> None:
        """End what still runs when the time is over."""
        time.sleep(max(self.deadline - time.monotonic(), 0))
        with self.lock:
            for process in self.running:
                process.send_signal(signal.SIGTERM)

    def _path(self) -> str:
        return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
