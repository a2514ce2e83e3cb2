"""The same cell gives the same bytes: again, elsewhere, in an experiment, in the queue, with other threads or cores."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.determinism import cell

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cell trained and evaluated in the workspace, committed."""
    made = cell.study(tmp_path_factory.mktemp("matrix"), epochs=4)
    tiny.run(made, "dvc", "repro", "report")
    tiny.commit(made, "Run")
    return made


@pytest.fixture(scope="module")
def first(study: Path) -> dict[str, str]:
    return cell.digests(study)


@pytest.mark.parametrize(
    ("prefix", "variables"),
    [
        ([], {}),
        pytest.param([], {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}, marks=pytest.mark.weekly),
        pytest.param(
            [], {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}, marks=pytest.mark.weekly
        ),
        (["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))], {}),
        ([], {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Tehran"}),
    ],
    ids=["again", "one thread asked for", "two threads asked for", "one core", "other hash seed, locale and time zone"],
)
def test_the_machine_does_not_matter(
    study: Path, first: dict[str, str], tmp_path: Path, prefix: list[str], variables: dict[str, str]
) -> None:
    elsewhere = tmp_path / "another folder"
    shutil.copytree(study, elsewhere, ignore=shutil.ignore_patterns(".cache", ".checkpoints", "cache"))
    cell.forget(elsewhere)
    tiny.run(elsewhere, *prefix, *cell.TRAIN, check=True, PYTHONPATH=".", **variables)
    assert cell.digests(elsewhere) == first


def locked(text: str) -> dict[str, str]:
    """Output -> MD5 of a dvc.lock."""
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(text)["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def experiment(study: Path, name: str) -> dict[str, str]:
    reference = tiny.run(study, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    found = next(ref for ref in reference if ref.endswith(f"/{name}"))
    return locked(tiny.run(study, "git", "show", f"{found}:dvc.lock"))


@pytest.mark.weekly
def test_workspace_experiment_and_queue_give_the_same_lock(study: Path) -> None:
    here = locked((study / "dvc.lock").read_text())
    tiny.run(study, "dvc", "exp", "run", "--temp", "--force", "--name", "apart", "report")
    assert experiment(study, "apart") == here
    tiny.run(study, "dvc", "exp", "run", "--queue", "--force", "--name", "queued", "report")
    tiny.run(study, "dvc", "queue", "start")
    for _ in range(300):
        status = tiny.run(study, "dvc", "queue", "status")
        if "Running" not in status and "Queued" not in status:
            break
        tiny.run(study, "sleep", "1")
    assert "Success" in status, status
    assert experiment(study, "queued") == here


PROGRAM = """
import torch
from stages.core import params
from stages.train import machine
from stages.train.params import cell
machine.prepare(cell(params.read(), "noisy"))
torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
"""


def test_an_operation_that_is_not_deterministic_ends_the_cell_with_its_name(study: Path) -> None:
    """PyTorch has such operations on CPUs too; on by default, with nothing said in params.yaml."""
    output = tiny.run(study, sys.executable, "-c", PROGRAM, check=False, PYTHONPATH=".")
    assert "put_ does not have a deterministic implementation" in output
