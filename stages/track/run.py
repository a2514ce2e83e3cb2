"""One MLflow run, from whole files: its fingerprint, where it came from, and that it ends in every case.

The report is such a run, too: its figures are over seeds and variants, so no cell's run is their place.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import files
from stages.track.store import FINGERPRINT_TAG, HOST_TAG, here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlflow import MlflowClient

REPORTS = Path("reports")
FOLDERS, PAGES = ("figures", "tables", "pictures"), ("index.html", "report.md")


def digest(folder: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names, relative to `folder`, and the bytes of files."""
    whole = hashlib.sha256()
    for path in sorted(paths):
        whole.update(f"{path.relative_to(folder)}\n{files.sha256(path)}\n".encode())
    return whole.hexdigest()


@contextlib.contextmanager
def run(
    client: MlflowClient, experiment_id: str, name: str, tags: dict[str, str], seconds: float = 0.0
) -> Iterator[str]:
    """Give the id of a new run; it ends FINISHED only when the block went through.

    Args:
        client: of the store.
        experiment_id: the study's.
        name: of the run.
        tags: more than where it comes from; the fingerprint among them.
        seconds: how long what it shows took. Logging itself tells nothing.
    """
    end = int(time.time() * 1000)
    tags = {HOST_TAG: here(), "mlflow.source.type": "LOCAL", **_git(), **_software(), **tags}
    if "DVC_EXP_NAME" in os.environ:
        tags["dvc.experiment"] = os.environ["DVC_EXP_NAME"]
    made = client.create_run(experiment_id, start_time=end - int(1000 * seconds), run_name=name, tags=tags)
    status = "FAILED"
    try:
        yield made.info.run_id
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(made.info.run_id, status, end_time=end)


def _software() -> dict[str, str]:
    """Python and the packages that decide about bits, as they are where the run is logged."""
    names = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "pillow")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return {"python": platform.python_version(), "packages": packages}


def _git() -> dict[str, str]:
    """Commit, and whether tracked files differ from it; nothing outside of a repository."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    if commit.returncode:
        return {}
    dirty = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)  # noqa: S607
    return {"mlflow.source.git.commit": commit.stdout.strip(), "git.dirty": str(bool(dirty.stdout.strip())).lower()}


def report_digest() -> str | None:
    """SHA-256 over the names and bytes of the report; None where there is none."""
    if not (REPORTS / PAGES[0]).exists():
        return None
    paths = [path for name in FOLDERS for path in (REPORTS / name).rglob("*") if path.is_file()]
    return digest(REPORTS, paths + [path for name in PAGES if (path := REPORTS / name).exists()])


def log_report(client: MlflowClient, experiment_id: str, known: set[str]) -> bool:
    """Log the page with its figures, tables and pictures; False where there is none, or this very page is logged."""
    mark = report_digest()
    if mark is None or mark in known:
        return False
    with run(client, experiment_id, "report", {FINGERPRINT_TAG: mark, "mlflow.source.name": "report"}) as run_id:
        for name in FOLDERS:
            client.log_artifacts(run_id, str(REPORTS / name), name)
        for name in PAGES:
            client.log_artifact(run_id, str(REPORTS / name))
    return True
