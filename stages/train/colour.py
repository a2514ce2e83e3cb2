"""Colour jitter with factors of its own for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from stages.train.sections import ColorJitter


def jitter(x: Tensor, settings: ColorJitter, draw: Callable[[str], Tensor]) -> Tensor:
    """Brightness, contrast, saturation and hue, in this order.

    Args:
        x: float32 (n, 3, h, w) of 0 to 255.
        settings: how far each may go.
        draw: gives uniform numbers of 0 to 1, shape (n, 1, 1, 1), by name.
    """

    def factor(name: str, reach: float) -> Tensor:
        return (1 + (2 * draw(name) - 1) * reach).clamp_min(0)

    if settings.brightness:
        x = (x * factor("brightness", settings.brightness)).clamp_(0, 255)
    if settings.contrast:
        x = _blend(x, _grey(x).mean(dim=(2, 3), keepdim=True), factor("contrast", settings.contrast))
    if settings.saturation:
        x = _blend(x, _grey(x), factor("saturation", settings.saturation))
    if settings.hue:
        x = _turn_hue(x, (2 * draw("hue") - 1) * settings.hue)
    return x


def _grey(x: Tensor) -> Tensor:
    return (x[:, 0:1] * 0.299).add_(x[:, 1:2], alpha=0.587).add_(x[:, 2:3], alpha=0.114)


def _blend(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(other, x, share).clamp_(0, 255)


def _turn_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a fraction of the circle, in HSV."""
    value, top = x.max(dim=1, keepdim=True)
    chroma = value - x.min(dim=1, keepdim=True).values
    r, g, b = x[:, 0:1], x[:, 1:2], x[:, 2:3]
    safe = chroma.clamp_min(1e-6)
    hue = (
        torch.where(top == 0, (g - b) / safe, torch.where(top == 1, 2 + (b - r) / safe, 4 + (r - g) / safe)) + turn * 6
    )
    # f(n) of the closed form of HSV to RGB, for red, green and blue
    shifts = torch.tensor([5.0, 3.0, 1.0], device=x.device).view(1, 3, 1, 1)
    k = (shifts + hue) % 6
    return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)
