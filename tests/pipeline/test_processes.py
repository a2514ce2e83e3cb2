"""A cell of several processes counts as what it takes: cores and GPUs of all of them, memory of all of them."""

from __future__ import annotations

import multiprocessing
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest

from stages.core import children, files, params
from stages.tools import cluster, forked, this_machine
from stages.verify import __main__ as verify
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

VARIANTS: dict[str, Any] = {"pair": {"processes": 2}, "one": {"processes": 1, "threads": 1}, "cpu": {"device": "cpu"}}


def study(train: dict[str, Any]) -> params.Study:
    return params.Study("s", 0.1, [0], VARIANTS, {"train": train})


def test_cores_are_threads_times_processes() -> None:
    asked = study({"threads": 3, "processes": 4})
    assert this_machine.threads(asked) == {"pair": 6, "one": 1, "cpu": 12}
    assert this_machine.processes(asked) == {"pair": 2, "one": 1, "cpu": 1}, "on the CPU none takes a GPU"


def test_without_gpus_a_cell_takes_its_cores_and_jobs_count_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "cores", lambda: 7)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine = this_machine.Here(study({"threads": 3}), None)
    assert machine.fits("one", ["pair"])
    assert not machine.fits("one", ["pair", "one"])
    asked = this_machine.Here(study({"threads": 3}), 2)
    assert asked.fits("pair", ["pair"])
    assert not asked.fits("one", ["pair", "pair"])


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    given: list[str] = []

    def start(_module: str, environment: dict[str, str], _log: Path) -> Any:
        given.append(environment["CUDA_VISIBLE_DEVICES"])
        return len(given)

    monkeypatch.setattr(forked, "start", start)
    monkeypatch.setattr(forked, "ended", lambda running, _seconds: [min(running)])
    machine = this_machine.Here(study({}), None)
    running: list[Any] = []
    for variant in ("pair", "one"):
        assert machine.fits(variant, running)
        stage: Any = SimpleNamespace(name=f"train@{variant}-0", cmd="python -m stages.train")
        machine.start(stage, {}, tmp_path)
        running.append(variant)
    assert given == ["0,1", "2"]
    assert not machine.fits("one", running)
    machine.ended([1, 2], None)  # type: ignore[list-item]
    assert machine.fits("pair", ["one"])
    machine.start(stage, {}, tmp_path)
    assert given[-1] == "0"
    shared = this_machine.Here(study({}), 6)  # two on each GPU
    assert shared.fits("pair", ["pair", "pair"])
    assert not shared.fits("one", ["pair", "pair", "pair"])


@pytest.mark.parametrize(
    ("gpus", "jobs", "needs"),
    [([0], None, (6, 0.0)), ([4], None, (6, 2.0)), ([1, 1], None, (6, 1.0)), ([4], 8, (6, 2.0))],
)
def test_a_cell_on_a_cluster_asks_for_all_of_one_node(
    gpus: list[int], jobs: int | None, needs: tuple[int, float]
) -> None:
    now: Any = object.__new__(cluster.Cluster)
    nodes = [{"Alive": True, "Resources": {"CPU": 16, "memory": 5e9, "GPU": float(count)}} for count in gpus]
    now.ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 16.0, "GPU": float(sum(gpus))}, nodes=lambda: nodes)
    asked = study({"threads": 3})
    now.given, now.memory = jobs, 10**9
    now.devices, now.threads = this_machine.devices(asked), this_machine.threads(asked)
    now.processes = this_machine.processes(asked)
    assert now._needs("pair")[:2] == needs
    assert now.fits("pair", ["pair"] * (1 if sum(gpus) >= 4 else 0))
    if jobs is None and sum(gpus) == 4:
        assert not now.fits("one", ["pair", "pair"])


def test_memory_of_all_processes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_wait, args=(os.getpid(),))
    child.start()
    try:
        own, theirs = (psutil.Process(pid).memory_full_info().uss for pid in (os.getpid(), child.pid))
        monkeypatch.setattr(this_machine, "largest", lambda: (own + theirs // 2) // 2)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=0))
        this: Any = SimpleNamespace(pid=os.getpid())
        assert this_machine.Here.enough([this]), "with the child's, twice the largest cell"
        child.kill()
        child.join()
        monkeypatch.setattr(this_machine, "largest", lambda: own)
        assert not this_machine.Here.enough([this])
    finally:
        child.kill()


def _wait(pid: int) -> None:
    psutil.Process(pid).wait()


def test_verify_runs_fewer_cells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "cores", lambda: 12)
    assert verify._side_by_side([{"threads": 3}], gpu=False) == 4
    assert verify._side_by_side([{"threads": 3}, {"threads": 3, "processes": 2}], gpu=False) == 2
    assert verify._side_by_side([{"threads": 3, "processes": 5}], gpu=False) == 1
    assert verify._side_by_side([{"threads": 3}], gpu=True) == 1


@pytest.mark.slow
@pytest.mark.weekly
def test_a_study_is_typed_as_before(tmp_path: Path) -> None:
    """Side by side and by `dvc repro`: the same bytes."""
    study = tiny.copy(tmp_path, lambda p: (p["train"].update(processes=2), p.update(seeds=[0]))[0])
    tiny.run(study, sys.executable, "-m", "stages.tools.side_by_side", EVENHAND_TRACKING="off")
    lock = (study / "dvc.lock").read_bytes()
    config = study / "results/mlp/0/train/config.json"
    assert files.read_json(config)["cell"]["processes"] == 2
    tiny.run(study, "dvc", "repro", "--force", "--single-item", "train@mlp-0", "evaluate@mlp-0")
    assert (study / "dvc.lock").read_bytes() == lock
    said = tiny.run(study, "dvc", "repro", "--single-item", "train@mlp-0", "--dry")
    assert "didn't change" in said
