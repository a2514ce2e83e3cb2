"""Results that need the weights of a cell: robustness, Grad-CAM, cost, and the time that a picture takes."""

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

    from stages.evaluate.cell import Trained
    from stages.evaluate.params import Evaluate


def write(trained: Trained, settings: Evaluate, folder: Path) -> None:
    """Write robustness.csv, gradcam.* and cost.json into `folder`; measure and write the timings of inference."""
    loaded = predict.load(trained.variant, trained.seed)
    images = feed.Images(loaded.pixels, loaded.data.rows["test"])
    cut = frozen.cut(loaded)
    clean = cut.split("test").cpu().numpy()

    def normalised(some: NDArray[np.uint8]) -> torch.Tensor:
        return torch.cat(list(predict.normalised(loaded, some)))

    rows = robustness.rows(cut, images, clean, trained.parts["test"].targets, settings.robustness)
    files.write_rows(folder / "robustness.csv", robustness.COLUMNS, rows)
    gradcam.write(trained, loaded.network, images, normalised, settings.gradcam, folder)
    one = normalised(images[:1])
    cost.write(trained, loaded.network, one, folder)
    cost.time_inference(trained, loaded.network, one)
