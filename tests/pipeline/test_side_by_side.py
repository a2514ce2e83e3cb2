"""Cells side by side end with the bytes of `dvc repro`, whatever happens on the way; the cells here take no time."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from stages.core import children, files, params
from stages.tools import side_by_side, this_machine
from tests import tiny

COMMAND = (sys.executable, "-m", "stages.tools.side_by_side", "--jobs", "3")
# A cell appends its name to `ran`, waits while `hold` names its variant, and fails where `fail` does.
STAGE = """
import os, sys, time
from pathlib import Path
stage, _, cell = os.environ["DVC_STAGE"].partition("@")
variant, seed = cell.rsplit("-", 1)
with open("ran", "a") as ran:
    ran.write(f"{stage}@{cell} {os.getpid()}\\n")
while Path("hold").exists() and variant in Path("hold").read_text():
    time.sleep(0.02)
if stage == "train" and variant in Path("fail").read_text():
    sys.exit(f"error: {variant} has no luck")
read = Path(f"runs/{cell}").read_text() if stage == "evaluate" else Path("data.txt").read_text()
Path("runs" if stage == "train" else "results").mkdir(exist_ok=True)
Path("runs" if stage == "train" else "results", cell).write_text(f"{stage} {cell} {read}")
"""
PIPELINE = """
stages:
  split: { cmd: cp source.txt data.txt, deps: [source.txt], outs: [data.txt: { cache: false }] }
  train:
    matrix: { variant: "${variants}", seed: "${seeds}" }
    cmd: python -m stages.train
    deps: [data.txt]
    params: ["variants.${item.variant}"]
    outs: ["runs/${item.variant}-${item.seed}"]
  evaluate:
    matrix: { variant: "${variants}", seed: "${seeds}" }
    cmd: python -m stages.evaluate
    deps: [data.txt, "runs/${item.variant}-${item.seed}"]
    outs: ["results/${item.variant}-${item.seed}": { cache: false }]
  aggregate: { cmd: cat results/* > all.txt, deps: [results], outs: [all.txt: { cache: false }] }
"""
CELLS = [f"{variant}-{seed}" for variant in ("slow", "quick", "other") for seed in (0, 1)]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A pipeline of the shape of ours."""
    return make(tmp_path / "study")


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pipeline, run by DVC alone."""
    study = make(tmp_path_factory.mktemp("serial") / "study")
    tiny.run(study, "dvc", "repro", "--quiet")
    return study


def make(
    study: Path,
    stage: str = STAGE,
    pipeline: str = PIPELINE,
    variants: Sequence[str] = ("slow", "quick", "other"),
) -> Path:
    (study / ".dvc").mkdir(parents=True)
    (study / ".dvc/config").write_text("[core]\n    analytics = false\n    autostage = true\n")
    (study / "stages/tools").mkdir(parents=True)
    for name in ("core", "verify", *(f"tools/{path.name}" for path in (tiny.ROOT / "stages/tools").glob("*.py"))):
        (study / "stages" / name).symlink_to(tiny.ROOT / "stages" / name)
    for name in ("train", "evaluate"):
        (study / "stages" / name).mkdir()
        (study / "stages" / name / "__main__.py").write_text(stage)
    for name in ("params.yaml", ".dvcignore"):
        shutil.copy(tiny.ROOT / name, study)
    tiny.edit(study / "params.yaml", lambda p: p.update(variants={v: {} for v in variants}, seeds=[0, 1]))
    (study / "dvc.yaml").write_text(pipeline)
    (study / "source.txt").write_text("pictures")
    (study / "fail").write_text("")
    (study / ".gitignore").write_text("runs/\n")
    tiny.run(study, "git", "init", "--quiet")
    return study


def same(study: Path, serial: Path, cells: Sequence[str] = CELLS) -> bool:
    made = ["dvc.lock", "all.txt", *(f"{folder}/{cell}" for folder in ("runs", "results") for cell in cells)]
    return all((study / name).read_bytes() == (serial / name).read_bytes() for name in made)


def ran(study: Path) -> list[str]:
    return sorted(line.split()[0] for line in (study / "ran").read_text().splitlines())


def locked(study: Path) -> set[str]:
    path = study / "dvc.lock"
    return set(YAML(typ="safe").load(path)["stages"]) if path.exists() else set()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, "it did not happen within two minutes"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.weekly
def test_the_bytes_are_those_of_dvc_repro_and_then_nothing_is_left(study: Path, serial: Path) -> None:
    said = tiny.run(study, *COMMAND)
    assert same(study, serial), said
    assert ran(study) == sorted(f"{stage}@{cell}" for stage in ("train", "evaluate") for cell in CELLS)
    assert "up to date" in tiny.run(study, *COMMAND)
    assert "up to date" in tiny.run(study, "dvc", "repro")
    assert len(ran(study)) == 2 * len(CELLS), "nothing was stale"
    assert "dvc.lock" in tiny.run(study, "git", "diff", "--cached", "--name-only").split()


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_the_others_are_kept(study: Path) -> None:
    (study / "fail").write_text("quick")
    said = tiny.run(study, *COMMAND, check=False)
    assert "2 of 6 cells failed" in said
    assert "quick-0: quick has no luck" in said
    assert "train@quick-1.log" in said
    assert "Traceback" not in said
    assert locked(study) == {"split", *(f"{s}@{c}" for s in ("train", "evaluate") for c in CELLS if "quick" not in c)}
    (study / "fail").write_text("")
    (study / "ran").unlink()
    tiny.run(study, *COMMAND)
    assert ran(study) == ["evaluate@quick-0", "evaluate@quick-1", "train@quick-0", "train@quick-1"]
    assert not (study / ".checkpoints/side_by_side/order.json").exists()


@pytest.mark.slow
def test_after_kill_9_the_same_command_goes_on(study: Path, serial: Path) -> None:
    (study / "hold").write_text("slow")
    quick = {f"{stage}@{cell}" for stage in ("train", "evaluate") for cell in CELLS if "slow" not in cell}
    with begin(study) as process:
        until(lambda: quick <= locked(study))
        held = [int(line.split()[1]) for line in (study / "ran").read_text().splitlines() if "slow" in line]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not any(psutil.pid_exists(pid) for pid in held))  # or the next run would meet them at work
        assert len(held) == 2
        (study / "hold").unlink()
        tiny.run(study, *COMMAND)
        assert same(study, serial), "the order of dvc.lock does not show who was first"
        assert [name for name in ran(study) if name in quick] == sorted(quick), "what was finished did not run again"


@pytest.mark.slow
@pytest.mark.weekly
@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_cells_too(study: Path, polite: signal.Signals) -> None:
    (study / "hold").write_text("slow quick other")
    with begin(study) as process:
        until(lambda: (study / "ran").exists() and len(ran(study)) == 3)
        process.send_signal(polite)
        assert process.wait(120) == 130
        assert not any(psutil.pid_exists(int(line.split()[1])) for line in (study / "ran").read_text().splitlines())
        assert locked(study) == {"split"}


@pytest.mark.slow
@pytest.mark.weekly
def test_a_result_of_other_inputs_than_at_the_start_is_not_locked(study: Path) -> None:
    (study / "hold").write_text("slow")
    with begin(study) as process:
        until(lambda: (study / "ran").exists() and "train@slow-0" in ran(study))
        tiny.edit(study / "params.yaml", lambda p: p["variants"].update(slow={"epochs": 3}))
        (study / "hold").unlink()
        said = process.communicate()[0]
        assert process.returncode == 1
        assert "slow-0: params.yaml" in said
        assert "changed while train@slow-0 ran" in said
        assert "train@slow-0" not in locked(study)
        assert "train@quick-0" in locked(study)


@pytest.mark.slow
@pytest.mark.weekly
def test_another_dvc_does_not_run_the_same_cells(study: Path) -> None:
    (study / "hold").write_text("slow")
    with begin(study) as process:
        until(lambda: (study / "ran").exists() and "train@slow-0" in ran(study))
        assert "is busy" in tiny.run(study, "dvc", "repro", "train@slow-0", check=False)
        (study / "hold").unlink()
        assert process.wait(120) == 0, process.communicate()[0]


def begin(study: Path) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        COMMAND,
        cwd=study,
        env=environment | {"PATH": path},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_as_many_cells_as_cores_can_feed_or_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def change(p: dict[str, object]) -> None:
        p.update(train={"threads": 2, "device": "cpu"}, variants={"a": {"threads": 3}, "b": {}})

    shutil.copy(tiny.ROOT / "params.yaml", tmp_path)
    tiny.edit(tmp_path / "params.yaml", change)
    study = params.read(tmp_path / "params.yaml")
    monkeypatch.setattr(children, "cores", lambda: 7)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert this_machine.gpus(study) == [], "no cell uses one"
    assert this_machine.jobs([]) == 7
    assert this_machine.threads(study) == {"a": 3, "b": 2}
    study.raw["train"]["device"] = "auto"
    assert this_machine.gpus(study) == ["2", "5"]
    assert this_machine.jobs(this_machine.gpus(study)) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert this_machine.gpus(study) == []


@pytest.mark.parametrize(
    ("running", "begins"),
    [
        (["big-0", "small-0"], 0),  # all cores are busy
        (["big-0"], 1),
        (["small-0"], 1),  # the big one needs three cores and two are left; the next small one does not overtake it
        ([], 2),
    ],
)
def test_cells_share_the_cores_by_their_threads(running: list[str], begins: int) -> None:
    machine: Any = object.__new__(this_machine.Here)
    machine.jobs, machine.takes = 4, {"big": 3, "small": 1}
    running = [name.rpartition("-")[0] for name in running]
    begun = 0
    for variant in ("small", "big", "small"):
        if not machine.fits(variant, running):
            break
        running.append(variant)
        begun += 1
    assert begun == begins


def test_a_damaged_order_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    side_by_side.ORDER.parent.mkdir(parents=True)
    side_by_side.ORDER.write_text("")
    (tmp_path / "dvc.lock").write_text("stages: {b: {}, a: {}}")
    made: Any = object.__new__(side_by_side.SideBySide)
    for _ in range(2):
        assert made._order_before() == ["b", "a"]


def test_a_cell_waits_for_memory_unless_it_is_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "timings/cnn").mkdir(parents=True)
    (tmp_path / "timings/cnn/0.json").write_text('{"peak_memory_bytes": 4000000000}')
    (tmp_path / "timings/cnn/0.inference.json").write_text('{"batch": 64}')

    class Process:  # its memory counts as free: two cells of 4 GB need 8 GB less that of this process
        pid = os.getpid()

    def available(gigabytes: float) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": gigabytes * 1e9}))

    own = psutil.Process().memory_full_info().uss / 1e9
    available(0.1)
    assert this_machine.Here.enough([])
    available(7.5 - own)
    assert not this_machine.Here.enough([Process()])  # type: ignore[list-item]
    available(8.5 - own)
    assert this_machine.Here.enough([Process()])  # type: ignore[list-item]


def test_timings_that_a_running_cell_writes_are_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_json("timings/a/0.json", {"peak_memory_bytes": 4 * 10**9})
    with files.atomic("timings/b/0.json") as partial:
        for text in ("", '{"peak', "[]", '{"peak_memory_bytes": 2000000000}'):
            partial.write_text(text)
            assert partial in Path("timings").glob("*/*.json")
            assert this_machine.largest() == 4 * 10**9
    listed = iter([Path("timings/a/0.json"), partial])  # renamed after it was listed
    monkeypatch.setattr(this_machine, "TIMINGS", SimpleNamespace(glob=lambda _: listed))
    assert this_machine.largest() == 4 * 10**9


@pytest.mark.slow
@pytest.mark.weekly
def test_real_cells_have_the_bytes_of_serial_ones(tmp_path: Path) -> None:
    study = tiny.copy(tmp_path, lambda p: p.update(variants={"mlp": tiny.VARIANT, "cnn": CNN}, seeds=[0]))
    tiny.run(study, *COMMAND, EVENHAND_TRACKING="off")
    lock = (study / "dvc.lock").read_bytes()
    for cell in ("mlp-0", "cnn-0"):
        tiny.run(study, "dvc", "repro", "--force", "--single-item", "--quiet", f"train@{cell}", f"evaluate@{cell}")
    assert (study / "dvc.lock").read_bytes() == lock


CNN = {"model": {"name": "cnn", "head": {"pooling": "flatten"}, "blocks": [{"filters": [4]}]}, "epochs": 2}
