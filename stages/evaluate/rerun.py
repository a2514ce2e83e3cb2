"""What needs the trained network itself, or the pictures it was fed with: robustness, Grad-CAM, inputs and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.core import cells
from stages.core.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.evaluate.cell import Cell
    from stages.evaluate.params import Evaluate

CLOSE = 0.1  # of the spread of the logits, in the mean: hardware rounds otherwise, other weights differ by far more


def write(cell: Cell, settings: Evaluate, folder: Path) -> None:
    """Load the trained cell and write robustness.csv, gradcam.*, inputs.*, cost.json into `folder`, and the timings.

    Raises:
        UserError: the weights do not give the logits that were stored with them.
    """
    import torch

    from stages.evaluate import cost, gradcam, inputs, robustness
    from stages.train import feed, frozen, predict

    loaded = predict.load(cell.variant, cell.seed)
    images = feed.Images(loaded.pixels, loaded.data.rows["test"])
    halves = frozen.cut(loaded)
    clean = halves.split("test").cpu().numpy()
    check(cell, clean)

    def normalised(some: NDArray[np.uint8]) -> Tensor:
        return torch.cat(list(predict.normalised(loaded, some)))

    robustness.write(halves, images, clean, cell.splits["test"].targets, settings.robustness, folder)
    gradcam.write(cell, loaded.network, images, normalised, settings, folder)
    inputs.write(loaded, cell.seed, folder)
    one = normalised(images[:1])
    cost.write(cell, loaded.network, one, folder)
    cost.time_inference(cell, loaded.network, one)


def check(cell: Cell, logits: NDArray[np.float32]) -> None:
    """Hold the logits of the test images against those that train stored.

    Raises:
        UserError: they are not the same network's.
    """
    stored = cell.splits["test"].logits
    apart = float(np.abs(logits - stored).mean()) if len(stored) else 0.0
    if apart > CLOSE * max(float(stored.std()), 1e-3):
        folder = cells.run_folder(cell.variant, cell.seed)
        raise UserError(
            f"{folder}: the weights do not give the stored logits (they differ by {apart:.3g} in the mean); the two "
            f"files are of different trainings: run `dvc repro -s -f train@{cell.variant}-{cell.seed}`"
        )
