"""Where the runs go: the user's own store, else one SQLite file in the root for workspace, experiments and queue."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

    from stages.core.params import Study

SWITCH = "EVENHAND_TRACKING"
HOST_TAG, FINGERPRINT_TAG = "evenhand.host", "evenhand.fingerprint"


def switched_off() -> bool:
    """Whether the user set EVENHAND_TRACKING=off."""
    return os.environ.get(SWITCH, "").lower() == "off"


def failures() -> tuple[type[Exception], ...]:
    """What an unreachable or broken store raises."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, RequestException, SQLAlchemyError, OSError


@contextlib.contextmanager
def experiment(study: Study) -> Iterator[tuple[MlflowClient, str]]:
    """The study's experiment, made on first use; one process at a time, since a fresh SQLite store takes no more.

    DVC_ROOT leads out of the temporary folders of `dvc exp run --temp` and of queue workers, into the repository.
    """
    root = Path(os.environ.get("DVC_ROOT") or study.raw["root"]).resolve()
    # Read before mlflow is asked: `mlflow.set_tracking_uri` would write it into the environment.
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    import mlflow

    (root / ".cache").mkdir(exist_ok=True)
    with FileLock(root / ".cache" / "mlflow.lock"):
        mlflow.set_tracking_uri(uri or f"sqlite:///{root / 'mlflow.db'}")
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(study.name)
        if found:
            experiment_id = found.experiment_id
        else:
            artifacts = None if uri else (root / "mlartifacts" / study.name).as_uri()
            experiment_id = client.create_experiment(study.name, artifact_location=artifacts)
        _close_killed(client, experiment_id)
        yield client, experiment_id


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
