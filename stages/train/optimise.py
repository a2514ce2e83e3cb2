"""torch's optimisers and learning rates, by the settings of a cell.

A learning rate is a function of the step alone, except for a plateau; so a resumed cell needs no other memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.amp.grad_scaler import GradScaler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stages.train import sections as parts

if TYPE_CHECKING:
    from torch import nn

    from stages.train.params import Cell
    from stages.train.sections import Phase
    from stages.train.zoo.network import Network


class Optimisation:
    """The optimiser of one phase, its learning rates, and the scale that float16 gradients need."""

    def __init__(
        self, cell: Cell, network: Network, phase: Phase, steps: int, device: torch.device, dtype: torch.dtype | None
    ) -> None:
        """Begin a phase, whose epochs have `steps` steps each."""
        self.optimizer = optimizer(cell.optimizer, network.groups(), phase.lr or cell.lr)
        self.rates = Rates(cell.schedule, self.optimizer, phase.epochs, steps)
        self.scaler = GradScaler(device.type, enabled=dtype == torch.float16)

    def step(self, clip_norm: float | None) -> None:
        """Change the parameters by their gradients, and forget the gradients."""
        if clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed cell needs."""
        return {name: part.state_dict() for name, part in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        for name, part in vars(self).items():
            part.load_state_dict(state[name])


def optimizer(
    settings: parts.Optimizer, groups: dict[str, list[nn.Parameter]], rate: float | parts.GroupRates
) -> torch.optim.Optimizer:
    """The optimiser of one phase.

    Args:
        settings: the method and its constants.
        groups: what is trained of the `features` and of the `head`; an empty group is left out.
        rate: of both, or of each.
    """
    rates = rate.model_dump() if isinstance(rate, parts.GroupRates) else dict.fromkeys(("features", "head"), rate)
    trained = [{"params": groups[name], "lr": rates[name]} for name in ("features", "head") if groups[name]]
    s, decay = settings, settings.weight_decay
    if isinstance(s, parts.Sgd):
        return torch.optim.SGD(trained, momentum=s.momentum, nesterov=s.nesterov, weight_decay=decay, fused=True)
    if isinstance(s, parts.RmsProp):  # it has no fused kernel; torch itself takes `foreach` on a GPU
        return torch.optim.RMSprop(trained, alpha=s.rho, eps=s.epsilon, momentum=s.momentum, weight_decay=decay)
    method = torch.optim.Adam if isinstance(s, parts.Adam) else torch.optim.AdamW
    return method(trained, betas=(s.betas[0], s.betas[1]), eps=s.epsilon, weight_decay=decay, fused=True)


class Rates:
    """Sets the learning rates of an optimiser within one phase."""

    def __init__(self, schedule: parts.Schedule, optimizer: torch.optim.Optimizer, epochs: int, steps: int) -> None:
        """For a new `optimizer` and a phase of `epochs` with `steps` steps each."""
        self.schedule, self.optimizer, self.epochs, self.steps = schedule, optimizer, epochs, steps
        self.base = [group["lr"] for group in optimizer.param_groups]
        self.plateau: ReduceLROnPlateau | None = None
        if isinstance(schedule, parts.Plateau):
            self.plateau = ReduceLROnPlateau(optimizer, factor=schedule.factor, patience=schedule.patience)

    def before_step(self, epoch: int, step: int) -> float:
        """Set the rates for `step` of `epoch`, both from 0 within the phase; returns the rate of the last group."""
        if self.plateau is None:
            factor = _factor(self.schedule, epoch, step, self.epochs, self.steps)
            for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
                group["lr"] = base * factor
        return float(self.optimizer.param_groups[-1]["lr"])

    def after_epoch(self, val_loss: float) -> None:
        """Give the validation loss of an epoch to a plateau."""
        if self.plateau is not None:
            self.plateau.step(val_loss)

    def state_dict(self) -> dict[str, Any]:
        """The memory of a plateau; empty for all other schedules."""
        return self.plateau.state_dict() if self.plateau is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        if self.plateau is not None:
            self.plateau.load_state_dict(state)


def _factor(s: parts.Schedule, epoch: int, step: int, epochs: int, steps: int) -> float:
    now, done = epoch + step / steps, epoch * steps + step
    if isinstance(s, parts.OneCycle):
        low, last, peak = 1 / s.start, epochs * steps - 1, max(s.rise * epochs * steps - 1, 1e-12)
        if done <= peak:
            return _half_cosine(low, 1.0, done / peak)
        return _half_cosine(1.0, low / s.end, (done - peak) / max(last - peak, 1e-12))
    if not isinstance(s, parts.Plateau) and now < s.warmup:
        return (done + 1) / (s.warmup * steps + 1)
    if isinstance(s, parts.Step):
        return float(s.factor ** (epoch // s.every))
    if isinstance(s, parts.Cosine):
        return _half_cosine(1.0, s.final, min((now - s.warmup) / max(epochs - s.warmup, 1e-12), 1.0))
    return 1.0


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
