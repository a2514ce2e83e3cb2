"""Optimisers and learning rates.

torch's functional optimisers are called directly: their classes load torch's compiler at the first step, which costs
every cell two seconds. A learning rate is a pure function of the step: a resumed cell needs no scheduler's memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from stages.train import sections as parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_STATE = {"sgd": 1, "adam": 2, "adamw": 2, "rmsprop": 2}  # tensors of memory that each method keeps per parameter


class Optimiser:
    """One method over groups of parameters, each with its own rate."""

    def __init__(self, settings: parts.Optimizer, groups: Sequence[Sequence[Tensor]]) -> None:
        """Memory starts at zero.

        Args:
            settings: the method and its constants.
            groups: parameters that share a learning rate; each needs a gradient at every step.
        """
        self.settings = settings
        self.groups = [list(group) for group in groups]
        self.memory = [
            [[torch.zeros_like(p) for p in group] for _ in range(_STATE[settings.name])] for group in self.groups
        ]
        self.steps = [[torch.zeros((), device=p.device) for p in group] for group in self.groups]

    @torch.no_grad()
    def step(self, rates: Sequence[float]) -> None:
        """Change the parameters by their gradients, at one rate per group."""
        for group, memory, steps, rate in zip(self.groups, self.memory, self.steps, rates, strict=True):
            if group:
                self._update(group, [_gradient(p) for p in group], memory, steps, rate)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.groups:
            for parameter in group:
                parameter.grad = None

    def state(self) -> dict[str, object]:
        """Everything that a resumed cell needs; tensors and plain values."""
        return {"memory": self.memory, "steps": self.steps}

    def load(self, state: dict[str, object]) -> None:
        """Go on from `state()`."""
        for name in ("memory", "steps"):
            for mine, saved in zip(_flat(getattr(self, name)), _flat(state[name]), strict=True):
                mine.copy_(saved)

    def _update(
        self, group: list[Tensor], gradients: list[Tensor], memory: list[list[Tensor]], steps: list[Tensor], rate: float
    ) -> None:
        s = self.settings
        if isinstance(s, parts.Sgd):
            # torch's first step sets the momentum where this adds to zero; without dampening both are the same.
            buffers: list[Tensor | None] = list(memory[0]) if s.momentum else [None] * len(group)
            sgd(
                group, gradients, buffers, fused=True, weight_decay=s.weight_decay, momentum=s.momentum, lr=rate,
                dampening=0.0, nesterov=s.nesterov, maximize=False,
            )  # fmt: skip
        elif isinstance(s, parts.RmsProp):
            rmsprop(
                group, gradients, memory[0], [], memory[1] if s.momentum else [], steps, foreach=group[0].is_cuda,
                lr=rate, alpha=s.rho, eps=s.epsilon, weight_decay=s.weight_decay, momentum=s.momentum, centered=False,
            )  # fmt: skip
        else:
            method = adam if isinstance(s, parts.Adam) else adamw
            method(
                group, gradients, memory[0], memory[1], [], steps, fused=True, amsgrad=False, beta1=s.betas[0],
                beta2=s.betas[1], lr=rate, weight_decay=s.weight_decay, eps=s.epsilon, maximize=False,
            )  # fmt: skip


class LossScale:
    """Keeps float16 gradients from vanishing (Micikevicius et al. 2017); 1 and without effect in other dtypes.

    Twice as large after 2,000 good steps; half as large after a step whose gradients overflowed, which is left out.
    """

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.active, self.factor, self.good = dtype == torch.float16, 2.0**16 if dtype == torch.float16 else 1.0, 0

    def usable(self, groups: Sequence[Sequence[Tensor]]) -> bool:
        """Undo the scaling of the gradients; False where they overflowed."""
        if not self.active:
            return True
        gradients = [_gradient(p) for group in groups for p in group]
        finite = bool(torch.isfinite(torch.stack([g.sum() for g in gradients])).all())
        for gradient in gradients:
            gradient.div_(self.factor)
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.factor /= 2
        elif self.good % 2000 == 0:
            self.factor *= 2
        return finite

    def state(self) -> list[float]:
        """What a resumed cell needs."""
        return [self.factor, self.good]

    def load(self, state: list[float]) -> None:
        """Go on from `state()`."""
        self.factor, self.good = state[0], int(state[1])


class Rates:
    """The learning rate within one phase, as a factor on the cell's rate."""

    def __init__(self, schedule: parts.Schedule, epochs: int, steps: int) -> None:
        """`epochs` of the phase, `steps` per epoch."""
        self.schedule, self.epochs, self.steps = schedule, epochs, steps
        self.best, self.bad, self.reduced = math.inf, 0, 1.0

    def factor(self, epoch: int, step: int) -> float:
        """The factor at `step` of `epoch`, both from 0 within the phase."""
        s, now = self.schedule, epoch + step / self.steps
        if isinstance(s, parts.Plateau):
            return self.reduced
        if isinstance(s, parts.OneCycle):
            return _one_cycle(s, epoch * self.steps + step, self.epochs * self.steps)
        if now < s.warmup:
            return (epoch * self.steps + step + 1) / (s.warmup * self.steps + 1)
        if isinstance(s, parts.Step):
            return float(s.factor ** (epoch // s.every))
        if isinstance(s, parts.Cosine):
            done = (now - s.warmup) / max(self.epochs - s.warmup, 1e-12)
            return s.final + (1 - s.final) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return 1.0

    def after_epoch(self, val_loss: float) -> None:
        """Tell a plateau what the epoch came to (torch's ReduceLROnPlateau, relative threshold 1e-4)."""
        if not isinstance(self.schedule, parts.Plateau):
            return
        if val_loss < self.best * (1 - 1e-4):
            self.best, self.bad = val_loss, 0
        else:
            self.bad += 1
        if self.bad > self.schedule.patience:
            self.reduced, self.bad = self.reduced * self.schedule.factor, 0

    def state(self) -> list[float]:
        """Memory of a plateau."""
        return [self.best, self.bad, self.reduced]

    def load(self, state: list[float]) -> None:
        """Go on from `state()`."""
        self.best, self.bad, self.reduced = state[0], int(state[1]), state[2]


def pair(rate: float | parts.GroupRates) -> tuple[float, float]:
    """Rates of features and head."""
    return (rate.features, rate.head) if isinstance(rate, parts.GroupRates) else (rate, rate)


def _one_cycle(s: parts.OneCycle, step: int, total: int) -> float:
    low, peak = 1 / s.start, max(s.rise * total - 1, 1e-12)
    if step <= peak:
        return _between(low, 1.0, step / peak)
    return _between(1.0, low / s.end, (step - peak) / max(total - 1 - peak, 1e-12))


def _between(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise RuntimeError("a trainable parameter took no part in the loss")
    return parameter.grad


def _flat(nested: object) -> list[Tensor]:
    if isinstance(nested, list):
        return [tensor for part in nested for tensor in _flat(part)]
    return [nested]  # type: ignore[list-item]
