"""Where the runs go: the user's own store, else one SQLite file in the root for workspace, experiments and queue."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import sqlite3
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock

from stages.core import console
from stages.core.addresses import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run
    from mlflow.store.entities import PagedList

    from stages.core.params import Study

DATABASE = "mlflow.db"
SWITCH = "EVENHAND_TRACKING"
PAGE = 1000  # results of a search at once
TRIES = 5  # of what another writer may have been doing at the same time
LONGEST = 200  # bytes of a folder's name; file systems take 255, and a study's name has up to 100 letters
VIEW = {  # `mlflow ui` opens the experiment as model training, with the test accuracy as the metric that comes first
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "test_top1",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
}
HOST_TAG, FINGERPRINT_TAG = "evenhand.host", "evenhand.fingerprint"
# A server that is not there costs the pipeline seconds; one that was there may be restarted, or take a large model.
FIRST = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
THEN = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4", "MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}
QUIET = {
    "MLFLOW_LOGGING_LEVEL": "WARNING", "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}  # fmt: skip
_Found = TypeVar("_Found")


def switched_off() -> bool:
    """Whether the user set EVENHAND_TRACKING=off."""
    return os.environ.get(SWITCH, "").lower() == "off"


def failures() -> tuple[type[Exception], ...]:
    """What an unreachable or broken store raises; boto's, where the server lets clients write to S3 themselves."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    boto: tuple[type[Exception], ...] = ()
    with contextlib.suppress(ImportError):
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        boto = Boto3Error, BotoCoreError, ClientError
    return MlflowException, RequestException, SQLAlchemyError, sqlite3.Error, BrokenExecutor, OSError, *boto


def reason(error: Exception) -> str:
    """The message of an error in a line, without the secrets that stand in its addresses."""
    line = " ".join(str(error).split())
    return re.sub(r"[A-Za-z][\w+.-]*://\S+", lambda address: without_secrets(address[0]), line)[:300]


def page() -> str:
    """Where the runs are seen: the server's address, else the command that opens mlflow.db."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return without_secrets(uri) if uri.startswith(("http://", "https://")) else "`mlflow ui`"


@contextlib.contextmanager
def experiment(study: Study) -> Iterator[tuple[MlflowClient, str]]:
    """The study's experiment, made on first use; one process of this clone at a time.

    A fresh SQLite store takes no more. A server has writers in other clones, too, which this lock does not stop.
    """
    root = repository()
    # Read before mlflow is asked: `mlflow.set_tracking_uri` would write it into the environment.
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    ours = [name for name in FIRST if name not in os.environ]
    os.environ.update({name: FIRST[name] for name in ours} | {**QUIET, **os.environ})
    import mlflow

    (root / ".cache").mkdir(exist_ok=True)
    with FileLock(root / ".cache" / "mlflow.lock"):
        mlflow.set_tracking_uri(uri or own(root))
        client = mlflow.MlflowClient()
        client.get_experiment_by_name(study.name)  # the first request: is the server there?
        os.environ.update({name: THEN[name] for name in ours})
        artifacts = None if uri else (root / "mlartifacts" / _folder(study.name)).as_uri()
        experiment_id = open_experiment(client, study.name, artifacts)
        _close_killed(client, experiment_id)
        yield client, experiment_id


def open_experiment(client: MlflowClient, name: str, artifacts: str | None = None, tags: dict[str, str] = VIEW) -> str:
    """The id of an experiment, which is made with `tags`, or restored, where that is needed."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    try:
        if found is None:
            return str(client.create_experiment(name, artifacts, tags=tags))
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
            console.say(f"MLflow: the experiment {name} was deleted there; it is restored, with its runs")
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another writer may have made or restored it in the meantime
        if found is None or found.lifecycle_stage == "deleted":
            raise
    for tag, value in VIEW.items() & tags.items():
        if found.tags.get(tag) != value:
            again(client.set_experiment_tag, found.experiment_id, tag, value)
    return str(found.experiment_id)


def again(call: Callable[..., object], *arguments: object) -> None:
    """Call until it goes through: of two writers that enter the same row at once, MLflow refuses one."""
    from mlflow.exceptions import MlflowException

    for left in reversed(range(TRIES)):
        try:
            call(*arguments)
        except MlflowException as error:
            if not left or error.error_code != "BAD_REQUEST":  # its word for a row that is there already
                raise
            time.sleep(0.1)
        else:
            return


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


