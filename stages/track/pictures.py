"""Curves and confusion matrix of one cell, as MLflow shows them under a run's artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.core import cells, files

if TYPE_CHECKING:
    from mlflow import MlflowClient


def log(client: MlflowClient, run_id: str, variant: str, seed: int) -> None:
    """Log `curves.png` and `confusion_test.png`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    mpl.rcParams["text.parse_math"] = False  # a label such as `$a_{b$` is text
    history = files.read_rows(cells.train_folder(variant, seed) / "history.csv", cells.HISTORY)
    if history:
        curves = Figure(figsize=(9, 3.5), layout="constrained")
        epochs = [int(row["epoch"]) for row in history]
        for axes, name in zip(curves.subplots(1, 2), ("loss", "top1"), strict=True):
            for part in ("train", "val"):
                axes.plot(epochs, [float(row[f"{part}_{name}"]) for row in history], label=part)
            axes.set(xlabel="epoch", ylabel=name)
            axes.legend()
        client.log_figure(run_id, curves, "curves.png")

    classes = files.read_json(cells.SPLIT / "classes.json", list[str])
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for row in files.read_rows(cells.evaluate_folder(variant, seed) / "confusion.csv"):
        if row["split"] == "test":
            matrix[classes.index(row["label"]), classes.index(row["predicted"])] = int(row["count"])
    side = min(4 + 0.3 * len(classes), 24)
    confusion = Figure(figsize=(side, side), layout="constrained")
    readable = len(classes) <= 40
    display = ConfusionMatrixDisplay(matrix, display_labels=classes if readable else None)
    display.plot(
        ax=confusion.subplots(), cmap="Blues", include_values=readable, colorbar=False, xticks_rotation="vertical"
    )
    client.log_figure(run_id, confusion, "confusion_test.png")
