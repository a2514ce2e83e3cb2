"""What the README tells users to type, on a tiny study: `dvc repro`, experiments, the queue, MLflow."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study, reproduced once and committed."""
    folder = tiny.copy(tmp_path_factory.mktemp("tiny"))
    tiny.run(folder, "dvc", "repro")
    tiny.commit(folder, "Reproduce")
    return folder


def mlflow(study: Path, statement: str) -> Any:
    """The value of a statement with MLflow's `client` and `experiment`, in a process of its own: MLflow warns."""
    program = f"""if True:
        import json, mlflow
        client = mlflow.MlflowClient(tracking_uri="sqlite:///{study / "mlflow.db"}")
        experiment = client.get_experiment_by_name("tiny").experiment_id
        print("value:", json.dumps({statement}))"""
    return json.loads(tiny.run(study, "python", "-c", program).split("value:")[1])


def runs(study: Path) -> list[dict[str, Any]]:
    """Status, id and tags of every run in the store that `mlflow ui` finds without flags."""
    found: list[dict[str, Any]] = mlflow(
        study,
        "[{'status': r.info.status, 'id': r.info.run_id, **r.data.tags} for r in client.search_runs([experiment])]",
    )
    return found


def cells(study: Path) -> set[tuple[str, str]]:
    with (study / "reports/runs.csv").open() as file:
        return {(row["variant"], row["seed"]) for row in csv.DictReader(file)}


def trained(output: str) -> set[str]:
    return {line.split("train@")[1].split("'")[0] for line in output.splitlines() if "Running stage 'train@" in line}


@pytest.mark.weekly
def test_a_second_repro_does_nothing_and_a_forced_one_gives_the_same_bytes(study: Path) -> None:
    assert "up to date" in tiny.run(study, "dvc", "repro")
    assert "up to date" in tiny.run(study, "dvc", "status")
    tiny.run(study, "dvc", "repro", "--force")
    assert tiny.run(study, "git", "status", "--porcelain") == ""


@pytest.mark.weekly
def test_a_new_seed_trains_only_its_cells(study: Path) -> None:
    output = tiny.run(study, "dvc", "exp", "run", "-S", "seeds=[0,1,2]")
    assert trained(output) == {"mlp-2"}
    assert cells(study) == {("mlp", "0"), ("mlp", "1"), ("mlp", "2")}
    tiny.run(study, "git", "checkout", "--quiet", ".")
    tiny.run(study, "dvc", "repro")
    assert cells(study) == {("mlp", "0"), ("mlp", "1")}
    assert not (study / "results/mlp/2").exists()
    assert tiny.run(study, "git", "status", "--porcelain") == ""


@pytest.mark.weekly
def test_a_new_variant_trains_only_its_cells(study: Path) -> None:
    def add(params: dict[str, Any]) -> None:
        params["variants"]["wide"] = {**tiny.VARIANT, "model": {"name": "mlp", "widths": [16]}}

    tiny.edit(study / "params.yaml", add)
    assert trained(tiny.run(study, "dvc", "repro")) == {"wide-0", "wide-1"}
    tiny.run(study, "git", "checkout", "--quiet", ".")
    tiny.run(study, "dvc", "repro")


@pytest.mark.weekly
def test_experiments_and_a_queued_sweep_stand_in_one_store(study: Path) -> None:
    before = len(runs(study))
    tiny.run(study, "dvc", "exp", "run", "-S", "lr=0.01")
    tiny.run(study, "git", "checkout", "--quiet", ".")
    tiny.run(study, "dvc", "exp", "run", "--queue", "-S", "lr=0.02,0.03")
    tiny.run(study, "dvc", "queue", "start", "--jobs", "2")
    tiny.run(
        study, "dvc", "queue", "logs", "--follow", tiny.run(study, "dvc", "queue", "status").split("\n")[1].split()[0]
    )
    for _ in range(120):
        status = tiny.run(study, "dvc", "queue", "status")
        if "Running" not in status and "Queued" not in status:
            break
        tiny.run(study, "sleep", "1")
    assert status.count("Success") == 2, status
    shown = tiny.run(study, "dvc", "exp", "show", "--csv")
    assert all(f"{lr}" in shown for lr in (0.01, 0.02, 0.03))
    logged = runs(study)
    assert len(logged) == before + 3 * (2 + 1), "two cells and a report of each"
    assert {run["status"] for run in logged} == {"FINISHED"}
    assert "top1" in tiny.run(study, "dvc", "metrics", "show")
    tiny.run(study, "dvc", "metrics", "diff")
    assert (study / "dvc_plots/index.html").exists() or "index.html" in tiny.run(study, "dvc", "plots", "show")


@pytest.mark.weekly
def test_a_killed_run_does_not_stay_running_and_missing_runs_are_logged(study: Path) -> None:
    wanted = fingerprints(study)
    victim = next(run for run in runs(study) if run["status"] == "FINISHED" and run["evenhand.fingerprint"] in wanted)
    mlflow(study, f"client.delete_run('{victim['id']}')")
    tags = {"evenhand.host": victim["evenhand.host"]}
    dead = mlflow(study, f"client.create_run(experiment, tags={tags}).info.run_id")
    tiny.run(study, "dvc", "repro", "--force", "--single-item", "track")
    now = {run["id"]: run for run in runs(study)}
    assert now[dead]["status"] == "KILLED"
    assert victim["id"] not in now
    assert wanted <= {run.get("evenhand.fingerprint") for run in now.values() if run["status"] == "FINISHED"}


def fingerprints(study: Path) -> set[str]:
    """Of the cells in the workspace."""
    program = "from stages.track.log import fingerprint as f; print(f('mlp', 0), f('mlp', 1))"
    return set(tiny.run(study, "python", "-c", program).split())


def test_tracking_off_or_unreachable_costs_a_warning(study: Path) -> None:
    again = ("dvc", "repro", "--force", "--single-item", "track")
    assert "EVENHAND_TRACKING=off" in tiny.run(study, *again, EVENHAND_TRACKING="off")
    assert "warning: MLflow did not take the runs" in tiny.run(study, *again, MLFLOW_TRACKING_URI="http://127.0.0.1:9")


def test_the_users_own_store_wins(study: Path, tmp_path: Path) -> None:
    again = ("dvc", "repro", "--force", "--single-item", "track")
    tiny.run(study, *again, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/own.db")
    assert (tmp_path / "own.db").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["clean"].update(treshold=3), "unknown key `clean.treshold`"),
        (lambda p: p["variants"]["mlp"].update(epoch=3), "unknown key `variants.mlp.epoch`; did you mean `epochs`?"),
        (lambda p: p.update(seeds=[0, 0]), "`seeds` names 0 twice"),
        (lambda p: p["split"].update(val=0.99), "leave none for train"),
    ],
)
def test_a_wrong_key_stops_the_pipeline_in_words(study: Path, change: Any, message: str) -> None:
    tiny.edit(study / "params.yaml", change)
    output = tiny.run(study, "dvc", "repro", check=False)
    tiny.run(study, "git", "checkout", "--quiet", ".")
    assert message in output
    assert "Traceback" not in output