def own(root: Path) -> str:
    """The address of mlflow.db, which appears whole or not at all: a kill while its tables are made leaves none.

    The address is relative, since `?`, `%` and `#` in the path of a clone would mean something else in it.
    """
    database, fresh = root / DATABASE, root / ".cache" / f"new-{DATABASE}"
    if not database.exists() or _half_made(database):
        from mlflow import MlflowClient

        for left in (database, fresh):
            for ending in ("", "-journal"):
                left.with_name(left.name + ending).unlink(missing_ok=True)
        MlflowClient(_address(fresh)).search_experiments()
        fresh.replace(database)
    return _address(database)


def _address(path: Path) -> str:
    # A process waits so many seconds while another one writes; SQLite's five are few on a slow disk.
    return f"sqlite:///{os.path.relpath(path, Path.cwd().resolve())}?timeout=60"


def _half_made(database: Path) -> bool:
    """Whether a process died while it made the tables, such as `mlflow ui` before the first `dvc repro`: no runs yet.

    Raises:
        sqlite3.DatabaseError: the file is damaged.
    """
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
    return {run.data.tags.get(FINGERPRINT_TAG, "") for run in finished(client, experiment_id)}


def keep_one(client: MlflowClient, experiment_id: str, marks: set[str]) -> int:
    """Delete all but one run of each fingerprint in `marks`, and their models; returns how many were deleted.

    The one is the first that has a model, else the first.

    Writers in several clones may log the same cell at once, and MLflow has no lock for them. Each looks again when it
    has finished its runs, and all would keep the same one, so the last of them leaves one, whoever comes when.
    """
    from mlflow.exceptions import MlflowException

    seen: set[str] = set()
    deleted = 0
    found = [(models(run), run) for run in finished(client, experiment_id)]
    for made, run in sorted(found, key=lambda pair: (not pair[0], pair[1].info.end_time, pair[1].info.run_id)):
        mark = run.data.tags.get(FINGERPRINT_TAG, "")
        if mark in seen & marks:
            try:
                # MLflow restores a deleted experiment with all of its runs: this one then comes back as KILLED.
                client.set_terminated(run.info.run_id, "KILLED", run.info.end_time)
                for model in made:
                    client.delete_logged_model(model)
                client.delete_run(run.info.run_id)
            except MlflowException:  # another writer is at it, too
                if client.get_run(run.info.run_id).info.lifecycle_stage != "deleted":
                    raise
            deleted += 1
        seen.add(mark)
    return deleted


def here() -> str:
    """This clone on this machine, as a run's tag names it, without the path."""
    return f"{platform.node()}/{hashlib.sha256(os.fsencode(repository())).hexdigest()[:8]}"


def _close_killed(client: MlflowClient, experiment_id: str) -> None:
    """A run of this clone that is still RUNNING belongs to a process that died: the lock is ours."""
    for run in runs(client, experiment_id, "RUNNING"):
        if run.data.tags.get(HOST_TAG) == here():
            client.set_terminated(run.info.run_id, "KILLED")


def finished(client: MlflowClient, experiment_id: str) -> list[Run]:
    """The runs that are logged whole, each once: pages overlap while others write."""
    return list({run.info.run_id: run for run in runs(client, experiment_id, "FINISHED")}.values())


def models(run: Run) -> list[str]:
    """The ids of the models that a run logged."""
    return [made.model_id for made in run.outputs.model_outputs] if run.outputs else []


def runs(client: MlflowClient, experiment_id: str, status: str = "") -> list[Run]:
    """All runs, or those with a status, that are not deleted."""
    return every(client.search_runs, [experiment_id], f"attributes.status = '{status}'" if status else "")


def every(search: Callable[..., PagedList[_Found]], *arguments: object) -> list[_Found]:
    """All that a search of MLflow finds: page after page."""
    from mlflow.utils import get_results_from_paginated_fn

    found: list[_Found] = get_results_from_paginated_fn(  # type: ignore[no-untyped-call]
        lambda most, token: search(*arguments, max_results=most, page_token=token), PAGE
    )
    return found


def log(client: MlflowClient, run_id: str, params: Sequence[Param] = (), metrics: Sequence[Metric] = ()) -> None:
    """Log settings and metrics in batches as large as MLflow takes them: 17 times faster than singly."""
    for start in range(0, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])
