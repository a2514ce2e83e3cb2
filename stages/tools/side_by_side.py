"""`python -m stages.tools.side_by_side`: `dvc repro` of the study in the working folder, with its cells side by side.

DVC runs one stage at a time. Here its own `repro` goes through the pipeline, but at the first stale cell it waits until
all stale cells were run by at most JOBS processes at once. Each cell runs the commands of dvc.yaml in the folder of the
study, where it writes folders of its own, and is entered in dvc.lock when it has ended. What follows is DVC's again.
With `--cluster`, cells run in copies of that folder on the nodes of a Ray cluster, and their outputs come back.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import console, errors, files, params
from stages.core.errors import UserError
from stages.tools.this_machine import Here

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dvc.repo import Repo
    from dvc.stage import Stage
    from tqdm import tqdm

PIPELINE, LOCK = "dvc.yaml", "dvc.lock"
CELL_STAGES = ("train", "evaluate")
FOLDER = Path(".checkpoints/side_by_side")  # logs of cells that run or failed, and ORDER
ORDER = FOLDER / "order.json"
SHARE = 0.1  # of the time, at most, goes into writing dvc.lock, which takes DVC a second where it has many cells


def main() -> None:
    """Bring the study up to date."""
    parser = argparse.ArgumentParser(prog="python -m stages.tools.side_by_side", description=__doc__)
    parser.add_argument("--jobs", type=int, metavar="N", help="cells at once (default: one per core, or per GPU)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="of a Ray cluster: ray://host:10001, host:6379, auto")
    asked = parser.parse_args()
    if asked.jobs is not None and asked.jobs < 1:
        raise UserError(f"JOBS is {asked.jobs}; it must be at least 1")
    if asked.cluster is not None:
        from stages.tools.cluster import library

        library()  # or an error before any work
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(_wait_for_lock=True) as repo:
            done = repo.reproduce(PIPELINE, repro_fn=Reproduce(asked.jobs, asked.cluster))
    except DvcException as error:
        raise _in_words(error) from None
    if not done:
        print("Data and pipelines are up to date.")


class Reproduce:
    """Called by DVC for each stage of its plan, in the order of the plan: runs the stage if it is stale."""

    def __init__(self, jobs: int | None, cluster: str | None) -> None:
        self.jobs, self.cluster = jobs, cluster
        self.ran: set[str] | None = None  # stages of cells; None: no stale cell was met yet

    def __call__(self, stage: Stage, **options: Any) -> Stage | None:
        """The stage, where it was run; None where it did not change."""
        if stage.name.partition("@")[0] not in CELL_STAGES:
            if stage.name == "clean" and self.cluster and stage.changed():
                from stages.tools import cluster_pictures

                cluster_pictures.ahead(self.cluster)
            done: Stage | None = stage.reproduce(**options)
            if done:
                stage.dump(update_pipeline=False)
            return done
        if self.ran is None and stage.changed():
            self.ran = SideBySide(stage.repo, self.jobs, self.cluster).run()
        return stage if stage.name in (self.ran or ()) else None


class Cell:
    """One variant and seed: its stages that may have to be run, one after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stages: list[Stage] = []
        self.inputs: dict[str, Any] = {}  # of the stage that runs, as it began

    @property
    def variant(self) -> str:
        """The variant of the cell, whose name is `<variant>-<seed>`."""
        return self.name.rpartition("-")[0]

    @property
    def log(self) -> Path:
        """The file with the output of the stage that runs."""
        return FOLDER / f"{self.stages[0].name}.log"


