"""The tables of a cell that its logits alone decide: metrics, classes, confusion, predictions and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import files
from stages.evaluate import metrics
from stages.evaluate.cell import SPLITS
from stages.train import losses
from stages.train.sections import Loss

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from stages.evaluate.cell import Cell, Split
    from stages.evaluate.params import Evaluate

OUT_OF_SAMPLE = ("val", "test")


def write(cell: Cell, settings: Evaluate, folder: Path) -> None:
    """Write metrics.csv, per_class.csv, confusion.csv, predictions.parquet and calibration.csv into `folder`."""
    loss = Loss.model_validate(cell.config.get("cell", {}).get("loss", {}))
    weights = losses.class_weights(loss, cell.splits["train"].targets, cell.classes)
    val = cell.splits["val"]
    temperature = metrics.fit_temperature(val.logits, val.targets)
    scalars: list[dict[str, Any]] = []
    bins: list[dict[str, Any]] = []
    for name, split in cell.splits.items():
        values = metrics.all_metrics(split.logits, split.targets, top_k=settings.top_k, loss=loss, weights=weights)
        rows = _reliability(split.logits, split.targets, settings.calibration_bins)
        values["ece"] = metrics.expected_calibration_error(rows)
        bins += [{"split": name, **row} for row in rows]
        if name == "val":
            values["temperature"] = temperature
        if name in OUT_OF_SAMPLE:
            values |= _scaled(split, temperature, settings.calibration_bins)
        scalars += [{"split": name, "metric": metric, "value": value} for metric, value in values.items()]
    files.write_rows(folder / "metrics.csv", ["split", "metric", "value"], scalars)
    files.write_rows(folder / "calibration.csv", ["split", "bin_low", "bin_high", "n", "confidence", "accuracy"], bins)
    _write_classes(cell, folder)
    _write_predictions(cell, folder)


def short(value: float) -> float:
    """The float whose `repr` has just the digits that tell a float32 apart: the logits know no more."""
    return float(str(np.float32(value)))


def _reliability(logits: NDArray[np.floating], targets: NDArray[np.int64], bins: int) -> list[dict[str, Any]]:
    confidence = np.exp(metrics.log_softmax(logits)).max(axis=1)
    return metrics.reliability(confidence, logits.argmax(axis=1) == targets, bins)


def _scaled(split: Split, temperature: float, bins: int) -> dict[str, float]:
    """Calibration after temperature scaling; the predicted classes stay as they are."""
    logits = split.logits.astype(np.float64) / temperature
    log_p = metrics.log_softmax(logits)
    return {
        "nll_scaled": float(-log_p[np.arange(len(log_p)), split.targets].mean()),
        "brier_scaled": metrics.brier(np.exp(log_p), split.targets),
        "ece_scaled": metrics.expected_calibration_error(_reliability(logits, split.targets, bins)),
    }


def _write_classes(cell: Cell, folder: Path) -> None:
    tables: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    for name in SPLITS:
        split = cell.splits[name]
        confusion = metrics.confusion_matrix(split.targets, split.predicted, len(cell.classes))
        columns = metrics.per_class(split.targets, split.predicted, len(cell.classes))
        for index, label in enumerate(cell.classes):
            tables.append({"split": name, "label": label, **{key: column[index] for key, column in columns.items()}})
        for true, guess in np.argwhere(confusion).tolist():
            row = {"label": cell.classes[true], "predicted": cell.classes[guess], "count": int(confusion[true, guess])}
            counts.append({"split": name, **row})
    files.write_rows(folder / "per_class.csv", ["split", "label", "precision", "recall", "f1", "support"], tables)
    files.write_rows(folder / "confusion.csv", ["split", "label", "predicted", "count"], counts)


def _write_predictions(cell: Cell, folder: Path) -> None:
    splits = {name: cell.splits[name] for name in OUT_OF_SAMPLE}
    targets = np.concatenate([split.targets for split in splits.values()])
    guesses = np.concatenate([split.predicted for split in splits.values()])
    log_p = np.concatenate([split.log_p for split in splits.values()])
    rows = np.arange(len(targets))
    classes = np.array(cell.classes)
    columns = {
        "split": [name for name, split in splits.items() for _ in split.ids],
        "image_id": [image for split in splits.values() for image in split.ids],
        "label": classes[targets],
        "predicted": classes[guesses],
        "confidence": np.exp(log_p[rows, guesses]).astype(np.float32),  # the logits know no more digits
        "loss": -log_p[rows, targets].astype(np.float32),
    }
    files.write_parquet(folder / "predictions.parquet", columns)
