"""The store of runs survives kills, a deleted experiment, and a clone in a folder with an odd name."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from mlflow.entities import Metric, Param

from stages.core import rendered
from stages.track import move, store
from tests import tiny

pytestmark = pytest.mark.slow
OPEN = """
import os, sys
from stages.core.params import Study
from stages.track import move, store
study = Study("made", 0.1, [0], {"v": {}}, {})
with store.experiment(study) as (client, experiment):
    run = client.create_run(experiment)
    client.set_terminated(run.info.run_id)
    if sys.argv[1:] == ["delete"]:
        client.delete_experiment(experiment)
    print("runs:", len(client.search_runs([experiment])), os.environ["MLFLOW_DISABLE_TELEMETRY"])
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, *arguments], cwd=folder, env=kept | {"PYTHONPATH": str(tiny.ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def log(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=str)
def test_a_kill_while_the_tables_are_made_is_made_good(tmp_path: Path, how: signal.Signals) -> None:
    draw = random.Random(int(how))  # noqa: S311 - moments, not secrets
    database, began = tmp_path / "mlflow.db", tmp_path / ".cache/new-mlflow.db"
    for _ in range(4):
        process = start(tmp_path)
        while process.poll() is None and not (began.exists() or database.exists()):
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.5))
        process.send_signal(how)
        process.communicate()
    assert "runs: 1 true" in log(tmp_path) or database.exists()
    assert "true" in log(tmp_path)
    assert not began.exists()


@pytest.mark.parametrize("version", ["", "451aebb31d03"])
def test_what_an_ended_mlflow_ui_left_half_made_is_made_again(tmp_path: Path, version: str) -> None:
    """`mlflow ui` makes its tables in mlflow.db itself, before or between its migrations; MLflow fails on the rest."""
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER NOT NULL PRIMARY KEY)")
        if version:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            connection.execute("INSERT INTO alembic_version VALUES (?)", [version])
    assert "runs: 1 true" in log(tmp_path)


def test_a_deleted_experiment_is_restored(tmp_path: Path) -> None:
    assert "runs: 0" in log(tmp_path, "delete")
    output = log(tmp_path)
    assert "was deleted there; it is restored" in output
    assert "runs: 2" in output


@pytest.mark.parametrize(
    "name",
    [
        "ä;x=1&y",
        *(pytest.param(name, marks=pytest.mark.weekly) for name in ("a b", "50%20off", "what?", "a#b", "%(here)s")),
    ],
)
def test_a_clone_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    study = tmp_path / name / "studies" / name
    study.mkdir(parents=True)
    (tmp_path / name / ".dvc").mkdir()
    assert "runs: 1 true" in log(study)
    assert "runs: 2 true" in log(tmp_path / name)
    assert sorted(p.name for p in (tmp_path / name).iterdir()) == [".cache", ".dvc", "mlflow.db", "studies"]
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_damaged_store_is_named_and_costs_no_more_than_a_warning(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(store.failures(), match=r"mlflow\.db: file is not a database; move mlflow\.db away"):
        store.own(tmp_path)
    assert issubclass(BrokenProcessPool, store.failures())


def test_s3_without_credentials_costs_no_more_than_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without `--artifacts-destination` sends its clients to S3 themselves."""
    pytest.importorskip("boto3")
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(store.failures(), match="credentials"):
        get_artifact_repository("s3://bucket/x").log_artifact(str(tmp_path / "a.txt"))  # type: ignore[no-untyped-call]


def test_a_password_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@host:5000")
    assert store.page() == "https://host:5000"
    assert (
        store.reason(OSError("asked https://me:secret@host:5000/api\nin vain")) == "asked https://host:5000/api in vain"
    )
    for secret in ("me:pass/word@", "me:pass?word@", "me:p#ss@word@"):  # as people type them, not as an address needs
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://{secret}host:5000")
        assert store.page() == "https://host:5000"
    said = store.reason(OSError("https://host/a?token=secret and postgresql://me:se/cret@db/runs?timeout=60"))
    assert said == "https://host/a?token=*** and postgresql://db/runs?timeout=60"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert store.page() == "`mlflow ui`"


def test_a_study_may_have_the_longest_name(tmp_path: Path) -> None:
    """100 letters can have more bytes than a folder's name."""
    folders = set()
    for study in ("cats and dogs", "漢" * 99, "漢" * 100):
        assert rendered.TITLE.fullmatch(study)
        place = tmp_path / store._folder(study)
        place.mkdir()
        folders.add(place.name)
    assert "cats and dogs" in folders
    assert len(folders) == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own
def test_all_pages_of_a_search_are_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "PAGE", 2)
    source, target = (MlflowClient(f"sqlite:///{name}.db") for name in ("here", "there"))
    for number in range(3):
        place = source.create_experiment(f"e{number}", (tmp_path / f"here-{number}").as_uri())
        target.create_experiment(f"e{number}", (tmp_path / f"there-{number}").as_uri())
        source.create_registered_model(f"m{number}")
    for status in ("FINISHED", "FAILED", "FINISHED", "FAILED", "FAILED"):
        run = source.create_run(place)
        store.log(source, run.info.run_id, [Param(f"p{k}", str(k)) for k in range(150)])
        store.log(source, run.info.run_id, metrics=[Metric("loss", k, 0, k) for k in range(1500)])
        source.set_terminated(run.info.run_id, status)
    said = move.Move(source, target).everything()
    assert said.startswith("2 runs copied, 0 there before; 0 versions")
    assert said.endswith("not copied: 3 runs that did not finish")
    for number in range(3):
        assert target.get_registered_model(f"m{number}").name == f"m{number}"
    with pytest.raises(MlflowException):
        target.get_registered_model("m3")
    for run in store.runs(target, place):
        assert len(run.data.params) == 150
        assert len(target.get_metric_history(run.info.run_id, "loss")) == 1500
