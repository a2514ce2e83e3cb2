"""From bytes to the inputs of a network: modules in order, whose buffers are the fitted statistics.

Statistics are fitted on the training images as they are stored, before any augmentation, and are saved with the model:
training, validation, test and the report use the same ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from stages.core.errors import UserError
from stages.train import sections as parts
from stages.train import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.feed import Images
    from stages.train.params import Cell

PREFIX = "normalise."  # of the statistics' names beside the network's own in model.safetensors
_CHUNK = 1024  # training images read at once while fitting
_ZCA_NUMBERS = 1 << 29  # of the data matrix, 2 GB: of more training images, as many as fit are taken, evenly spaced
_ZCA_CHUNK = 512
_OVERSAMPLING = 16
_POWER_ITERATIONS = 3


class Step(nn.Module):
    """One step; it overwrites float32 pixels (N, 3, size, size) of 0 to 255, or the output of the step before."""

    def __init__(self, settings: parts.NormaliseStep, statistics: dict[str, Tensor]) -> None:
        super().__init__()
        self.settings = settings
        for name, value in statistics.items():
            self.register_buffer(name, value)

    def describe(self) -> dict[str, Any]:
        """Settings and statistics, for config.json, with the shape of a large matrix in place of its values."""
        statistics = {n: v.tolist() if v.numel() <= 3 else list(v.shape) for n, v in self.named_buffers()}
        return self.settings.model_dump() | statistics


class Scale(Step):
    """Divide by 255."""

    def forward(self, x: Tensor) -> Tensor:
        """See `Step`."""
        return x.div_(255.0)


class Channels(Step):
    """Subtract a mean and divide by a standard deviation per channel."""

    mean: Tensor
    std: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """See `Step`."""
        return x.sub_(self.mean.view(1, 3, 1, 1)).div_(self.std.view(1, 3, 1, 1))


class Pretrained(Channels):
    """The preprocessing that pretrained weights were trained with; for those from Caffe, channels are reversed."""

    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """See `Step`."""
        x = super().forward(x.mul_(self.scale))
        return x.flip(1) if hasattr(self, "bgr") else x


class Samplewise(Step):
    """Subtract each image's own mean and divide by its own standard deviation."""

    settings: parts.Samplewise

    def forward(self, x: Tensor) -> Tensor:
        """See `Step`."""
        std, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
        return x.sub_(mean).div_(std + self.settings.epsilon)


class Zca(Step):
    """Whiten along the leading directions by the variance of each, and across them by one variance."""

    mean: Tensor
    directions: Tensor
    inside: Tensor
    outside: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """See `Step`."""
        centred = x.flatten(1) - self.mean
        along = centred @ self.directions
        white = centred * self.outside + (along * (self.inside - self.outside)) @ self.directions.T
        return white.view_as(x)


_STEPS: dict[str, type[Step]] = {
    "scale": Scale, "backbone": Pretrained, "standardise": Channels, "samplewise": Samplewise,
    "featurewise": Channels, "zca": Zca,
}  # fmt: skip


def resolve(cell: Cell) -> list[parts.NormaliseStep]:
    """The steps of `normalise`; `auto` is the backbone's own preprocessing where there is one, else /255."""
    if cell.normalise != "auto":
        return list(cell.normalise)
    if cell.model.name == "backbone":
        return [parts.Backbone(name="backbone")]
    return [parts.Scale(name="scale")]


def fit(cell: Cell, training: Images) -> nn.Sequential:
    """Fit the steps of `cell` one after another.

    Args:
        cell: the settings.
        training: the training images; no other image may stand in it.
    """
    normaliser = nn.Sequential()
    for step in resolve(cell):
        normaliser.append(_STEPS[step.name](step, _fit(step, cell, normaliser, training)))
    return normaliser


def load(cell: Cell, tensors: dict[str, Tensor]) -> nn.Sequential:
    """The normaliser whose statistics stand in `tensors` of model.safetensors."""
    made = []
    for i, step in enumerate(resolve(cell)):
        own = f"{PREFIX}{i}."
        made.append(_STEPS[step.name](step, {n.removeprefix(own): v for n, v in tensors.items() if n.startswith(own)}))
    return nn.Sequential(*made)


def describe(normaliser: nn.Sequential) -> list[dict[str, Any]]:
    """Each step with its statistics, for config.json."""
    return [step.describe() for step in normaliser if isinstance(step, Step)]


def to_float(images: NDArray[np.uint8] | Tensor, device: torch.device) -> Tensor:
    """uint8 (N, size, size, 3) to float32 (N, 3, size, size) of 0 to 255."""
    if not isinstance(images, torch.Tensor):
        images = torch.from_numpy(np.ascontiguousarray(images))
    return images.to(device).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def _fit(step: parts.NormaliseStep, cell: Cell, before: nn.Sequential, training: Images) -> dict[str, Tensor]:
    if isinstance(step, parts.Standardise):
        return {"mean": torch.tensor(step.mean), "std": torch.tensor(step.std)}
    if isinstance(step, parts.Backbone):
        own = zoo.preprocessing(cell.model)
        if own is None:
            raise UserError(f"`normalise: backbone`: the model `{cell.model.name}` has no preprocessing of its own")
        fitted = {"scale": torch.tensor(float(own.scale)), "mean": torch.tensor(own.mean), "std": torch.tensor(own.std)}
        return fitted | ({"bgr": torch.ones(1)} if own.bgr else {})
    if isinstance(step, parts.Featurewise):
        mean, std = _moments(before, training)
        return {"mean": mean, "std": std + step.epsilon}
    if isinstance(step, parts.Zca):
        return _whitening(step, lambda rows: before(to_float(training[rows], torch.device("cpu"))), len(training))
    return {}


def _moments(before: nn.Sequential, training: Images) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (divisor n) per channel, summed in float64."""
    total, squares, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
    for start in range(0, len(training), _CHUNK):
        x = before(to_float(training[start : start + _CHUNK], torch.device("cpu"))).double()
        total += x.sum(dim=(0, 2, 3))
        squares += x.square().sum(dim=(0, 2, 3))
        count += x.numel() // 3
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp_min(0).sqrt().float()


def _whitening(step: parts.Zca, images: Callable[[NDArray[np.int64]], Tensor], count: int) -> dict[str, Tensor]:
    """ZCA whitening of whole images, fitted by torch's randomised decomposition of the data matrix.

    64x64x3 pixels have a covariance of 12,288 x 12,288, whose exact decomposition needs over 30 GB. Here the leading
    directions come from `torch.svd_lowrank` (Halko, Martinsson and Tropp 2011), and the rest of the space shares one
    variance, as in probabilistic PCA (Tipping and Bishop 1999). With as many components as pixels this is ordinary ZCA.

    Args:
        step: `epsilon` (added to each variance) and `components`.
        images: gives float32 (n, 3, size, size) for some rows of the training images.
        count: number of training images.

    Returns:
        `mean` (pixels), `directions` (pixels, k), `inside` (k) and `outside` (one number): the inverse roots of the
        variances along the directions and across them.
    """
    pixels = images(np.arange(1)).numel()
    rows = np.linspace(0, count - 1, min(count, max(_ZCA_NUMBERS // pixels, 1))).astype(np.int64)
    data = torch.empty(len(rows), pixels)
    for start in range(0, len(rows), _ZCA_CHUNK):
        data[start : start + _ZCA_CHUNK] = images(rows[start : start + _ZCA_CHUNK]).flatten(1)
    chunks = [data[start : start + _ZCA_CHUNK] for start in range(0, len(rows), _ZCA_CHUNK)]
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
