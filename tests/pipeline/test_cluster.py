"""Cells on a Ray cluster end with the bytes of `dvc repro`, whichever nodes are lost; the nodes here are local."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests import tiny
from tests.pipeline import test_side_by_side as side_by_side
from tests.pipeline.test_side_by_side import CNN, locked, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: `make cluster` installs it"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
# A cell has six epochs and a checkpoint after each. It writes down what it does, fails where `fail` says so, and waits
# before its fourth epoch while `hold` is there, and finds the disk full in the folder that `full` names.
STAGE = """
import os, sys, time
from pathlib import Path
signs, stage = Path(os.environ["EVENHAND_SIGNS"]), os.environ["DVC_STAGE"]
name, _, cell = stage.partition("@")
print("about to begin", cell)
if name == "train":
    state = Path(os.environ["DVC_ROOT"], ".checkpoints", cell.encode().hex(), "last.pt")
    epoch = int(state.read_text()) if state.exists() else 0
    while epoch < 6:
        while epoch == 3 and (signs / "hold").exists():
            time.sleep(0.02)
        if cell in (signs / "fail").read_text().split():
            sys.exit(f"error: {cell} has no luck")
        if (signs / "full").exists() and (signs / "full").read_text() == str(Path.cwd()):
            sys.exit(f"error: {state}: No space left on device; free space on its disk, then run it again")
        time.sleep(0.1)
        epoch += 1
        with (signs / "ran").open("a") as ran:
            print(cell, epoch, os.getpid(), Path.cwd(), file=ran)
        state.parent.mkdir(parents=True, exist_ok=True)
        state.with_suffix(".new").write_text(str(epoch))
        state.with_suffix(".new").replace(state)
    state.unlink()
    read = Path("data/list.txt").read_text() + Path("params.yaml").read_text()[:40]
else:
    read = Path("runs", cell).read_text()
