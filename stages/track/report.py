"""The report as an MLflow run of its own: its figures are over seeds and variants, so no cell's run is their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stages.track.run import digest, run
from stages.track.store import FINGERPRINT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

REPORTS = Path("reports")
FOLDERS, PAGES = ("figures", "tables"), ("index.html", "report.md")


def fingerprint() -> str | None:
    """SHA-256 over the names and bytes of the report; None where there is none."""
    if not (REPORTS / PAGES[0]).exists():
        return None
    paths = [path for name in FOLDERS for path in (REPORTS / name).rglob("*") if path.is_file()]
    return digest(REPORTS, paths + [path for name in PAGES if (path := REPORTS / name).exists()])


def log(client: MlflowClient, experiment_id: str, known: set[str]) -> bool:
    """Log page, figures and tables as they stand in reports/; False where there is none, or this very one is logged."""
    mark = fingerprint()
    if mark is None or mark in known:
        return False
    with run(client, experiment_id, "report", {FINGERPRINT_TAG: mark, "mlflow.source.name": "report"}) as run_id:
        for name in FOLDERS:
            client.log_artifacts(run_id, str(REPORTS / name), name)
        for name in PAGES:
            client.log_artifact(run_id, str(REPORTS / name))
    return True