class SideBySide:
    """Runs all stale cells of a study."""

    def __init__(self, repo: Repo, jobs: int | None, cluster: str | None) -> None:
        self.repo = repo
        cells: dict[str, Cell] = {}
        self.stages = [s for s in repo.stage.collect(PIPELINE) if s.name.partition("@")[0] in CELL_STAGES]
        for stage in self.stages:  # dvc.yaml has them in the order in which they can be run
            name = stage.name.partition("@")[2]
            cells.setdefault(name, Cell(name)).stages.append(stage)
        self.waiting = [cell for cell in cells.values() if any(stage.changed() for stage in cell.stages)]
        self.place: Any = self._cluster(cluster, jobs) if cluster else Here(params.read(), jobs)
        self.running: dict[Any, Cell] = {}  # commands at work in that place
        self.ran: set[str] = set()
        self.failed: dict[str, str] = {}  # cell -> why
        self.unwritten: list[Stage] = []  # in no dvc.lock yet
        self.written, self.cost = 0.0, 0.0  # when dvc.lock was written, and the seconds that this took

    def run(self) -> set[str]:
        """Run them; the names of the stages that were run.

        Raises:
            UserError: a cell failed, when all others were run.
        """
        before = self._order_before()
        bar: tqdm[Any] = console.progress(
            total=len(self.waiting), desc=f"cells, up to {self.place.jobs} at once", unit=" cells"
        )
        try:
            with bar, self._reserved():
                while self.waiting or self.running:
                    self._fill(bar)
                    self._collect(bar)
        finally:
            self.place.stop(self.running)
            self._write()
        if self.failed:
            raise UserError(
                f"{len(self.failed)} of {bar.total} cells failed, the others are kept; the same command runs only what "
                "is missing. Failed: " + "; ".join(f"{name}: {why}" for name, why in self.failed.items())
            )
        self._put_in_order(before)
        return self.ran

    def _cluster(self, address: str, jobs: int | None) -> Any:
        from stages.tools.cluster import Cluster

        return Cluster(address, params.read(), jobs, self.stages, FOLDER)

    def _fill(self, bar: tqdm[Any]) -> None:
        """Begin waiting cells while there is room."""
        while self.waiting:
            others = [cell.variant for cell in self.running.values()]
            if not self.place.fits(self.waiting[0].variant, others) or not self.place.enough(self.running):
                return
            self._next_stage(self.waiting.pop(0), bar)

    def _next_stage(self, cell: Cell, bar: tqdm[Any]) -> None:
        """Begin the first stage of a cell that is stale; without one, the cell is done."""
        while cell.stages and not cell.stages[0].changed():
            cell.stages.pop(0)
        if not cell.stages:
            bar.update()
            console.say(f"{cell.name} is done")
            return
        stage = cell.stages[0]
        stage.remove_outs()  # as DVC does, so that no file of an earlier run counts as a result of this one
        stage.save_deps()
        cell.inputs = _inputs(stage)
        FOLDER.mkdir(parents=True, exist_ok=True)
        environment = {"DVC_STAGE": stage.addressing, "DVC_ROOT": self.repo.root_dir}
        self.running[self.place.start(stage, environment, cell.log)] = cell

    def _collect(self, bar: tqdm[Any]) -> None:
        """Wait for stages to end, and keep the results of those that ended well; their cells go on next."""
        if not self.running:
            return
        self.repo.lock.unlock()  # other commands of DVC may do their work meanwhile
        try:
            ended = self.place.ended(self.running, self._due())
        finally:
            self.repo.lock.lock()
        done = []
        for process in ended:
            cell = self.running.pop(process)
            said = cell.log.read_text(errors="replace").strip() if cell.log.exists() else ""
            if process.exitcode:
                self.failed[cell.name] = _why(process.exitcode, said, cell.log)
                bar.update()
                continue
            if said:
                console.say(f"{cell.stages[0].name}: {said}")
            cell.log.unlink(missing_ok=True)
            done.append((cell, cell.stages.pop(0), cell.inputs))
        self._fill(bar)  # with other cells: DVC puts links in the place of outputs now, so no stage may read them yet
        self._commit(done, bar)
        self.waiting[:0] = [cell for cell, _, _ in done if cell.name not in self.failed]

    def _commit(self, done: list[tuple[Cell, Stage, dict[str, Any]]], bar: tqdm[Any]) -> None:
        """Put the outputs of stages into the cache, as `dvc repro` does, and enter them in dvc.lock if that is due."""
        for cell, stage, inputs in done:
            stage.save(run_cache=False)
            if _inputs(stage) != inputs:
                changed = sorted(name for name, value in _inputs(stage).items() if inputs.get(name) != value)
                self.failed[cell.name] = f"{', '.join(changed)} changed while {stage.name} ran"
                bar.update()
                continue
            stage.commit()
            self.unwritten.append(stage)
            self.ran.add(stage.name)
        due = self._due()
        if due is not None and due <= 0:
            self._write()

    def _due(self) -> float | None:
        """Seconds until dvc.lock is to be written; None where no stage is missing in it."""
        return self.written + self.cost / SHARE - time.perf_counter() if self.unwritten else None

    def _write(self) -> None:
        """Enter stages in dvc.lock: all with one write."""
        if self.unwritten:
            begin = time.perf_counter()
            self.unwritten[0].dvcfile.dump_stages(self.unwritten, update_pipeline=False)
            self.unwritten, self.written = [], time.perf_counter()
            self.cost = self.written - begin

    def _reserved(self) -> AbstractContextManager[None]:
        """DVC's own lock on what the cells read and write: another `dvc repro` of them is refused meanwhile."""
        from dvc.rwlock import rwlock

        stages = [stage for cell in self.waiting for stage in cell.stages]
        write = {out.fs_path for stage in stages for out in stage.outs}
        read = {dep.fs_path for stage in stages for dep in stage.deps} - write
        hardlink = self.repo.config["core"].get("hardlink_lock", False)
        command = " ".join(sys.argv)  # DVC compares it to tell locks of this process from those of others
        return rwlock(self.repo.tmp_dir, self.repo.fs, command, sorted(read), sorted(write), hardlink)  # type: ignore[no-any-return]

    def _order_before(self) -> list[str]:
        """The stages of dvc.lock before the first cell ran; `ORDER` remembers them for the run after a kill."""
        from dvc.utils.serialize import load_yaml

        with contextlib.suppress(UserError):  # not there, or damaged
            before: list[str] = files.read_json(ORDER, list[str])
            return before
        known = list(load_yaml(LOCK).get("stages", {})) if Path(LOCK).exists() else []
        files.write_json(ORDER, known)
        return known

    def _put_in_order(self, before: list[str]) -> None:
        """Put the new cells in dvc.lock into the order of `dvc repro`, whichever ended first."""
        from dvc.utils.serialize import modify_yaml

        new = [stage.name for stage in self.stages if stage.name not in before]
        with modify_yaml(LOCK) as lock:
            for name in new:
                lock["stages"][name] = lock["stages"].pop(name)
        ORDER.unlink()


def _in_words(error: Exception) -> UserError:
    """The UserError that made DVC stop, or else the error of DVC as a UserError."""
    cause = error.__cause__
    return cause if isinstance(cause, UserError) else UserError(f"{error}: {cause}" if cause else str(error))


def _inputs(stage: Stage) -> dict[str, Any]:
    return {str(dep): dep.hash_info.value for dep in stage.deps}


def _why(code: int, said: str, log: Path) -> str:
    """How a command ended, in words."""
    if code < 0:
        reason = f"ended by signal {-code}" + (", often for lack of memory: fewer JOBS need less" if code == -9 else "")
    else:
        reason = said.splitlines()[-1].removeprefix("error: ") if said else f"ended with {code}"
    return f"{reason} (its output: {log})"


if __name__ == "__main__":
    errors.run(main)
