"""A tiny study whose pictures lie in its repository, run and committed: what a reviewer clones."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from stages.core import intact
from stages.verify import lock
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path) -> Path:
    """The study in `folder / "study"`, with `data/source/<label>/*.png` in git, all stages but `track` run."""

    def inside(params: dict[str, Any]) -> None:
        params["ingest"] = {"source": "folder", "path": "data/source"}
        params["train"]["instruction_set"] = "native"  # so that a test can change the machine type

    study = tiny.copy(folder, inside)
    shutil.move(folder / "source", study / "data" / "source")
    tiny.commit(study, "Add the pictures")
    tiny.run(study, "dvc", "repro", "report")
    tiny.commit(study, "Run the study")
    return study


def clone(study: Path, folder: Path) -> Path:
    """A fresh clone: no data, no cache, no remote."""
    tiny.run(study, "git", "clone", "--quiet", str(study), str(folder))
    return folder


def replace(path: Path, old: str, new: str) -> None:
    """Edit a text file by hand."""
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


def forge(clone: Path, path: str) -> None:
    """Make dvc.lock fit an output folder that was changed: hash, size and number of files, wherever they stand."""

    def change(recorded: dict[str, Any]) -> None:
        for stage in recorded["stages"].values():
            for entry in [*stage.get("deps", []), *stage.get("outs", [])]:
                if entry["path"] == path:
                    size, nfiles = lock.size(clone / path)
                    entry.update(md5=intact.md5(clone / path), size=size, nfiles=nfiles)

    tiny.edit(clone / "dvc.lock", change)
