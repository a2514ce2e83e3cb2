"""Killed at any moment, a cell goes on from its last epoch and ends with the bytes of one that was not."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from stages.core import files
from tests import tiny
from tests.determinism import cell

pytestmark = pytest.mark.slow
KILLS = 20
EPOCHS = 500  # some seconds: long enough to be hit many times


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cell.study(tmp_path_factory.mktemp("kills"), EPOCHS)


@pytest.fixture(scope="module")
def whole(study: Path) -> dict[str, str]:
    """What the cell gives when nobody interrupts it."""
    tiny.run(study, *cell.TRAIN, check=True, PYTHONPATH=".")
    found = cell.digests(study)
    cell.forget(study)
    assert not list((study / ".checkpoints").rglob("*.pt")), "a finished cell leaves no checkpoint"
    return found


def partials(study: Path) -> list[Path]:
    return list((study / ".checkpoints").rglob(".partial-*"))


def states(study: Path) -> dict[str, int]:
    """Checkpoints by path, with the time of their last change."""
    return {str(p): p.stat().st_mtime_ns for p in (study / ".checkpoints").rglob("*.pt") if p.name[0] != "."}


def trains_on(study: Path) -> Callable[[], bool]:
    """A moment: the checkpoint is another one than now."""
    before = states(study)
    return lambda: states(study) != before


def saves(study: Path) -> Callable[[], bool]:
    """A moment: training goes on, and a checkpoint is being written."""
    goes_on = trains_on(study)
    return lambda: goes_on() and bool(partials(study))


def attempt(study: Path, command: tuple[str, ...], moment: Callable[[], bool], delay: float = 0.0) -> bool:
    """Start, wait for the moment and `delay` seconds more, then SIGKILL it and all its children.

    Returns:
        Whether it was killed; False: it was done before.
    """
    process = subprocess.Popen(
        command, cwd=study, env=cell.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not moment() and process.poll() is None:
            pass
        end = time.monotonic() + delay
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.002)
        killed = process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    return killed


@pytest.mark.weekly
def test_killed_twenty_times_the_bytes_are_the_same(study: Path, whole: dict[str, str]) -> None:
    draw = random.Random(0)  # noqa: S311 - moments, not secrets
    killed = while_writing = finished = 0
    while killed < KILLS:
        moment, delay = (saves(study), 0.0) if killed % 2 else (trains_on(study), draw.uniform(0, 0.4))
        if attempt(study, cell.TRAIN, moment, delay):
            killed += 1
            while_writing += bool(partials(study))
        else:
            finished += 1
            assert finished < 5, "the cell is too short to be hit"
            assert cell.digests(study) == whole
            cell.forget(study)
    assert while_writing, "no kill met a checkpoint being written"
    tiny.run(study, *cell.TRAIN, check=True, PYTHONPATH=".")
    assert cell.digests(study) == whole
    cell.forget(study)


@pytest.mark.weekly
def test_killed_while_it_starts_and_while_it_writes_what_it_made(study: Path, whole: dict[str, str]) -> None:
    draw = random.Random(1)  # noqa: S311 - moments, not secrets
    for _ in range(4):
        assert attempt(study, cell.TRAIN, lambda: True, draw.uniform(0, 2))
    half = 0
    for _ in range(5):
        # The weights are the first of the outputs.
        attempt(study, cell.TRAIN, (study / cell.OUTPUTS[0]).exists, draw.uniform(0, 0.02))
        present = [name for name in cell.OUTPUTS if (study / name).exists()]
        half += 0 < len(present) < len(cell.OUTPUTS)
        for name in present:
            assert cell.digest(study, name) == whole[name], f"{name} is neither whole nor absent"
        (study / cell.OUTPUTS[0]).unlink(missing_ok=True)
    assert half, "no kill met the outputs being written"
    tiny.run(study, *cell.TRAIN, check=True, PYTHONPATH=".")
    assert cell.digests(study) == whole
    cell.forget(study)


def test_a_killed_repro_goes_on(study: Path, whole: dict[str, str]) -> None:
    repro = (sys.executable, "-m", "dvc", "repro", "--single-item", "train@noisy-3")
    for delay in (0.0, 0.5):
        assert attempt(study, repro, trains_on(study), delay)
        assert not (study / cell.OUTPUTS[0]).exists()
    output = tiny.run(study, "dvc", "repro", "--single-item", "train@noisy-3")
    assert "goes on after epoch" in output
    assert cell.digests(study) == whole
    cell.forget(study)


@pytest.mark.weekly
def test_a_pipeline_killed_wherever_it_is_ends_with_the_same_lock(tmp_path: Path) -> None:
    """From the pictures to the report: whichever stage, or DVC itself, is hit."""
    study = tiny.copy(tmp_path)
    hit = Path(shutil.copytree(study, tmp_path / "hit", symlinks=True))
    tiny.run(study, "dvc", "repro", "report")
    draw, kills = random.Random(2), 0  # noqa: S311 - moments, not secrets
    while kills < 6 and attempt(
        hit, (sys.executable, "-m", "dvc", "repro", "report"), lambda: True, draw.uniform(1, 9)
    ):
        kills += 1
    assert kills >= 3, "the pipeline is too short to be hit"
    tiny.run(hit, "dvc", "repro", "report")
    stages = [sorted((folder / "dvc.lock").read_text().split("\n  ")) for folder in (study, hit)]
    made = [{p.relative_to(f): p.read_bytes() for p in (f / "reports").rglob("*") if p.is_file()} for f in (study, hit)]
    assert stages[0] == stages[1]
    assert made[0] == made[1]


@pytest.mark.weekly
def test_a_checkpoint_of_other_settings_is_not_resumed(study: Path, whole: dict[str, str]) -> None:
    assert attempt(study, cell.TRAIN, trains_on(study), 0.2)
    text = (study / "params.yaml").read_text()
    tiny.edit(study / "params.yaml", lambda params: params["variants"]["noisy"].update(epochs=3))
    output = tiny.run(study, *cell.TRAIN, check=True, PYTHONPATH=".")
    assert "goes on after epoch" not in output
    assert cell.digests(study) != whole
    (study / "params.yaml").write_text(text)
    assert "goes on after epoch" in tiny.run(study, *cell.TRAIN, check=True, PYTHONPATH=".")
    assert cell.digests(study) == whole
    cell.forget(study)


def other_split(study: Path) -> Path:
    path = study / "data/split/seeds/3.csv"
    rows = files.read_rows(path)
    one, two = (next(row for row in rows if row["split"] == part) for part in ("train", "test"))
    one["split"], two["split"] = two["split"], one["split"]
    files.write_rows(path, list(rows[0]), rows)
    return path


def other_label(study: Path) -> Path:
    path = study / "data/clean/manifest.csv"
    rows = files.read_rows(path)
    rows[0]["label"] = next(row["label"] for row in rows if row["label"] != rows[0]["label"])
    files.write_rows(path, list(rows[0]), rows)
    return path


def other_pixel(study: Path) -> Path:
    path = sorted((study / "data/clean/images").rglob("*.png"))[0]
    with Image.open(path) as picture:
        changed = picture.copy()
    changed.putpixel((0, 0), (255, 0, 255))
    path.unlink()  # it may be a link into the cache
    changed.save(path)
    return path


def other_code(study: Path) -> Path:
    path = study / "stages/train/loop.py"
    path.write_text(path.read_text() + "\n# a change\n")
    return path


@pytest.mark.weekly
@pytest.mark.parametrize("change", [other_code, other_split, other_label, other_pixel])
def test_a_checkpoint_of_other_data_or_code_is_not_resumed(study: Path, change: Callable[[Path], Path]) -> None:
    shutil.rmtree(study / ".checkpoints", ignore_errors=True)
    assert attempt(study, cell.TRAIN, trains_on(study), 0.2)
    left = states(study)
    kept = {p: p.read_bytes() for top in ("data", "stages") for p in (study / top).rglob("*") if p.is_file()}
    path = change(study)
    assert attempt(study, cell.TRAIN, trains_on(study), 0.2)
    now = states(study)
    assert len(now) == 2, "another checkpoint, from the beginning"
    assert {name: now[name] for name in left} == left
    path.write_bytes(kept[path])
    shutil.rmtree(study / ".checkpoints")
