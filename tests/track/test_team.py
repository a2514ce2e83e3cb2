"""Eight writers and one server on PostgreSQL and S3: nothing is lost or there twice, also when the server dies."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stages.core import children
from stages.report import __main__ as report
from stages.track import store
from tests import tiny
from tests.report.made_study import Made, make
from tests.track import servers

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # MLflow's own
WRITERS, CELLS = 8, 4


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Team]:
    with servers.team(tmp_path_factory.mktemp("team")) as team:
        yield team


def study(folder: Path, variants: int = 2, name: str = "made") -> Path:
    """A whole study in `folder`."""
    folder.mkdir(parents=True)
    make(folder, Made(variants=variants, seeds=CELLS // 2))
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace('"study": "made"', f'"study": "{name}"'))
    with contextlib.chdir(folder):
        report.main()
    return folder


def writer(team: servers.Team, clone: Path, **environment: str) -> subprocess.Popen[str]:
    """`python -m stages.track` in a clone."""
    return subprocess.Popen(
        [sys.executable, "-m", "stages.track"], cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=tiny.surroundings() | {"PYTHONPATH": path(), "MLFLOW_TRACKING_URI": team.address} | environment,
    )  # fmt: skip


def path() -> str:
    """PYTHONPATH with this repository first."""
    return os.pathsep.join([str(tiny.ROOT), os.environ.get("PYTHONPATH", "")])


def ended(process: subprocess.Popen[str]) -> str:
    """What a writer said."""
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def logged(client: "MlflowClient", name: str = "made") -> "list[Run]":
    """All runs of an experiment that are not deleted."""
    found = [one for one in client.search_experiments() if one.name == name]
    assert len(found) <= 1
    return list(client.search_runs([one.experiment_id for one in found], max_results=1000)) if found else []


def client_of(team: servers.Team) -> "MlflowClient":
    import mlflow

    return mlflow.MlflowClient(tracking_uri=team.address)


@servers.needed
def test_of_eight_writers_nothing_is_lost_or_there_twice(team: servers.Team, tmp_path: Path) -> None:
    """Four have the same results, four have their own; all start on an empty server."""
    clones = [study(tmp_path / "0")]
    for number in range(1, WRITERS):
        clones.append(tmp_path / f"{number}")
        shutil.copytree(clones[0], clones[-1])
        for config in clones[-1].glob("results/*/*/train/config.json"):
            if number >= WRITERS / 2:
                config.write_text(config.read_text() + number * "\n")  # another fingerprint
    with team.serving():
        for process in [writer(team, clone) for clone in clones]:
            assert f"{CELLS} cells logged, 0 there before" in ended(process)
        client = client_of(team)
        runs = logged(client)
        marks = Counter(run.data.tags[store.FINGERPRINT_TAG] for run in runs)
        assert set(marks.values()) == {1}
        assert Counter(run.info.run_name for run in runs) == {
            "report": 1, **{f"variant_{v}-{seed}": 1 + WRITERS // 2 for v in (0, 1) for seed in (0, 1)}
        }  # fmt: skip
        assert {run.info.status for run in runs} == {"FINISHED"}
        for run in runs:
            files = sorted(below(client, run.info.run_id))
            if run.info.run_name == "report":
                assert {"index.html", "report.md"} <= set(files)
                continue
            variant, seed = run.info.run_name.split("-")
            folder = clones[0] / "results" / variant / seed
            there = [f"{one.relative_to(folder)}" for one in folder.rglob("*") if one.is_file()]
            assert files == sorted([*there, "confusion_test.png"])
            assert run.inputs
            assert len(run.inputs.dataset_inputs) == 3
        assert len({len(run.data.metrics) for run in runs if run.info.run_name != "report"}) == 1
        for clone in clones[:: WRITERS - 1]:
            assert f"0 cells logged, {CELLS} there before; no new report" in ended(writer(team, clone))
        assert len(logged(client)) == len(runs)


def below(client: "MlflowClient", run: str, folder: str | None = None) -> list[str]:
    found = client.list_artifacts(run, folder)
    return [path for one in found for path in (below(client, run, one.path) if one.is_dir else [one.path])]


@pytest.mark.weekly
@servers.needed
def test_a_server_that_goes_away_costs_a_warning_and_one_that_comes_back_nothing(
    team: servers.Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = study(tmp_path / "one", variants=6, name="gone")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = client_of(team)

    def until(count: int) -> None:
        for _ in range(1200):
            if len(logged(client, "gone")) >= count:
                return
            time.sleep(0.1)
        raise AssertionError(logged(client, "gone"))

    with team.serving() as kill:
        process = writer(team, clone)  # gives up at once
        until(3)
        kill()
    assert "warning: MLflow did not take the runs" in ended(process)

    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    with team.serving() as kill:
        before = Counter(run.info.status for run in logged(client, "gone"))
        assert 1 <= before["RUNNING"] <= children.cores()
        process = writer(team, clone)
        until(sum(before.values()) + 2)
        kill()
    with team.serving():
        there = before["FINISHED"]
        assert f"{12 - there} cells logged, {there} there before; the report too" in ended(process)
        runs = logged(client, "gone")
        done: dict[Any, int] = Counter(r.data.tags[store.FINGERPRINT_TAG] for r in runs if r.info.status == "FINISHED")
        assert len(done) == sum(done.values()) == 12 + 1
        assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}


@pytest.fixture
def local(tmp_path: Path) -> "MlflowClient":
    """A store of this process alone."""
    import mlflow

    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'own.db'}")


def test_an_experiment_that_another_writer_makes_or_restores_first(
    local: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.open_experiment(local, "one")
    assert local.get_experiment(made).tags.items() >= store.VIEW.items()
    look = local.get_experiment_by_name
    stale: Iterator[Any] = iter([None])
    monkeypatch.setattr(local, "get_experiment_by_name", lambda name: next(stale, look(name)))
    assert store.open_experiment(local, "one") == made

    local.delete_experiment(made)
    stale = iter([look("one")])
    local.restore_experiment(made)
    assert store.open_experiment(local, "one") == made
    with pytest.raises(store.failures(), match="Invalid experiment name"):
        store.open_experiment(local, "")


def test_one_run_of_each_fingerprint_is_kept(local: "MlflowClient") -> None:
    from mlflow.entities import LoggedModelOutput

    experiment = local.create_experiment("one")

    def run(mark: str, end: int, *, model: bool = False) -> str:
        made = local.create_run(experiment, tags={store.FINGERPRINT_TAG: mark}).info.run_id
        if model:
            logged = local.create_logged_model(experiment, source_run_id=made)
            local.log_outputs(made, [LoggedModelOutput(logged.model_id, 0)])
        local.set_terminated(made, "FINISHED", end)
        return str(made)

    late, first, other = run("a", 30), run("a", 10), run("b", 20)
    without, second, with_model = run("c", 10), run("c", 30, model=True), run("c", 20, model=True)
    registered = {run("d", 10), run("d", 20)}  # a fingerprint that is nobody's cell
    assert store.keep_one(local, experiment, {"a", "b", "c"}) == 3
    left = {run.info.run_id for run in store.finished(local, experiment)}
    assert left == {first, other, with_model} | registered
    assert len(local.search_logged_models([experiment])) == 1
    assert store.keep_one(local, experiment, {"a", "b", "c"}) == 0

    local.delete_experiment(experiment)
    local.restore_experiment(experiment)
    assert {local.get_run(one).info.status for one in (late, without, second)} == {"KILLED"}
    assert {run.info.run_id for run in store.finished(local, experiment)} == left
