"""Forward and backward of one batch; on a CUDA device recorded once and replayed as one CUDA graph.

A small network's step is hundreds of kernels of a few microseconds each; to start them one by one takes longer than to
run them. A graph starts them all at once. They are the same kernels, so a replayed step has the bits of a plain one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from stages.core import console
from stages.train import distributed
from stages.train.augment import Mixed
from stages.train.losses import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn
    from torch.amp.grad_scaler import GradScaler

    from stages.train.params import Cell

    Outcome = tuple[Tensor, Tensor]

RECORD = True  # False: never record, to compare; bits do not depend on it
_DEVICE = "cuda"
_WARM_UP = 3  # steps before recording: libraries choose and load their kernels in the first ones


class Step:
    """Computes a batch's loss and gradients in one phase of training."""

    def __init__(
        self, cell: Cell, rest: nn.Module, network: nn.Module, weights: Tensor | None,
        dtype: torch.dtype | None, scaler: GradScaler,
    ) -> None:  # fmt: skip
        """Nothing is recorded yet.

        Args:
            cell: the settings.
            rest: the part that is trained, from its inputs to logits.
            network: the whole network, whose parameters and running statistics a step changes.
            weights: of the classes in the loss, or None.
            dtype: of autocast, None for float32.
            scaler: of the loss; without effect but in float16.
        """
        self.cell, self.rest, self.network, self.weights = cell, rest, network, weights
        self.dtype, self.scaler = dtype, scaler
        # The scale of float16 and the share of an accumulated batch change from step to step; a graph knows constants.
        # With several processes the step also waits for the others.
        constant = cell.precision != "fp16" and cell.accumulate == 1
        self.recordable = RECORD and constant and distributed.processes() == 1
        self.rehearsed = distributed.processes() == 1
        self.graph: _Graph | None = None

    def __call__(self, x: Tensor, y: Tensor, mixed: Mixed | None, factor: float) -> Outcome:
        """Leave the gradients of the loss, times `factor` and scaled, in `.grad`.

        Args:
            x: the batch.
            y: its labels.
            mixed: the partners of its images.
            factor: of the loss; 1 but where a step has several batches or processes.

        Returns:
            The loss and the number of images that are right, both on the device.
        """
        if not self.rehearsed:
            with distributed.rehearsal(self.network, x.device):
                self._compute(x, y, mixed, factor)
            self.rehearsed = True
        if self.recordable and x.device.type == _DEVICE and len(y) == self.cell.batch:
            inputs = [x, y] if mixed is None else [x, y, mixed.labels, mixed.share]
            self.graph = self.graph or self._record(inputs)
            if self.graph:
                return self.graph(inputs)
        return self._compute(x, y, mixed, factor)

    def _record(self, inputs: Sequence[Tensor]) -> _Graph | None:
        def work(x: Tensor, y: Tensor, *mixed: Tensor) -> Outcome:
            return self._compute(x, y, Mixed(*mixed) if mixed else None, 1.0, cache=False)

        try:
            return _Graph(self.network, inputs, lambda given: work(*given))
        except RuntimeError as error:
            self.recordable = False
            console.say(f"this network cannot be recorded as a CUDA graph, and trains without: {error}")
            return None

    def _compute(self, x: Tensor, y: Tensor, mixed: Mixed | None, factor: float, *, cache: bool = True) -> Outcome:
        if self.cell.channels_last and x.dim() == 4:
            x = x.to(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype is not None, cache_enabled=cache):
            logits = self.rest(x)
        loss = cross_entropy(logits.float(), y, mixed, self.weights, self.cell.loss.label_smoothing)
        self.scaler.scale(loss * factor if factor != 1.0 else loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), (logits.detach().argmax(1) == y).sum()


class _Graph:
    """A recorded step: inputs, outputs and gradients lie in the same memory at every replay."""

    def __init__(
        self, network: nn.Module, inputs: Sequence[Tensor], work: Callable[[Sequence[Tensor]], Outcome]
    ) -> None:
        """Record `work`; running statistics and the random state are left as they were."""
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.inputs = [value.clone() for value in inputs]
        buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
        state = torch.cuda.get_rng_state()
        try:
            self._warm_up(work)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.outcome = work(self.inputs)
            self.gradients = [p.grad for p in self.parameters]
        finally:
            self._forget()
            torch.cuda.set_rng_state(state)
            for buffer, before in buffers:
                buffer.copy_(before)

    def __call__(self, inputs: Sequence[Tensor]) -> Outcome:
        """Replay it on other inputs of the same shapes."""
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self.outcome

    def _warm_up(self, work: Callable[[Sequence[Tensor]], Outcome]) -> None:
        """On a stream of its own, as recording demands."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._forget()
                work(self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._forget()

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
