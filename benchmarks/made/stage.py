"""The cleaning stage as a black box: a folder goes in, and what its tables say comes out."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import files
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Clean's workers are children of a server that outlives clean: its seconds count only for who waits for it.
_ADOPTING = """
import contextlib, ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
code = subprocess.run(sys.argv[1:]).returncode
with contextlib.suppress(ChildProcessError):
    while True:
        os.wait()
sys.exit(code)
"""
CODE = Path(__file__).resolve().parents[2]
COLUMNS = ("path", "file", "label", "source", "group", "box", "problem")


@dataclass(frozen=True)
class Outcome:
    """What the stage did.

    homes: group of every file that was kept, or of which a copy was kept.
    dropped: file -> the file of which it is a copy.
    conflicts: files that were thrown away because one picture had several labels.
    reasons: how often each status and reason was given.
    """

    homes: dict[str, str]
    dropped: dict[str, str]
    conflicts: set[str]
    same: list[tuple[str, str]]
    similar: list[tuple[str, str]]
    reasons: Counter[str]

    def together(self, a: str, b: str) -> bool:
        """Whether a split keeps two files on one side."""
        return a in self.homes and self.homes[a] == self.homes.get(b)


def files_of(folder: Path) -> list[tuple[str, bytes, str]]:
    """The files below a folder: path in it, content, name of the folder that holds the file."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), path.read_bytes(), path.parent.name) for path in paths]


def lay(root: Path, pictures: Iterable[tuple[str, bytes, str]]) -> None:
    """A study folder whose data/raw holds pictures: path, content, label."""
    rows = []
    for path, content, label in pictures:
        target = root / "data/raw/files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        row = {"path": path, "file": f"files/{path}", "label": label, "source": "folder"}
        rows.append(dict.fromkeys(COLUMNS, "") | row)
    files.write_rows(root / "data/raw/manifest.csv", COLUMNS, rows)


def cleaned(root: Path, settings: Mapping[str, Any]) -> Outcome:
    """Run the stage here, without a cache; `settings` are those of `clean` that differ from the defaults."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(UserError):  # where nothing was kept
        run(
            Clean.model_validate(nested(settings)), root / "data/raw", root / "data/clean", root / "reports/clean", None
        )
    return outcome(root)


def process(root: Path, settings: Mapping[str, Any]) -> float:
    """CPU seconds of the stage as a process of its own, with the project's params.yaml and `settings`."""
    yaml = YAML()
    values = yaml.load((CODE / "params.yaml").read_text(encoding="utf-8"))
    _merge(values["clean"], nested(settings))
    with (root / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
    seconds, error = timed([sys.executable, "-m", "stages.clean"], root, {"PYTHONPATH": str(CODE)})
    if error and "could be kept" not in error:
        raise RuntimeError(error)
    return seconds


def outcome(root: Path) -> Outcome:
    """Read manifest.csv, ledger.csv and pairs.csv."""
    ledger = files.read_rows(root / "data/clean/ledger.csv")
    groups = {row["image_id"]: row["group_id"] for row in files.read_rows(root / "data/clean/manifest.csv")}
    kept = {row["image_id"]: row["path"] for row in ledger if row["status"] == "kept"}
    homes = {row["path"]: groups[row["image_id"]] for row in ledger if row["status"] == "kept"}
    dropped = {row["path"]: kept[row["duplicate_of"]] for row in ledger if row["status"] == "duplicate"}
    homes |= {path: homes[of] for path, of in dropped.items()}
    conflicts = {row["path"] for row in ledger if row["status"] == "quarantined" and row["reason"] == "label_conflict"}
    pairs = files.read_rows(root / "reports/clean/pairs.csv")
    same, similar = ([(p["a"], p["b"]) for p in pairs if p["verdict"] == v] for v in ("same", "similar"))
    return Outcome(homes, dropped, conflicts, same, similar, Counter(f"{r['status']} {r['reason']}" for r in ledger))


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`{"match.local.up_to": 9}` as mappings within mappings."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        place = found
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return found


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def timed(command: list[str], folder: Path, more: Mapping[str, str]) -> tuple[float, str]:
    """CPU seconds of a process and all that it starts, user and system; and the end of its complaint where it fails."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", _ADOPTING, *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **more},
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, done.stderr[-500:] if done.returncode else ""
