"""ZCA whitening of whole images, by a randomised decomposition that never forms the covariance.

64x64x3 pixels have a covariance of 12,288 x 12,288; its exact decomposition took the study over 30 GB. Here the
leading directions come from a randomised range finder over chunks of training images (Halko, Martinsson and Tropp
2011), and the rest of the space shares one variance, as in probabilistic PCA (Tipping and Bishop 1999). With as many
components as pixels this is ordinary ZCA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from stages.train.sections import Zca

_CHUNK = 512
_OVERSAMPLING = 16
_POWER_ITERATIONS = 3


def fit(step: Zca, images: Callable[[slice], Tensor], count: int) -> dict[str, Tensor]:
    """Fit on the training images.

    Args:
        step: `epsilon` (added to each variance) and `components`.
        images: gives float32 (n, 3, size, size) for a slice of the training images.
        count: number of training images.

    Returns:
        `mean` (pixels), `directions` (pixels, k), `inside` (k) and `outside` (one number): the inverse roots of the
        variances along the directions and across them.
    """

    def chunks() -> Iterator[Tensor]:
        for start in range(0, count, _CHUNK):
            yield images(slice(start, start + _CHUNK)).flatten(1)

    mean = torch.stack([chunk.double().sum(0) for chunk in chunks()]).sum(0).div(count).float()
    pixels = len(mean)
    power = sum(float((chunk - mean).double().square().sum()) for chunk in chunks()) / count
    width = min(pixels, count, step.components + _OVERSAMPLING)

    def covariance_times(basis: Tensor) -> Tensor:
        result = torch.zeros_like(basis)
        for chunk in chunks():
            centred = chunk - mean
            result += centred.T @ (centred @ basis)
        return result / count

    basis = torch.randn(pixels, width, generator=torch.Generator().manual_seed(0))
    for _ in range(_POWER_ITERATIONS):
        basis = torch.linalg.qr(covariance_times(basis)).Q
    variances, turn = torch.linalg.eigh(basis.T @ covariance_times(basis))
    keep = min(step.components, width)
    variances, directions = variances.flip(0)[:keep].clamp_min(0), (basis @ turn.flip(1))[:, :keep]
    rest = max(power - float(variances.double().sum()), 0.0) / max(pixels - keep, 1)
    return {
        "mean": mean,
        "directions": directions.contiguous(),
        "inside": (variances + step.epsilon).rsqrt(),
        "outside": torch.tensor((rest + step.epsilon) ** -0.5),
    }


def apply(fitted: dict[str, Tensor], x: Tensor) -> Tensor:
    """Whiten float32 (N, 3, size, size)."""
    centred = x.flatten(1) - fitted["mean"]
    along = centred @ fitted["directions"]
    white = centred * fitted["outside"] + (along * (fitted["inside"] - fitted["outside"])) @ fitted["directions"].T
    return white.view_as(x)