folder = Path("runs" if name == "train" else "results")
folder.mkdir(exist_ok=True)
(folder / cell).write_text(f"{stage} {read}")
"""
PIPELINE = """
stages:
  split:
    cmd: mkdir -p data && cp source.txt data/list.txt
    deps: [source.txt]
    outs: [data/list.txt: { cache: false }]
  train:
    matrix: { variant: "${variants}", seed: "${seeds}" }
    cmd: python -m stages.train
    deps: [stages/train, data/list.txt]
    params: ["variants.${item.variant}"]
    outs: ["runs/${item.variant}-${item.seed}"]
  evaluate:
    matrix: { variant: "${variants}", seed: "${seeds}" }
    cmd: python -m stages.evaluate
    deps: [stages/evaluate, "runs/${item.variant}-${item.seed}"]
    outs: ["results/${item.variant}-${item.seed}": { cache: false }]
  aggregate: { cmd: cat results/* > all.txt, deps: [results], outs: [all.txt: { cache: false }] }
"""
CELLS = [f"{variant}-{seed}" for variant in ("a", "b") for seed in (0, 1)]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A pipeline of the shape of ours."""
    return make(tmp_path / "study")


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pipeline, run by DVC alone."""
    study = make(tmp_path_factory.mktemp("serial") / "study")
    tiny.run(study, "dvc", "repro", "--quiet", EVENHAND_SIGNS=str(study))
    return study


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes with a core each, of which the first leads."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("nodes")))  # of the nodes alone
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.second = nodes.add_node(num_cpus=1)
        yield nodes
    nodes.shutdown()


def make(study: Path) -> Path:
    return side_by_side.make(study, STAGE, PIPELINE, ("a", "b"))


def command(nodes: Any) -> list[str]:
    return [sys.executable, "-m", "stages.tools.side_by_side", "--cluster", nodes.address]


def begin(study: Path, nodes: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(nodes),
        cwd=study,
        env=tiny.surroundings() | {"EVENHAND_SIGNS": str(study)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ran(study: Path) -> list[list[str]]:
    path = study / "ran"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def same(study: Path, serial: Path) -> bool:
    return side_by_side.same(study, serial, CELLS)


def left(study: Path) -> list[Path]:
    """What is left of a study on the nodes."""
    return [folder for folder in {Path(line[3]).parent for line in ran(study)} if folder.exists()]


def test_both_nodes_work_and_the_bytes_are_those_of_dvc_repro(study: Path, cluster: Any, serial: Path) -> None:
    said = tiny.run(study, *command(cluster), EVENHAND_SIGNS=str(study))
    assert same(study, serial), said
    assert len(ran(study)) == 6 * len(CELLS)
    assert len({line[3] for line in ran(study)}) == 2, "one folder on each node"
    assert "train@a-0: about to begin a-0" in said
    assert not left(study)
    assert not list((study / ".checkpoints").rglob("*.pt")), "what came back is removed when a cell is done"
    assert "up to date" in tiny.run(study, *command(cluster))


def test_a_cell_that_fails_is_named_and_the_others_are_kept(study: Path, cluster: Any, serial: Path) -> None:
    (study / "fail").write_text("a-1")
    said = tiny.run(study, *command(cluster), check=False, EVENHAND_SIGNS=str(study))
    assert "1 of 4 cells failed" in said
    assert "a-1: a-1 has no luck" in said
    assert "Traceback" not in said
    assert locked(study) == {
        "split",
        *(f"{stage}@{cell}" for stage in ("train", "evaluate") for cell in CELLS if cell != "a-1"),
    }
    (study / "fail").write_text("")
    tiny.run(study, *command(cluster), EVENHAND_SIGNS=str(study))
    assert same(study, serial)


def held(study: Path) -> list[list[str]]:
    """What two cells wrote down when they were held before their fourth epoch, and the third checkpoint came back."""
    until(lambda: sorted(line[0] for line in ran(study) if line[1] == "3") == ["a-0", "a-1"])
    until(lambda: [p.read_text() for p in (study / ".checkpoints").rglob("last.pt")] == ["3", "3"])
    return [line for line in ran(study) if line[1] == "3"]


@pytest.mark.parametrize("lost", ["node", "worker", "cell", "disk"])
def test_what_was_lost_goes_on_from_its_last_checkpoint(study: Path, cluster: Any, serial: Path, lost: str) -> None:
    (study / "hold").touch()
    with begin(study, cluster) as process:
        cell, _, pid, folder = held(study)[0]
        if lost == "node":
            cluster.remove_node(cluster.second, allow_graceful=False)
        elif lost == "worker":
            os.kill(worker(int(pid)), signal.SIGKILL)
        elif lost == "cell":
            os.kill(int(pid), signal.SIGKILL)
        else:
            (study / "full").write_text(folder)
        (study / "hold").unlink()
        said = process.communicate()[0]
    if lost == "node":
        cluster.second = cluster.add_node(num_cpus=1)
    assert process.returncode == 0, said
    assert same(study, serial), said
    assert ("this node gets no more cells" if lost == "disk" else "begins again from its last checkpoint") in said
    again = len(ran(study)) - 6 * len(CELLS)  # a process of a lost node may begin an epoch more before it is ended
    assert 0 <= again <= (2 if lost == "node" else 1), "one epoch may run twice"
    if lost == "disk":
        assert len([line for line in ran(study) if line[3] == folder]) == 3
    if lost in ("worker", "cell"):
        assert f"{cell}: " in said
    assert not left(study) or lost == "node"


def worker(pid: int) -> int:
    """The process of Ray in which a cell's commands are started."""
    return int(next(p.pid for p in psutil.Process(pid).parents() if "Node" in " ".join(p.cmdline())))


def test_after_kill_9_the_same_command_goes_on(study: Path, cluster: Any, serial: Path) -> None:
    (study / "hold").touch()
    with begin(study, cluster) as process:
        held(study)
        process.send_signal(signal.SIGKILL)
        process.wait()
    until(lambda: not any(psutil.pid_exists(int(line[2])) for line in ran(study)))
    (study / "hold").unlink()
    tiny.run(study, *command(cluster), EVENHAND_SIGNS=str(study))
    assert same(study, serial)
    assert len(ran(study)) == 6 * len(CELLS), "no epoch ran twice"


def test_ctrl_c_ends_the_cells_too(study: Path, cluster: Any) -> None:
    (study / "hold").touch()
    with begin(study, cluster) as process:
        held(study)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130, process.communicate()[0]
    until(lambda: not any(psutil.pid_exists(int(line[2])) for line in ran(study)))
    assert locked(study) == {"split"}


def test_nodes_of_other_versions_are_refused(study: Path, cluster: Any) -> None:
    program = """if True:
        from stages.core import errors
        from stages.tools import node, side_by_side
        true = node.versions_of
        node.versions_of = lambda names: true(names) | ({"dvc": "1.0"} if isinstance(names, list) else {})
        errors.run(side_by_side.main)
    """
    asked = [sys.executable, "-c", program, "--cluster", cluster.address]
    said = tiny.run(study, *asked, check=False, EVENHAND_SIGNS=str(study))
    assert "all nodes need the versions of this machine, but" in said
    assert "not 1.0" in said
    assert not ran(study)


def test_real_cells_have_the_bytes_of_serial_ones(tmp_path: Path, cluster: Any) -> None:
    study = tiny.copy(tmp_path, lambda p: p.update(variants={"mlp": tiny.VARIANT, "cnn": CNN}, seeds=[0]))
    said = tiny.run(study, *command(cluster), EVENHAND_TRACKING="off")
    lock = (study / "dvc.lock").read_bytes()
    assert (study / "timings/mlp/0.inference.json").exists(), said
    for cell in ("mlp-0", "cnn-0"):
        tiny.run(study, "dvc", "repro", "--force", "--single-item", "--quiet", f"train@{cell}", f"evaluate@{cell}")
    assert (study / "dvc.lock").read_bytes() == lock
