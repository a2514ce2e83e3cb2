"""ZCA whitening of whole images, fitted by torch's randomised decomposition of the data matrix.

64x64x3 pixels have a covariance of 12,288 x 12,288, whose exact decomposition needs over 30 GB. Here the leading
directions come from `torch.svd_lowrank` (Halko, Martinsson and Tropp 2011), and the rest of the space shares one
variance, as in probabilistic PCA (Tipping and Bishop 1999). With as many components as pixels this is ordinary ZCA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.sections import Zca

_NUMBERS = 1 << 29  # of the data matrix, 2 GB: of more training images, as many as fit are taken, evenly spaced
_CHUNK = 512
_OVERSAMPLING = 16
_POWER_ITERATIONS = 3


def fit(step: Zca, images: Callable[[NDArray[np.int64]], Tensor], count: int) -> dict[str, Tensor]:
    """Fit on the training images.

    Args:
        step: `epsilon` (added to each variance) and `components`.
        images: gives float32 (n, 3, size, size) for some rows of the training images.
        count: number of training images.

    Returns:
        `mean` (pixels), `directions` (pixels, k), `inside` (k) and `outside` (one number): the inverse roots of the
        variances along the directions and across them.
    """
    pixels = images(np.arange(1)).numel()
    rows = np.linspace(0, count - 1, min(count, max(_NUMBERS // pixels, 1))).astype(np.int64)
    data = torch.empty(len(rows), pixels)
    for start in range(0, len(rows), _CHUNK):
        data[start : start + _CHUNK] = images(rows[start : start + _CHUNK]).flatten(1)
    chunks = [data[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    mean = torch.stack([chunk.double().sum(0) for chunk in chunks]).sum(0).div(len(rows)).float()
    data -= mean
    power = float(torch.stack([chunk.double().square().sum() for chunk in chunks]).sum()) / len(rows)
    width = min(pixels, len(rows), step.components + _OVERSAMPLING)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, roots, directions = torch.svd_lowrank(data, q=width, niter=_POWER_ITERATIONS)
    keep = min(step.components, width)
    variances = (roots[:keep].double().square() / len(rows)).float()
    rest = max(power - float(variances.double().sum()), 0.0) / max(pixels - keep, 1)
    return {
        "mean": mean,
        "directions": directions[:, :keep].contiguous(),
        "inside": (variances + step.epsilon).rsqrt(),
        "outside": torch.tensor((rest + step.epsilon) ** -0.5),
    }
