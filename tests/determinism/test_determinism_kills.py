"""Killed at any moment, a cell goes on from its last epoch and ends with the bytes of one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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


def attempt(study: Path, command: tuple[str, ...], delay: float | None) -> bool:
    """Start, wait until training goes on, then SIGKILL it and all its children after `delay` seconds.

    Args:
        study: the folder.
        command: what to start.
        delay: None: kill it while it writes a checkpoint.

    Returns:
        Whether it was killed; False: it was done before.
    """
    before = states(study)
    process = subprocess.Popen(
        command, cwd=study, env=cell.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while states(study) == before and process.poll() is None:
            time.sleep(0.002)
        if delay is None:
            while not partials(study) and process.poll() is None:
                pass
        else:
            end = time.monotonic() + delay
            while time.monotonic() < end and process.poll() is None:
                time.sleep(0.002)
        killed = process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    return killed


def test_killed_twenty_times_the_bytes_are_the_same(study: Path, whole: dict[str, str]) -> None:
    draw = random.Random(0)  # noqa: S311 - moments, not secrets
    killed = while_writing = finished = 0
    while killed < KILLS:
        if attempt(study, cell.TRAIN, None if killed % 2 else draw.uniform(0, 0.4)):
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


def test_a_killed_repro_goes_on(study: Path, whole: dict[str, str]) -> None:
    repro = (sys.executable, "-m", "dvc", "repro", "--single-item", "train@noisy-3")
    for delay in (0.0, 0.5):
        assert attempt(study, repro, delay)
        assert not (study / cell.OUTPUTS[0]).exists()
    output = tiny.run(study, "dvc", "repro", "--single-item", "train@noisy-3")
    assert "goes on after epoch" in output
    assert cell.digests(study) == whole
    cell.forget(study)


def test_a_checkpoint_of_other_settings_is_not_resumed(study: Path, whole: dict[str, str]) -> None:
    assert attempt(study, cell.TRAIN, 0.2)
    text = (study / "params.yaml").read_text()
    tiny.edit(study / "params.yaml", lambda params: params["variants"]["noisy"].update(epochs=3))
    output = tiny.run(study, *cell.TRAIN, check=True, PYTHONPATH=".")
    assert "goes on after epoch" not in output
    assert cell.digests(study) != whole
    (study / "params.yaml").write_text(text)
    assert "goes on after epoch" in tiny.run(study, *cell.TRAIN, check=True, PYTHONPATH=".")
    assert cell.digests(study) == whole
