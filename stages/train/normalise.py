"""From bytes to the numbers that a network is fed with.

Whatever is fitted is fitted on the training images as they are stored, before any augmentation, and travels with the
model: the same statistics serve training, validation, test and the report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.core.errors import UserError
from stages.train import sections as parts
from stages.train import zoo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.feed import Images
    from stages.train.params import Cell

_CHUNK = 1024  # training images read at once while fitting


@dataclass
class Normaliser:
    """Steps in order; `statistics` are the fitted numbers, one mapping of tensors per step."""

    steps: Sequence[parts.NormaliseStep]
    statistics: list[dict[str, Tensor]] = field(default_factory=list)

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise float32 pixels of 0 to 255, shape (N, 3, size, size); `x` itself is overwritten."""
        for step, fitted in zip(self.steps, self.statistics, strict=True):
            x = _apply(step, fitted, x)
        return x

    def to(self, device: torch.device) -> Normaliser:
        """The same on another device."""
        moved = [{name: value.to(device) for name, value in fitted.items()} for fitted in self.statistics]
        return Normaliser(self.steps, moved)

    def tensors(self) -> dict[str, Tensor]:
        """The fitted statistics under names that stand beside the network's own in model.safetensors."""
        return {f"normalise.{i}.{n}": v for i, fitted in enumerate(self.statistics) for n, v in fitted.items()}

    def describe(self) -> list[dict[str, Any]]:
        """Steps with their statistics, for config.json; a whitening matrix is told by its shape."""
        return [
            step.model_dump() | {n: v.tolist() if v.numel() <= 3 else list(v.shape) for n, v in fitted.items()}
            for step, fitted in zip(self.steps, self.statistics, strict=True)
        ]


def resolve(cell: Cell) -> list[parts.NormaliseStep]:
    """The steps of `normalise`; `auto` is the backbone's own preprocessing where there is one, else /255."""
    if cell.normalise != "auto":
        return list(cell.normalise)
    if cell.model.name == "backbone":
        return [parts.Backbone(name="backbone")]
    return [parts.Scale(name="scale")]


def fit(cell: Cell, training: Images) -> Normaliser:
    """Fit the steps of `cell` one after another.

    Args:
        cell: the settings.
        training: the training images; no other image may stand in it.
    """
    normaliser = Normaliser([])
    for step in resolve(cell):
        fitted = _fit(step, cell, normaliser, training)
        normaliser = Normaliser([*normaliser.steps, step], [*normaliser.statistics, fitted])
    return normaliser


def load(cell: Cell, tensors: dict[str, Tensor]) -> Normaliser:
    """The normaliser that was stored in `tensors` of model.safetensors."""
    steps = resolve(cell)
    names = [[name for name in tensors if name.startswith(f"normalise.{i}.")] for i in range(len(steps))]
    return Normaliser(steps, [{name.split(".", 2)[2]: tensors[name] for name in group} for group in names])


def to_float(images: NDArray[np.uint8] | Tensor, device: torch.device) -> Tensor:
    """uint8 (N, size, size, 3) to float32 (N, 3, size, size) of 0 to 255."""
    if not isinstance(images, torch.Tensor):
        images = torch.from_numpy(np.ascontiguousarray(images))
    return images.to(device).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def _fit(step: parts.NormaliseStep, cell: Cell, before: Normaliser, training: Images) -> dict[str, Tensor]:
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
        from stages.train import zca

        return zca.fit(step, lambda rows: before(to_float(training[rows], torch.device("cpu"))), len(training))
    return {}


def _apply(step: parts.NormaliseStep, fitted: dict[str, Tensor], x: Tensor) -> Tensor:
    if isinstance(step, parts.Scale):
        return x.div_(255.0)
    if isinstance(step, parts.Backbone):
        x = x.mul_(fitted["scale"]).sub_(_channels(fitted["mean"])).div_(_channels(fitted["std"]))
        return x.flip(1) if "bgr" in fitted else x
    if isinstance(step, parts.Samplewise):
        std, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
        return x.sub_(mean).div_(std + step.epsilon)
    if isinstance(step, parts.Zca):
        from stages.train import zca

        return zca.apply(fitted, x)
    return x.sub_(_channels(fitted["mean"])).div_(_channels(fitted["std"]))


def _moments(before: Normaliser, training: Images) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (divisor n) per channel, summed in float64."""
    total, squares, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
    for start in range(0, len(training), _CHUNK):
        x = before(to_float(training[start : start + _CHUNK], torch.device("cpu"))).double()
        total += x.sum(dim=(0, 2, 3))
        squares += x.square().sum(dim=(0, 2, 3))
        count += x.numel() // 3
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp_min(0).sqrt().float()


def _channels(values: Tensor) -> Tensor:
    return values.view(1, 3, 1, 1)
