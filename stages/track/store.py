"""Where the runs go: the user's own store, else one SQLite file in the root for workspace, experiments and queue."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sqlite3
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from stages.core import console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

    from stages.core.params import Study

DATABASE = "mlflow.db"
SWITCH = "EVENHAND_TRACKING"
LONGEST = 200  # bytes of a folder's name; file systems take 255
VIEW = {  # `mlflow ui` opens the experiment as model training, with the test accuracy as the metric that comes first
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "test_top1",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
}
HOST_TAG, FINGERPRINT_TAG = "evenhand.host", "evenhand.fingerprint"


def switched_off() -> bool:
    """Whether the user set EVENHAND_TRACKING=off."""
    return os.environ.get(SWITCH, "").lower() == "off"


def failures() -> tuple[type[Exception], ...]:
    """What an unreachable or broken store raises."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, RequestException, SQLAlchemyError, sqlite3.Error, BrokenExecutor, OSError


@contextlib.contextmanager
def experiment(study: Study) -> Iterator[tuple[MlflowClient, str]]:
    """The study's experiment, made on first use; one process at a time, since a fresh SQLite store takes no more."""
    root = repository()
    # Read before mlflow is asked: `mlflow.set_tracking_uri` would write it into the environment.
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    (root / ".cache").mkdir(exist_ok=True)
    with FileLock(root / ".cache" / "mlflow.lock"):
        mlflow.set_tracking_uri(uri or _own(root))
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(study.name)
        if found:
            experiment_id = found.experiment_id
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(experiment_id)
                console.say(f"MLflow: the experiment {study.name} was deleted there; it is restored, with its runs")
        else:
            artifacts = None if uri else (root / "mlartifacts" / _folder(study.name)).as_uri()
            experiment_id = client.create_experiment(study.name, artifact_location=artifacts)
        for tag, value in VIEW.items():
            if found is None or found.tags.get(tag) != value:
                client.set_experiment_tag(experiment_id, tag, value)
        _close_killed(client, experiment_id)
        yield client, experiment_id


def _folder(name: str) -> str:
    """The folder of an experiment: its name, or a digest of one that is too long for a file system."""
    data = name.encode()
    return name if len(data) <= LONGEST else hashlib.sha256(data).hexdigest()


def repository() -> Path:
    """Where mlflow.db lies: the repository, also from a study's folder.

    DVC_ROOT leads out of the temporary folders of `dvc exp run --temp` and of queue workers.
    """
    here = Path.cwd()
    above = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)
    return Path(os.environ.get("DVC_ROOT") or above).resolve()


def _own(root: Path) -> str:
    """The address of mlflow.db, which appears whole or not at all: a kill while its tables are made leaves none.

    The address is relative, since `?`, `%` and `#` in the path of a clone would mean something else in it.
    """
    database, fresh = root / DATABASE, root / ".cache" / f"new-{DATABASE}"
    if not database.exists() or _half_made(database):
        from mlflow import MlflowClient

        for old in (database, fresh):
            for ending in ("", "-journal"):
                old.with_name(old.name + ending).unlink(missing_ok=True)
        MlflowClient(_address(fresh)).search_experiments()
        fresh.replace(database)
    return _address(database)


def _address(path: Path) -> str:
    # A process waits so many seconds while another one writes; SQLite's five are few on a slow disk.
    return f"sqlite:///{os.path.relpath(path, Path.cwd().resolve())}?timeout=60"


def _half_made(database: Path) -> bool:
    """Whether MLflow died while it made its tables, so that no run can stand in them."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        try:
            made = connection.execute("SELECT count(*) FROM experiments").fetchone()[0]
            return not made or not connection.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
        except sqlite3.OperationalError as error:
            return "no such table" in str(error)
        except sqlite3.DatabaseError as error:
            raise sqlite3.DatabaseError(f"{database}: {error}; move {DATABASE} away, and a new one is made") from None


def known(client: MlflowClient, experiment_id: str) -> set[str]:
    """Fingerprints of the cells that are logged whole."""
    return {run.data.tags.get(FINGERPRINT_TAG, "") for run in _runs(client, experiment_id, "FINISHED")}


def _close_killed(client: MlflowClient, experiment_id: str) -> None:
    """A run of this machine that is still RUNNING belongs to a process that died: the lock is ours."""
    for run in _runs(client, experiment_id, "RUNNING"):
        if run.data.tags.get(HOST_TAG) == platform.node():
            client.set_terminated(run.info.run_id, "KILLED")


def _runs(client: MlflowClient, experiment_id: str, status: str) -> Iterator:  # type: ignore[type-arg]
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], f"attributes.status = '{status}'", max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return
