from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.core import files
from stages.report import __main__ as report
from tests.report.made_study import WEIGHTS, Made, make

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ASK = """
import json, mlflow
client = mlflow.MlflowClient(tracking_uri="sqlite:///mlflow.db")
experiment = client.get_experiment_by_name("made").experiment_id
def below(run, folder=None):
    found = client.list_artifacts(run, folder)
    return [path for one in found for path in (below(run, one.path) if one.is_dir else [one.path])]
print("value:", json.dumps({
    run.info.run_name: {"metrics": run.data.metrics, "params": run.data.params,
                            "tags": run.data.tags, "files": below(run.info.run_id)}
    for run in client.search_runs([experiment]) }))
"""


def python(folder: Path, *arguments: str) -> str:
    """Run in a process of its own: MLflow warns."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("track")
    make(folder, Made(variants=2, seeds=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report.main()
    return folder


def test_cells_and_report_are_logged_once(study: Path) -> None:
    assert "4 cells logged, 0 there before; the report too" in python(study, "-m", "stages.track")
    assert "0 cells logged, 4 there before; no new report" in python(study, "-m", "stages.track")
    runs: dict[str, dict[str, Any]] = json.loads(python(study, "-c", ASK).split("value:")[1])
    assert sorted(runs) == ["report", "variant_0-0", "variant_0-1", "variant_1-0", "variant_1-1"]

    tags = runs["variant_0-0"]["tags"]
    assert tags["python"] == platform.python_version()
    assert f"torch {importlib.metadata.version('torch')}" in tags["packages"]
    for tag, name in (("data", "data/clean/manifest.csv"), ("split", "data/split/seeds/0.csv")):
        assert tags[tag] == files.sha256(study / name)[:16]

    used = runs["variant_1-0"]
    assert used["tags"]["weights"] == WEIGHTS["sha256"][:16]
    assert {key: used["params"][f"weights.{key}"] for key in WEIGHTS} == WEIGHTS
    assert "weights" not in tags, "it started from none"

    figures = {f"figures/{path.name}" for path in (study / "reports/figures").iterdir()}
    assert figures
    assert figures | {"index.html", "report.md", "tables/results_test.csv"} <= set(runs["report"]["files"])

    cell = runs["variant_1-0"]
    assert min(cell["metrics"]).startswith("test_"), "what MLflow's compare page opens with"
    config = files.read_json(study / "results/variant_1/0/train/config.json")
    assert cell["metrics"]["train_best_epoch"] == config["best_epoch"]
    history = files.read_rows(study / "results/variant_1/0/train/history.csv")
    assert cell["metrics"]["val_top1_epoch"] == float(history[-1]["val_top1"])
    assert cell["params"]["lr"] == str(config["cell"]["lr"]), "settings stand under their names in params.yaml"

    page = study / "reports/report.md"
    page.write_text(page.read_text() + "\n")
    assert "0 cells logged, 4 there before; the report too" in python(study, "-m", "stages.track")
