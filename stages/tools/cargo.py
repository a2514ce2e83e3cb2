"""What a cell takes along to a node of a cluster, and what it brings back: inputs, checkpoints, outputs."""

from __future__ import annotations

import os
import re
import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.errors import UserError
from stages.tools import node, parcels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dvc.stage import Stage

    from stages.core.params import Study

ROOT = Path(__file__).parents[2]  # as weights.py finds the repository: by way of a study's link, the study itself
CODE = (
    "stages/__init__.py", "stages/core",
    "stages/tools/__init__.py", "stages/tools/forked.py", "stages/tools/preload.py",
)  # fmt: skip
# In `deps` a cell names the list of a folder's files; with the list goes the folder (dvc.yaml).
BESIDE = {"data/clean/manifest.csv": "data/clean/images"}
WEIGHTS = Path(".cache/weights")
STATE = re.compile(r"[0-9a-f]+/last\.pt")  # below .checkpoints


class Cargo:
    """Packs the inputs of the cells of one study, and unpacks their outputs and checkpoints."""

    def __init__(self, study: Study, stages: list[Stage], folder: Path, put: Callable[[Any], Any]) -> None:
        """Keep what is needed for packing; no file is read yet.

        Args:
            study: in the working folder.
            stages: of all cells.
            folder: for notes that say to which cell a checkpoint belongs.
            put: into the object store; gives a reference.
        """
        self.study, self.folder, self.put = study, folder, put
        self.code = [*CODE, *(name for s in stages for name in map(_name, s.deps) if name.startswith("stages/"))]
        self.own = {_name(out) for stage in stages for out in stage.outs}  # which one cell alone reads
        self.kept: dict[str, node.Parcel] = {}  # of files that several cells read: in the object store once

    def work(self, stage: Stage, environment: dict[str, str]) -> node.Work:
        """The command of a stage, with all that it needs.

        Raises:
            UserError: an input lies outside of the study's folder.
        """
        cell = stage.name.partition("@")[2]
        variant, _, seed = cell.rpartition("-")
        names = [_name(dep) for dep in stage.deps]
        names += [BESIDE[name] for name in names if name in BESIDE] + list(_named(self.study, variant))
        places = dict.fromkeys(_outermost([*self.code, *names]), Path.cwd()) | _weights()
        sent = {name: value for name, value in os.environ.items() if name.startswith(node.BITS)} | environment
        outputs = [*map(_name, stage.outs), f"timings/{variant}/{seed}.json", f"timings/{variant}/{seed}.*.json"]
        found = [self._parcel(folder, name) for name, folder in places.items()]
        return node.Work(cell, stage.cmd.split()[-1], sent, found, [], outputs)

    def _parcel(self, folder: Path, name: str) -> node.Parcel:
        known_by = next((source for source, content in BESIDE.items() if content == name), name)
        key = parcels.digest(folder, known_by)
        kept = self.kept.get(name)
        if kept and kept.key == key:
            return kept
        parcel = node.Parcel(name, key, [self.put(part) for part in parcels.pack(folder, [name])])
        if name not in self.own:
            self.kept[name] = parcel
        return parcel

    def write(self, work: node.Work, packed: dict[str, bytes]) -> None:
        """Put the outputs of a command in their places, and remove its checkpoint.

        Raises:
            UserError: a file is none of its outputs.
        """
        for name in packed:
            if not any(fnmatchcase(name, out) or name.startswith(f"{out}/") for out in work.outputs):
                raise UserError(f"{work.cell}: its node sent {name!r}, which is none of its outputs")
        parcels.unpack(Path.cwd(), packed)
        shutil.rmtree(self._checkpoint(work).parent, ignore_errors=True)
        self._note(work).unlink(missing_ok=True)

    def keep_state(self, work: node.Work, packed: dict[str, bytes]) -> None:
        """Write a checkpoint into `.checkpoints`, where a run on this machine finds it too, and note its cell.

        Raises:
            UserError: a file is no checkpoint.
        """
        for name, content in packed.items():
            if not STATE.fullmatch(name):
                raise UserError(f"{work.cell}: its node sent {name!r}, which is no checkpoint")
            files.write_text(self._note(work), name)
            with files.atomic(self._checkpoint(work)) as partial:
                partial.write_bytes(content)

    def state(self, work: node.Work) -> node.Work:
        """The work, with the last checkpoint that a node sent back for it."""
        path = self._checkpoint(work)
        if not path.is_file():
            return work._replace(state=[])
        return work._replace(state=[self.put({f"{path.parent.name}/{path.name}": path.read_bytes()})])

    def _note(self, work: node.Work) -> Path:
        return self.folder / f"{work.cell}.checkpoint"

    def _checkpoint(self, work: node.Work) -> Path:
        """The path of the last checkpoint on this machine; a path without a file where no checkpoint has come back."""
        note = self._note(work)
        name = note.read_text(encoding="utf-8") if note.is_file() else ""
        return Path(work.environment["DVC_ROOT"], ".checkpoints", name if STATE.fullmatch(name) else "none/last.pt")


def _name(entry: Any) -> str:
    """The path of an input or output of a stage below the study's folder.

    Raises:
        UserError: it leads out of the folder.
    """
    return _within(entry.fs_path)


def _within(path: str) -> str:
    name = os.path.relpath(path)
    if name == ".." or name.startswith("../"):
        raise UserError(
            f"{path} lies outside of the study's folder, so it is not sent to a cluster; put it below {Path.cwd()}"
        )
    return name


def _outermost(names: Iterable[str]) -> list[str]:
    """The names in order, each once, without those that lie inside another of them."""
    every = sorted(set(names))
    return [name for name in every if not any(name.startswith(f"{other}/") for other in every)]


def _named(study: Study, variant: str) -> Iterator[str]:
    """Files of weights that params.yaml names for a variant."""
    todo: list[Any] = [study.raw["train"], study.variants[variant]]
    while todo:
        settings = todo.pop()
        if isinstance(settings, dict):
            todo += settings.values()
            named = settings.get("weights")
            if isinstance(named, str) and Path(named).is_file():
                yield _within(named)


def _weights() -> dict[str, Path]:
    """Published weights in `.cache/weights` of the repository and of the study; those of the study take precedence."""
    return {
        path.relative_to(folder).as_posix(): folder
        for folder in (ROOT, Path.cwd())
        for path in sorted((folder / WEIGHTS).glob("*"))
        if path.is_file()
    }
