"""A run with nothing new does nothing; whatever was touched makes it run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages.clean import unchanged

from .conftest import Raw, photo

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
NOTHING = "nothing has changed since the last run"


@pytest.fixture
def cleaned(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> Raw:
    """A folder in which the stage was run, and noted that it ended."""
    raw.add("a/1.png", photo(1))
    raw.add("b/2.png", photo(2), "b")
    shutil.copy(ROOT / "params.yaml", raw.root)
    raw.run()
    monkeypatch.chdir(raw.root)
    time.sleep(0.1)  # what was touched just now is not trusted to stay
    unchanged.remember(time.time_ns())
    assert unchanged.since()
    return raw


def stage(root: Path, *arguments: str) -> str:
    """What `python -m stages.clean` says in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "stages.clean", *arguments],
        cwd=root, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stderr


def test_nothing_is_done_twice(cleaned: Raw) -> None:
    made = {path: path.stat() for path in (cleaned.root / "data/clean").rglob("*")}
    assert NOTHING in stage(cleaned.root)
    assert made == {path: path.stat() for path in (cleaned.root / "data/clean").rglob("*")}
    assert NOTHING not in stage(cleaned.root, "-v")  # asks for a list, so there is something to do
    (cleaned.root / "data/clean/ledger.csv").unlink()
    assert NOTHING not in stage(cleaned.root)
    assert len(cleaned.ledger()) == 2
    assert NOTHING in stage(cleaned.root)


def _edit(root: Path) -> None:
    """Other bytes, the same size and the same time."""
    path = root / "data/raw/files/a/1.png"
    facts, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-20] + bytes(byte ^ 1 for byte in data[-20:]))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _params(root: Path) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("min_side: 4 ", "min_side: 5 "))


TOUCHED: dict[str, Callable[[Path], object]] = {
    "a picture, behind its time": _edit,
    "a new picture": lambda root: photo(3).save(root / "data/raw/files/a/3.png"),
    "the settings": _params,
    "a row that was made": lambda root: (root / "data/clean/ledger.csv").write_text("path\n"),
    "a picture that was made": lambda root: next((root / "data/clean/images").rglob("*.png")).unlink(),
    "a sheet": lambda root: (root / "reports/clean/overview.png").unlink(),
    "all that was made": lambda root: shutil.rmtree(root / "data/clean"),
    "the note": lambda root: (root / unchanged.FILE).write_text("x"),
}


@pytest.mark.parametrize("touch", TOUCHED.values(), ids=TOUCHED)
def test_whatever_was_touched_makes_it_run(touch: Callable[[Path], object], cleaned: Raw) -> None:
    touch(cleaned.root)
    time.sleep(0.1)
    assert not unchanged.since()


def test_an_empty_note_is_no_note(cleaned: Raw) -> None:
    (cleaned.root / unchanged.FILE).write_text("")
    shutil.rmtree(cleaned.root / "data/clean")
    assert not unchanged.since()


@pytest.mark.parametrize("touch", [_edit, lambda root: (root / "data/raw/files/a/1.png").unlink(), _params])
def test_what_is_touched_while_the_stage_runs_leaves_no_note(touch: Callable[[Path], object], cleaned: Raw) -> None:
    unchanged.FILE.unlink()
    started = time.time_ns()
    touch(cleaned.root)
    time.sleep(0.1)
    unchanged.remember(started)
    assert not unchanged.FILE.exists()
    unchanged.remember(time.time_ns())
    assert unchanged.since()


def test_links_and_what_was_touched_just_now_are_not_trusted(cleaned: Raw) -> None:
    before = unchanged.inputs(time.time_ns())
    Path("data/raw/files/a/1.png").touch()
    assert not unchanged.inputs(time.time_ns())
    time.sleep(0.1)
    assert unchanged.inputs(time.time_ns()) not in ("", before)
    Path("data/raw/files/a/link.png").symlink_to("1.png")
    time.sleep(0.1)
    assert cleaned.root == Path.cwd()
    assert not unchanged.inputs(time.time_ns())
