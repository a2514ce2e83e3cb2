"""The tables of a cell that its logits alone decide: metrics, classes, confusion, predictions and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import cells, files
from stages.evaluate import metrics
from stages.train import losses
from stages.train.sections import Loss

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.evaluate.cell import Part, Trained
    from stages.evaluate.params import Evaluate

OUT_OF_SAMPLE = ("val", "test")


def write(trained: Trained, settings: Evaluate, folder: Path) -> None:
    """Write metrics.csv, per_class.csv, confusion.csv, predictions.parquet and calibration.csv into `folder`."""
    loss = Loss.model_validate(trained.config.get("cell", {}).get("loss", {}))
    weights = losses.class_weights(loss, trained.parts["train"].targets, trained.classes)
    val = trained.parts["val"]
    temperature = metrics.fit_temperature(val.logits, val.targets)
    scalars: list[dict[str, Any]] = []
    bins: list[dict[str, Any]] = []
    for name, part in trained.parts.items():
        values = metrics.all_metrics(part.logits, part.targets, top_k=settings.top_k, loss=loss, weights=weights)
        rows = _reliability(part, part.log_p, settings.calibration_bins)
        values["ece"] = metrics.expected_calibration_error(rows)
        bins += [{"split": name, **row} for row in rows]
        if name == "val":
            values["temperature"] = temperature
        if name in OUT_OF_SAMPLE:
            values |= _scaled(part, temperature, settings.calibration_bins)
        scalars += [{"split": name, "metric": metric, "value": value} for metric, value in values.items()]
    files.write_rows(folder / "metrics.csv", ["split", "metric", "value"], scalars)
    files.write_rows(folder / "calibration.csv", ["split", "bin_low", "bin_high", "n", "confidence", "accuracy"], bins)
    _write_classes(trained, folder)
    _write_predictions(trained, folder)


def _reliability(part: Part, log_p: NDArray[np.float64], bins: int) -> list[dict[str, Any]]:
    """Reliability of the predicted classes at these log-probabilities, (images, classes)."""
    return metrics.reliability(np.exp(log_p).max(axis=1), part.predicted == part.targets, bins)


def _scaled(part: Part, temperature: float, bins: int) -> dict[str, float]:
    """Calibration after temperature scaling; the predicted classes stay as they are."""
    log_p = metrics.log_softmax(part.logits.astype(np.float64) / temperature)
    return {
        "nll_scaled": float(-log_p[np.arange(len(log_p)), part.targets].mean()),
        "brier_scaled": metrics.brier(np.exp(log_p), part.targets),
        "ece_scaled": metrics.expected_calibration_error(_reliability(part, log_p, bins)),
    }


def _write_classes(trained: Trained, folder: Path) -> None:
    tables: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    for name in cells.PARTS:
        part = trained.parts[name]
        confusion = metrics.confusion_matrix(part.targets, part.predicted, len(trained.classes))
        columns = metrics.per_class(part.targets, part.predicted, len(trained.classes))
        for index, label in enumerate(trained.classes):
            tables.append({"split": name, "label": label, **{key: column[index] for key, column in columns.items()}})
        for true, guess in np.argwhere(confusion).tolist():
            row = {"label": trained.classes[true], "predicted": trained.classes[guess]}
            counts.append({"split": name, **row, "count": int(confusion[true, guess])})
    files.write_rows(folder / "per_class.csv", ["split", "label", "precision", "recall", "f1", "support"], tables)
    files.write_rows(folder / "confusion.csv", ["split", "label", "predicted", "count"], counts)


def _write_predictions(trained: Trained, folder: Path) -> None:
    parts = {name: trained.parts[name] for name in OUT_OF_SAMPLE}
    targets = np.concatenate([part.targets for part in parts.values()])
    guesses = np.concatenate([part.predicted for part in parts.values()])
    log_p = np.concatenate([part.log_p for part in parts.values()])
    rows = np.arange(len(targets))
    classes = np.array(trained.classes)
    columns = {
        "split": [name for name, part in parts.items() for _ in part.ids],
        "image_id": [image for part in parts.values() for image in part.ids],
        "label": classes[targets],
        "predicted": classes[guesses],
        "confidence": np.exp(log_p[rows, guesses]).astype(np.float32),  # the logits know no more digits
        "loss": -log_p[rows, targets].astype(np.float32),
    }
    files.write_parquet(folder / "predictions.parquet", columns)
