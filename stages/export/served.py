"""The model that MLflow loads: pictures as bytes or base64 in, labels and calibrated probabilities out.

MLflow stores this file as it is ("models from code") and runs it when it loads the model, so nothing is pickled. A
picture that cannot be read is a row with its problem, and no address is ever fetched.
"""

from __future__ import annotations

import base64
import binascii
import threading
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd  # noqa: TC002 - MLflow reads the type of the input
from mlflow.pyfunc.model import PythonModel

COLUMN = "image"


class Champion(PythonModel):
    """The networks of a champion."""

    def load_context(self, context: Any) -> None:
        """Load the networks from the folder that `stages.export.package` wrote."""
        from stages.export import package

        self.ensemble, self.clean = package.read(Path(context.artifacts["champion"]))
        self.kept: list[Any] = []  # processes that decode: one takes longer to start than a request to answer
        self.lock = threading.Lock()

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow gives it to every model
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - as context
    ) -> list[dict[str, Any]]:
        """A row for each picture, in order.

        Args:
            context: MLflow's.
            model_input: a table with the column `image`: the bytes of a file, or these in base64, or a list of such,
                as MLflow makes it of `{"inputs": [...]}`.
            params: none are known.

        Returns:
            For each picture its label, its probability, the `probabilities` of all labels, whether it is unlike the
            pictures of training, and the problem where it could not be read.
        """
        from stages.clean import pictures as cleaned
        from stages.clean.decode import Refused
        from stages.predict import output, pictures

        values = [_bytes(value) for cell in model_input[COLUMN] for value in _several(cell)]
        ensemble = self.ensemble
        readable = [value for value in values if isinstance(value, bytes)]
        workers = cleaned.workers(self.clean)
        with self.lock:
            done = pictures.decoded(readable, ensemble.size, ensemble.resize, self.clean, workers, self.kept)
            decoded = iter(list(done))
        found = [("", Refused("not_an_image", value) if isinstance(value, str) else next(decoded)) for value in values]
        rows = output.rows(found, ensemble, len(ensemble.classes))
        return [_said(row, number) for number, row in enumerate(rows, 1)]


def _several(cell: Any) -> list[Any]:
    """The pictures of a cell of the table."""
    if isinstance(cell, np.ndarray):
        return list(cell.ravel().tolist())
    return cell if isinstance(cell, list) else [cell]


def _bytes(value: Any) -> bytes | str:
    """The bytes of a file; where there are none, the reason as text."""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return "neither the bytes of a picture nor these in base64; addresses are not fetched"


def _said(row: dict[str, Any], number: int) -> dict[str, Any]:
    label, probability = row["top"][0] if row["top"] else (None, None)
    return {
        "label": label,
        "probability": probability,
        "probabilities": dict(row["top"]),
        "unlike": row["unlike"],
        "problem": f"picture {number}: {row['problem']}" if row["problem"] else "",
    }


mlflow.models.set_model(Champion())
