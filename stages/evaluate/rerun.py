"""What needs the trained network itself: robustness, Grad-CAM and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from stages.core import files
from stages.evaluate import cost, gradcam, robustness
from stages.train import feed, frozen, predict

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from stages.evaluate.cell import Cell
    from stages.evaluate.params import Evaluate


def write(cell: Cell, settings: Evaluate, folder: Path) -> None:
    """Load the trained cell and write robustness.csv, gradcam.*, cost.json into `folder`, and the timings."""
    loaded = predict.load(cell.variant, cell.seed)
    images = feed.Images(loaded.pixels, loaded.data.rows["test"])
    halves = frozen.cut(loaded)
    clean = halves.split("test").cpu().numpy()

    def normalised(some: NDArray[np.uint8]) -> torch.Tensor:
        return torch.cat(list(predict.normalised(loaded, some)))

    rows = robustness.rows(halves, images, clean, cell.splits["test"].targets, settings.robustness)
    files.write_rows(folder / "robustness.csv", robustness.COLUMNS, rows)
    gradcam.write(cell, loaded.network, images, normalised, settings.gradcam, folder)
    one = normalised(images[:1])
    cost.write(cell, loaded.network, one, folder)
    cost.time_inference(cell, loaded.network, one)
