"""One cell as one MLflow run."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import cells, children, console, files
from stages.core.errors import UserError
from stages.track import store
from stages.track.model import log_model
from stages.track.run import digest, run
from stages.track.store import FINGERPRINT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

MANIFEST = Path("data/clean/manifest.csv")
WORKERS = 4  # at most; each takes about a gigabyte
OUTCOMES = ("best_epoch", "epochs_run")  # of config.json; what training gave, not what it was told
HISTORY = {"lr": "train_lr_epoch"} | {
    f"{part}_{name}": f"{part}_{name}_epoch" for part in ("train", "val") for name in ("loss", "top1")
}


def fingerprint(variant: str, seed: int) -> str:
    """SHA-256 over the names and bytes of a cell's results.

    Raises:
        UserError: the cell has no results.
    """
    folder = cells.RESULTS / variant / str(seed)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    if not paths:
        raise UserError(f"{folder} is empty: the cell {variant}-{seed} was not run; `dvc repro` runs it")
    return digest(folder, paths)


def log_cells(client: MlflowClient, experiment_id: str, missing: list[tuple[str, int]]) -> None:
    """Log cells in a process per core: torch's export of a model takes most of the time, on one core.

    Raises:
        MlflowException: the store did not take a run, the others are logged; or it is gone, and no more are tried.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    if not missing:
        return
    children.short_sockets()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.pytorch", "stages.track.model", "stages.train.predict"])
    workers = min(children.cores(), len(missing), WORKERS)
    pool = ProcessPoolExecutor(workers, context, _begin, (mlflow.get_tracking_uri(),))
    try:
        waiting = [pool.submit(_log, experiment_id, *cell) for cell in missing]
        bar = console.progress(as_completed(waiting), desc="mlflow", unit=" runs", total=len(waiting))
        refused = []
        for future in bar:
            if reason := future.result():
                refused.append(reason)
                client.get_experiment(experiment_id)  # raises where the store is gone
    finally:
        pool.shutdown(cancel_futures=True)
    if refused:
        raise MlflowException(refused[0])


def _begin(address: str) -> None:
    """Prepare a process that logs cells."""
    import mlflow

    children.end_with_parent()
    mlflow.set_tracking_uri(address)


def _log(experiment_id: str, variant: str, seed: int) -> str:
    """Log a cell; the reason why the store refused it, as text, since not all of MLflow's exceptions can be pickled."""
    from mlflow import MlflowClient

    try:
        log_cell(MlflowClient(), experiment_id, variant, seed)
    except store.failures() as error:
        return str(error)
    return ""


def log_cell(client: MlflowClient, experiment_id: str, variant: str, seed: int) -> None:
    """Log settings, curves, metrics, data, tables, pictures and model; FINISHED only when all of it stands."""
    config = files.read_json(cells.train_folder(variant, seed) / "config.json")
    tags = {
        "variant": variant,
        "seed": str(seed),
        "split": _short(cells.split_file(seed)),
        "data": _short(MANIFEST),
        FINGERPRINT_TAG: fingerprint(variant, seed),
        "mlflow.source.name": f"train@{variant}-{seed}",
    }
    if config.get("weights"):
        tags["weights"] = config["weights"]["sha256"][:16]
    # A run lasts as long as its training did, where this machine knows.
    timing = cells.timing_file(variant, seed)
    seconds = 0.0
    with contextlib.suppress(UserError, TypeError, ValueError):  # not there, or damaged
        seconds = float(files.read_json(timing)["seconds"])
    with run(client, experiment_id, f"{variant}-{seed}", tags, seconds) as run_id:
        _log_params(client, run_id, config)
        _log_metrics(client, run_id, config)
        _log_data(client, run_id, seed)
        client.log_artifacts(run_id, str(cells.RESULTS / variant / str(seed)))
        _log_confusion(client, run_id, variant, seed)
        log_model(run_id, variant, seed)


def _log_params(client: MlflowClient, run_id: str, config: dict[str, Any]) -> None:
    """The settings under their names in params.yaml, and what else config.json says."""
    from mlflow.entities import Param

    values = {key: value for key, value in config.items() if key not in ("cell", *OUTCOMES)} | config["cell"]
    flat = [Param(key, str(value)) for key, value in _flatten(values) if len(str(value)) <= 500]
    store.log(client, run_id, params=flat)


def _log_metrics(client: MlflowClient, run_id: str, config: dict[str, Any]) -> None:
    """History by epoch, then the final metrics as `<split>_<metric>`.

    MLflow's compare page opens with the first names of the alphabet: `test_...` comes before `train_...` and `val_...`.
    """
    from mlflow.entities import Metric

    variant, seed = config["variant"], config["seed"]
    now = int(time.time() * 1000)
    metrics = [
        Metric(HISTORY[name], float(value), now, int(row["epoch"]))
        for row in files.read_rows(cells.train_folder(variant, seed) / "history.csv", cells.HISTORY)
        for name, value in row.items()
        if name != "epoch" and value
    ]
    metrics += [Metric(f"train_{name}", float(config[name]), now, 0) for name in OUTCOMES]
    metrics += [
        Metric(f"{row['split']}_{row['metric']}", float(row["value"]), now, 0)
        for row in files.read_rows(cells.evaluate_folder(variant, seed) / "metrics.csv", ["value"])
        if row["value"]
    ]
    store.log(client, run_id, metrics=metrics)


def _log_data(client: MlflowClient, run_id: str, seed: int) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    split, splits = cells.split_file(seed), files.read_json(cells.SPLIT / "summary.json", cells.SplitSummary)["splits"]
    counted = next(found["counts"] for found in splits if seed in found["seeds"])
    for part, counts in counted.items():
        data = Dataset(
            name=part,
            digest=_short(split),
            source_type="local",
            source=str(split),
            profile=str({"images": sum(counts.values()), "classes": len(counts)}),
        )
        store.again(client.log_inputs, run_id, [DatasetInput(data, [InputTag("mlflow.data.context", part)])])


def _log_confusion(client: MlflowClient, run_id: str, variant: str, seed: int) -> None:
    """Log `confusion_test.png`, which MLflow shows under a run's artifacts; it draws curves itself, of metrics."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    mpl.rcParams["text.parse_math"] = False  # a label such as `$a_{b$` is text
    classes = files.read_json(cells.SPLIT / "classes.json", list[str])
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for row in files.read_rows(cells.evaluate_folder(variant, seed) / "confusion.csv"):
        if row["split"] == "test":
            matrix[classes.index(row["label"]), classes.index(row["predicted"])] = int(row["count"])
    side = min(4 + 0.3 * len(classes), 24)
    figure = Figure(figsize=(side, side), layout="constrained")
    readable = len(classes) <= 40
    display = ConfusionMatrixDisplay(matrix, display_labels=classes if readable else None)
    display.plot(
        ax=figure.subplots(), cmap="Blues", include_values=readable, colorbar=False, xticks_rotation="vertical"
    )
    client.log_figure(run_id, figure, "confusion_test.png")


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [item for key, inner in value.items() for item in _flatten(inner, f"{prefix}{key}.")]
    return [(prefix.rstrip("."), value)]


def _short(path: Path) -> str:
    return files.sha256(path)[:16] if path.is_file() else "missing"
