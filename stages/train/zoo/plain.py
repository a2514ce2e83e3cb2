"""Networks that are written down layer by layer: class prior, multi-layer perceptron, plain CNN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from stages.core.errors import UserError
from stages.train.zoo import layers
from stages.train.zoo.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.train.zoo.params import Block, Cnn, Mlp


class Prior(nn.Module):
    """Logits that do not depend on the picture: log of the class frequencies."""

    log_prior: torch.Tensor

    def __init__(self, prior: torch.Tensor) -> None:
        super().__init__()
        # A class without a training image keeps a finite loss.
        self.register_buffer("log_prior", prior.clamp_min(1e-12).log().float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any (N, ...) -> (N, classes)."""
        return self.log_prior.expand(len(x), -1)


def random(num_classes: int, class_prior: Sequence[float] | None) -> Network:
    """The class prior (uniform where none is given) as a network without parameters."""
    prior = class_prior or [1 / num_classes] * num_classes
    return Network(nn.Identity(), nn.Identity(), Prior(torch.tensor(prior, dtype=torch.float64)))


def mlp(model: Mlp, num_classes: int, size: int, seed: int) -> Network:
    """A multi-layer perceptron on the flattened pixels."""
    with layers.initialisation(seed, 0):
        head = layers.dense(model, 3 * size * size, num_classes)
        layers.initialise(head, model.initialisation)
    return Network(nn.Identity(), nn.Flatten(), head)


def cnn(model: Cnn, num_classes: int, size: int, seed: int) -> Network:
    """Blocks of convolutions, a pooling, a head."""
    features: list[nn.Module] = []
    channels, side = 3, size
    with layers.initialisation(seed, 0):
        for index, block in enumerate(model.blocks):
            made, side = _block(model, block, channels, side)
            if side < 1:
                raise UserError(
                    f"params.yaml: `model.blocks.{index}` is left with no pixel of a {size} px picture; "
                    f"take fewer blocks, padding `same`, or larger pictures"
                )
            features += made
            channels = block.filters[-1]
        body = nn.Sequential(*features)
        layers.initialise(body, model.initialisation)
    with layers.initialisation(seed, 1):
        inputs = channels * side * side if model.head.pooling == "flatten" else channels
        head = layers.dense(model.head, inputs, num_classes)
        layers.initialise(head, model.initialisation)
    convolutions = [layer for layer in body if isinstance(layer, nn.Conv2d)]
    return Network(body, layers.POOLINGS[model.head.pooling](), head, cam=convolutions[-1])


def _block(model: Cnn, block: Block, channels: int, side: int) -> tuple[list[nn.Module], int]:
    """The layers of one block and the side of the feature map after it, px."""
    pool = model.layers.index("pool") if "pool" in model.layers else len(model.layers)
    made: list[nn.Module] = []
    for filters, padding in zip(block.filters, block.paddings, strict=True):
        for name in model.layers[:pool]:
            if name == "conv":
                made += _convolution(channels, filters, block.kernel, same=padding == "same")
            else:
                made += _layer(name, model, block, filters)
        channels = filters
        side -= 0 if padding == "same" else block.kernel - 1
    for name in model.layers[pool:]:
        made += [nn.MaxPool2d(2)] if name == "pool" else _layer(name, model, block, channels)
    return made, side // 2 if "pool" in model.layers else side


def _layer(name: str, model: Cnn, block: Block, channels: int) -> list[nn.Module]:
    if name == "batch_norm":
        return [nn.BatchNorm2d(channels)]
    if name == "dropout":
        return layers.dropout(block.dropout)
    return [layers.ACTIVATIONS[model.activation]()]


def _convolution(inputs: int, outputs: int, kernel: int, *, same: bool) -> list[nn.Module]:
    if not same:
        return [nn.Conv2d(inputs, outputs, kernel)]
    if kernel % 2:
        return [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)]
    # An even kernel pads one more pixel on the right and at the bottom, as TensorFlow does.
    before, after = (kernel - 1) // 2, kernel // 2
    return [nn.ZeroPad2d((before, after, before, after)), nn.Conv2d(inputs, outputs, kernel)]
