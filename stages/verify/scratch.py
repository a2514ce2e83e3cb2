"""Scratch copies of the repository, and stages run in them: the original stays untouched, no cache is shared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from stages.core.console import progress
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tqdm import tqdm

    from stages.verify.lock import Lock

SHOWN = 15  # lines of a failed run
WEIGHTS = ".cache/weights"
PIPELINE = "dvc.yaml"
CODE = "stages"
MADE = (
    "results",
    "runs",
    "reports",
    "data/clean",
    "data/split",
)  # of a study: every file in here is the output of a stage


@dataclass(frozen=True)
class Place:
    """A study inside a repository: the one under judgement, or a scratch copy of it."""

    root: Path  # of the repository
    study: str  # of the study, relative to `root`; "." for the study of the root

    @property
    def folder(self) -> Path:
        """The folder of the study, where dvc.yaml lies."""
        return self.root / self.study

    @property
    def pipeline(self) -> Path:
        """Its dvc.yaml; a published study in whose folder there is no link to it has the root's."""
        own = self.folder / PIPELINE
        return own if own.exists() else self.root / PIPELINE

    @cached_property
    def cache(self) -> Path:
        """The DVC cache: of a fresh clone, or of a scratch copy, it is empty."""
        named = self.dvc("cache", "dir", check=False).stdout.strip()
        return Path(named) if named else self.root / ".dvc" / "cache"

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run DVC in the folder of the study."""
        return self._run([sys.executable, "-m", "dvc", *arguments], check=check)

    def git(self, *arguments: str, check: bool = True) -> str:
        """Run git in the folder of the study; its output."""
        return self._run(["git", *arguments], check=check).stdout

    def git_bytes(self, *arguments: str) -> bytes:
        """Run git in the folder of the study; its output as bytes, empty where it failed."""
        command = ["git", *arguments]
        return subprocess.run(command, cwd=self.folder, env=_environment(), capture_output=True, check=False).stdout  # noqa: S603

    def lines(self, command: Sequence[str], tick: Callable[[], object]) -> tuple[int, list[str]]:
        """Run a long DVC command; `tick` is called with each stage that it begins.

        Returns:
            Its exit status, and its output as lines.
        """
        output: list[str] = []
        with subprocess.Popen(  # noqa: S603 - DVC with our own arguments
            [sys.executable, "-m", "dvc", *command], cwd=self.folder, env=_environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        ) as process:  # fmt: skip
            assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
            for line in process.stdout:
                output.append(line.rstrip())
                if line.startswith("Running stage"):
                    tick()
        return process.returncode, output

    def _run(self, command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - git and DVC with our own arguments
            command, cwd=self.folder, env=_environment(), capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            words = " ".join(command[2:] if command[0] == sys.executable else command)
            raise UserError(f"`{words}` failed: {' '.join((done.stderr or done.stdout).split())[-600:]}")
        return done


def here() -> Place:
    """The study in the working folder.

    Raises:
        UserError: it is no study, or not in a git repository.
    """
    folder = Path.cwd()
    for name in ("params.yaml", "dvc.lock"):
        if not (folder / name).exists():
            raise UserError(f"{name} is not in {folder}; run this in the folder of a study whose results are committed")
    root = Path(Place(folder, ".").git("rev-parse", "--show-toplevel").strip())
    place = Place(root, str(folder.resolve().relative_to(root.resolve())))
    if not place.pipeline.is_file():
        raise UserError(f"dvc.yaml is neither in {folder} nor in {root}; a clone has it from git")
    made = (path for top in MADE for path in (folder / top).rglob("*"))
    for path in (*(root / name for name in _wanted(place)), *made):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"{path} is or leads to a pipe or a device; remove it, then type the command again")
    return place


@contextmanager
def copy(place: Place, source: str | None = None) -> Iterator[Place]:
    """A scratch copy of what git knows of `place`, as it lies there now, with an empty DVC cache.

    Files that git ignores (data, runs, caches, checkpoints) are left out, so that an old result cannot pass for a new
    one. Links lead to the source and to pretrained weights; other links that lead out of the copy are left out, since a
    stage would write through them. So are the results of other studies, because DVC would read each of their pipelines
    with every command.

    Args:
        place: what to copy.
        source: `ingest.path`, relative to the study; where it leads out of the repository, a link in the copy leads
            to the same files.
    """
    with tempfile.TemporaryDirectory(prefix="evenhand-verify-") as name:
        depth = (source or "").split("/").count("..")
        root = Path(name, *(["in"] * depth), "clone").resolve()
        scratch = Place(root, place.study)
        for relative in _wanted(place):
            original, target = place.root / relative, root / relative
            if original.is_symlink() or original.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(original, target, follow_symlinks=False)
                if not Path(os.path.realpath(target)).is_relative_to(root):
                    target.unlink()
        remove(scratch.folder / PIPELINE, root)  # a link to the root's, which stayed behind
        shutil.copy2(place.pipeline, scratch.folder / PIPELINE)
        if place.study != ".":
            remove(scratch.folder / CODE, root)
            (scratch.folder / CODE).symlink_to(os.path.relpath(root / CODE, scratch.folder))
        Place(root, ".").git("init", "--quiet")
        local = f"[core]\n    autostage = false\n    analytics = false\n[cache]\n    dir = {root / '.dvc' / 'cache'}\n"
        (root / ".dvc").mkdir(exist_ok=True)
        remove(root / ".dvc" / "config.local", root)
        (root / ".dvc" / "config.local").write_text(local)
        # Pretrained weights and the source may lie outside of git: the hashes in config.json vouch for them.
        for lent in {WEIGHTS, f"{place.study}/{WEIGHTS}", f"{place.study}/{source}" if source else WEIGHTS}:
            original, inside = place.root / lent, Path(os.path.normpath(root / lent))
            if original.exists() and not inside.exists():
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.symlink_to(original.resolve())
        yield scratch


def _wanted(place: Place) -> list[str]:
    """What git lists, without the pipelines and results of other studies."""
    command = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = [name for name in Place(place.root, ".").git(*command).split("\0") if name]
    studies = {str(PurePosixPath(name).parent) for name in listed if PurePosixPath(name).name == "params.yaml"}
    beside = [
        str(PurePosixPath(study, name)) for study in studies - {place.study} for name in (PIPELINE, "dvc.lock", *MADE)
    ]
    return [name for name in listed if not any(name == path or name.startswith(f"{path}/") for path in beside)]


def remove(path: Path, root: Path) -> None:
    """Remove a file or folder, if it is there.

    Raises:
        UserError: it lies outside of `root`, be it behind a link.
    """
    if not path.parent.resolve().is_relative_to(root):
        raise UserError(
            f"{path} lies outside of the scratch copy, so it is not removed; look at the links of the clone"
        )
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _environment() -> dict[str, Any]:
    """The environment without the settings of a running DVC, and with this Python first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_"))}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return kept | {"DVC_NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def run(again: Place, recorded: Lock, stages: list[str], jobs: int, label: str) -> list[str]:
    """Run `stages` by at most `jobs` processes of DVC at once; where some fail, what comes after them is not run.

    Args:
        again: the scratch copy.
        recorded: dvc.lock, which knows who needs whom.
        stages: in an order in which they could run one by one.
        jobs: 1: all of them one by one, in one process.
        label: of the progress bar.

    Returns:
        What went wrong, in the order of the stages, whichever ended first.
    """
    bar: tqdm[Any] = progress(total=len(stages), desc=label, unit=" stages")
    with bar, ThreadPoolExecutor(jobs) as pool:
        for wave in waves(recorded.needs, stages) if jobs > 1 else [[stages]]:
            done = pool.map(lambda chain: _repro(again, chain, bar.update), wave)
            if errors := [line for lines in done for line in lines]:
                return errors
    return []


