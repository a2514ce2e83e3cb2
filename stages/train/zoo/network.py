"""What every network of the zoo offers the training loop, Grad-CAM and the report."""

from __future__ import annotations

import torch
from torch import nn


class Network(nn.Module):
    """Features, pooling, head: (N, 3, size, size) -> logits (N, classes)."""

    def __init__(self, features: nn.Module, pool: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.pool = pool
        self.head = head

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
