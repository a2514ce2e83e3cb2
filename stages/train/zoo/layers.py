"""The pieces that plain networks and the heads of backbones are made of."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import nn

from stages.core import seeding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stages.train.zoo.params import Activation, Dense, Initialisation

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class GlobalMax(nn.Module):
    """(N, C, H, W) -> (N, C). `AdaptiveMaxPool2d` has no deterministic backward on a GPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maximum of each channel."""
        return x.amax((2, 3))


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "average": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "max": GlobalMax,
    "flatten": nn.Flatten,
}


@contextlib.contextmanager
def initialisation(seed: int, part: int) -> Iterator[None]:
    """Draw initial weights from the cell's own generator; `part` keeps the head's draws apart from the features'."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.number(seed, "initialisation", part))
        yield


def dense(section: Dense, inputs: int, outputs: int) -> nn.Sequential:
    """Hidden layers and the output layer: (N, inputs) -> (N, outputs)."""
    layers: list[nn.Module] = []
    widths = [inputs, *section.widths]
    for i, width in enumerate(section.widths):
        layers += dropout(section.dropouts[i])
        layers.append(nn.Linear(widths[i], width))
        if section.batch_norms[i] == "before_activation":
            layers.append(nn.BatchNorm1d(width))
        layers.append(ACTIVATIONS[section.activation]())
        if section.batch_norms[i] == "after_activation":
            layers.append(nn.BatchNorm1d(width))
    layers += [*dropout(section.dropouts[-1]), nn.Linear(widths[-1], outputs)]
    return nn.Sequential(*layers)


def dropout(rate: float) -> list[nn.Module]:
    """A dropout layer, or nothing at rate 0."""
    return [nn.Dropout(rate)] if rate else []


def initialise(module: nn.Module, how: Initialisation) -> None:
    """Draw the weights of convolutions and linear layers anew; biases become 0, as in Keras.

    `glorot_uniform` (Glorot and Bengio 2010) is the default of Keras, `he_normal` is He et al. 2015,
    `pytorch` changes nothing.
    """
    if how == "pytorch":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if how == "glorot_uniform":
                nn.init.xavier_uniform_(layer.weight)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