def waves(needs: dict[str, list[str]], stages: list[str]) -> list[list[list[str]]]:
    """What the cells need, then the cells side by side, then the rest; each chain of stages is for one process of DVC.

    Args:
        needs: stage -> those that it needs.
        stages: the stages to run, each after those that it needs.
    """
    cells: dict[str, list[str]] = {}
    first: set[str] = set()
    for stage in reversed(stages):
        if "@" in stage:
            cells.setdefault(stage.partition("@")[2], []).insert(0, stage)
        if "@" in stage or stage in first:
            first.update(need for need in needs[stage] if "@" not in need)
    others = [stage for stage in stages if "@" not in stage]
    head, tail = ([stage for stage in others if (stage in first) == before] for before in (True, False))
    return [[chain for chain in wave if chain] for wave in ([head], [*reversed(cells.values())], [tail])]


def _repro(again: Place, chain: list[str], tick: Callable[[], object]) -> list[str]:
    """Run a chain in one process; the lines that say why it failed, none where it did not."""
    # Two processes share dvc.lock: each waits for the other where DVC itself would give up after three seconds.
    status, output = again.lines(["--wait-for-lock", "repro", "--single-item", "--keep-going", *chain], tick)
    errors = [line for line in output if line.startswith(("ERROR", "error"))] or output[-SHOWN:]
    return (errors or [f"{' '.join(chain)}: DVC ended with {status}"]) if status else []
