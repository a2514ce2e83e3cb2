"""The class of all networks, as the training loop and Grad-CAM use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from stages.train.zoo import freezing

if TYPE_CHECKING:
    from stages.train.zoo.params import Trainable


class Network(nn.Module):
    """Features, pooling, head: (N, 3, size, size) -> logits (N, classes)."""

    def __init__(self, features: nn.Module, pool: nn.Module, head: nn.Module, cam: nn.Module | None = None) -> None:
        super().__init__()
        self.features = features
        self.pool = pool
        self.head = head
        self._cam = (cam,)  # in a tuple, so that it is not registered a second time

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of normalised float32 pictures (N, 3, size, size)."""
        logits: torch.Tensor = self.head(self.pool(self.features(x)))
        return logits

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The trainable parameters, `features` and `head`, for a learning rate of each."""
        return {
            name: [p for p in module.parameters() if p.requires_grad]
            for name, module in (("features", self.features), ("head", self.head))
        }

    def cam_layer(self) -> nn.Module | None:
        """The module whose output (N, C, H, W) Grad-CAM explains; None where there is no feature map.

        The last convolution of a plain chain (CNN, VGG); elsewhere the module that gives the last feature map, because
        the convolution defined last is only one branch of it.
        """
        return self._cam[0]

    def set_trainable(self, *specs: Trainable) -> None:
        """Freeze all parameters that none of `specs` names, for example between two phases of training.

        Raises:
            UserError: a spec names what the network does not have.
        """
        chosen = set[str]().union(*(freezing.select(self, spec) for spec in specs))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in chosen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Network:
        """Set training mode; frozen modules stay in evaluation mode.

        Batch norm stays as it is where its own parameters are frozen, or where it has none and nothing before it is
        trained; dropout where it stands in front of everything that is trained within the features. Dropout of the head
        is always on in training.
        """
        super().train(mode)
        if mode:
            moving = False
            for module in self.features.modules():
                own = [p.requires_grad for p in module.parameters(recurse=False)]
                moving = moving or any(own)
                if (freezing.is_norm(module) and not (any(own) if own else moving)) or (
                    freezing.is_dropout(module) and not moving
                ):
                    module.train(False)
        return self

    def split_frozen(self) -> tuple[nn.Module | None, nn.Module]:
        """Cut at the freeze boundary: (prefix, rest), with `rest(prefix(x))` equal to `self(x)` to the bit.

        The prefix is the longest part that is frozen, deterministic, and hands on one single tensor; None where that
        holds no parameter. Both parts share their modules with this network; `rest.train()` is `self.train()`.
        """
        return freezing.split(self)
