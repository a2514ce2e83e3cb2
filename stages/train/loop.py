"""The training loop: plain tensors, one optimiser step after another, a checkpoint after each epoch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.core import cells, console
from stages.core.errors import UserError
from stages.core.seeding import number
from stages.train import distributed, feed, losses, machine, order
from stages.train.optimise import Optimisation
from stages.train.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn
    from tqdm import tqdm

    from stages.train.augment import Mixed
    from stages.train.checkpoint import Checkpoint
    from stages.train.params import Cell
    from stages.train.sections import Phase
    from stages.train.zoo.network import Network

    Batch = Callable[[int, NDArray[np.int64], Tensor], tuple[Tensor, Mixed | None]]


@dataclass
class Stage:
    """The part `rest` that one phase trains, its inputs from `batch`, and the logits of the validation images.

    For each epoch `reader` gives a function that reads rows for `batch` from the disk.
    """

    rest: nn.Module
    batch: Batch
    validation: Callable[[], Tensor]
    reader: Callable[[int], Callable[[NDArray[np.int64]], None]] = lambda _epoch: lambda _rows: None


@dataclass
class Progress:
    """How far the training of a cell is; a checkpoint holds it beside the tensors."""

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best: float = math.inf
    lowest: float = math.inf
    stale: int = 0


class Trainer:
    """Trains one network through all phases of a cell."""

    checkpoint: Checkpoint
    bar: tqdm[Any]
    # Of the present phase:
    stage: Stage
    optimisation: Optimisation
    step: Step

    def __init__(
        self, cell: Cell, seed: int, network: Network, labels: dict[str, Tensor], weights: Tensor | None, name: str
    ) -> None:
        """Nothing is trained yet.

        Args:
            cell: the settings.
            seed: of the cell.
            network: on its device, initialised.
            labels: class indices of "train" and "val", on the device.
            weights: of the classes in the loss, or None.
            name: of the cell, for the progress bar and errors.
        """
        self.cell, self.seed, self.network = cell, seed, network
        self.labels, self.weights, self.name = labels, weights, name
        self.device = labels["train"].device
        self.dtype = machine.autocast_dtype(cell, self.device)
        self.progress = Progress()
        self.best_state: dict[str, Tensor] = {}
        self.trained: set[str] = set()
        self.seconds: list[float] = []

    def fit(self, stage_of: Callable[[Phase], Stage], checkpoint: Checkpoint) -> None:
        """Train all phases, or the rest after an interruption; the network ends with the weights of the chosen epoch.

        Args:
            stage_of: sets what is trainable in a phase, and gives its inputs.
            checkpoint: read once, then written after every epoch.

        Raises:
            UserError: the loss is no longer a number.
        """
        with distributed.first():  # it removes a damaged one
            state = checkpoint.load(self.device)
        if state is not None:
            self._restore(state)
            console.say(f"{self.name}: goes on after epoch {self.progress.epoch} of {self.cell.total_epochs}")
        images = len(self.labels["train"])
        done, begin = self.progress.epoch, 0
        total, self.checkpoint = self.cell.total_epochs * images, checkpoint
        self.bar = console.progress(total=total, initial=done * images, desc=self.name, unit=" images", unit_scale=True)
        with self.bar:
            for phase in self.cell.schedule_of_phases:
                if begin + phase.epochs > self.progress.epoch and not self._stopped():
                    self.stage = stage_of(phase)
                    self._phase(phase, begin, state)
                    state = None
                begin += phase.epochs
        if self.best_state and self.progress.best_epoch != self.progress.epoch:
            self.network.load_state_dict(self.best_state, strict=False)

    def _phase(self, phase: Phase, begin: int, state: dict[str, Any] | None) -> None:
        """Train the rest of a phase, which begins after `begin` epochs of earlier phases."""
        self.trained |= {name for name, p in self.network.named_parameters() if p.requires_grad}
        steps = math.ceil(len(list(self._batches(np.arange(len(self.labels["train"]))))) / self.cell.accumulate)
        self.optimisation = Optimisation(self.cell, self.network, phase, steps, self.device, self.dtype)
        if state is not None and self.progress.epoch > begin:
            self.optimisation.load_state_dict(state["optimisation"])
        rates, scaler = self.optimisation.rates, self.optimisation.scaler
        self.step = Step(self.cell, self.stage.rest, self.network, self.weights, self.dtype, scaler)
        for epoch in range(self.progress.epoch + 1, begin + phase.epochs + 1):
            start = time.perf_counter()
            in_phase = epoch - begin - 1
            rate = rates.before_step(in_phase, 0)
            trained = self._epoch(epoch, in_phase)
            distributed.average_buffers(self.network)
            val_loss, val_top1 = self._validate()
            self._record((epoch, rate, *trained, val_loss, val_top1))
            rates.after_epoch(val_loss)
            self.seconds.append(time.perf_counter() - start)
            if self.checkpoint.due and not distributed.rank():
                self.checkpoint.save(self._state())
            self.bar.set_postfix(self.progress.history[-1])
            if self._stopped():
                break

    def _epoch(self, epoch: int, in_phase: int) -> tuple[float, float]:
        """One pass over the training images: the means of the losses and accuracies of its batches."""
        labels, accumulate, window = self.labels["train"], self.cell.accumulate, self.cell.shuffle_window
        taken = order.permutation(self.seed, epoch, len(labels), window)
        # Dropout alone draws from torch's global generator; the processes of a cell draw different numbers.
        torch.manual_seed(number(self.seed, "dropout", epoch, *([distributed.rank()] if distributed.rank() else [])))
        self.network.train()
        batches = list(self._batches(taken))
        batch_losses, batch_hits = (torch.zeros(len(batches), device=self.device) for _ in range(2))
        ready = order.ahead(batches, taken, window, self.stage.reader(epoch)) if window is not None else batches
        for i, rows in enumerate(ready):
            mine = distributed.share(rows)
            x, mixed = self.stage.batch(epoch, mine, labels)
            y = labels[feed.place(mine, self.device)]
            part = self._part(y, mixed, len(rows))
            group = batches[i - i % accumulate : i - i % accumulate + accumulate]
            share = len(rows) / sum(len(b) for b in group) if accumulate > 1 else 1.0
            # The gradients of the processes are averaged: each counts by its part of the batch.
            loss, batch_hits[i] = self.step(x, y, mixed, share * part * distributed.processes())
            batch_losses[i] = loss * part
            if (i + 1) % accumulate == 0 or i + 1 == len(batches):
                self.optimisation.rates.before_step(in_phase, i // accumulate)
                self.optimisation.step(self.cell.clip_norm)
            self.bar.update(len(rows))
            if i % 64 == 63:
                self._refuse_nan(distributed.summed(batch_losses[: i + 1]), epoch)
        batch_losses, batch_hits = distributed.summed(batch_losses), distributed.summed(batch_hits)
        self._refuse_nan(batch_losses, epoch)
        sizes = torch.tensor([len(b) for b in batches], dtype=torch.float64)
        mean = float((batch_losses.double().cpu() * sizes).sum() / sizes.sum())
        return mean, float(batch_hits.double().cpu().sum() / sizes.sum())

    def _part(self, y: Tensor, mixed: Mixed | None, count: int) -> float:
        """The share of the images of this process in the mean loss of a batch of `count`."""
        if distributed.processes() == 1:
            return 1.0
        if self.weights is None:
            return len(y) / count
        own = losses.weight(y, mixed, self.weights)
        return float(own / distributed.summed(own))

    def _refuse_nan(self, batch_losses: Tensor, epoch: int) -> None:
        """End the training where the loss of a batch is infinite or not a number."""
        bad = (~torch.isfinite(batch_losses)).nonzero()
        if len(bad):
            step = int(bad[0]) + 1
            raise UserError(
                f"{self.name}: the loss is {float(batch_losses[step - 1])} at epoch {epoch}, step {step}; "
                "lower `lr`, or set `clip_norm`, in params.yaml"
            )

    def _batches(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Batches of `batch` images; a rest of fewer than two images for each process joins the last batch."""
        size, start = self.cell.batch, 0
        while start < len(order):
            left = len(order) - start - size
            stop = len(order) if size > 1 and 0 < left < 2 * distributed.processes() else start + size
            yield order[start:stop]
            start = stop

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        """Cross entropy (without smoothing or weights) and accuracy on the validation images."""
        y = self.labels["val"]
        self.network.eval()
        logits = self.stage.validation()
        loss = torch.nn.functional.cross_entropy(logits.double(), y)
        return float(loss), float((logits.argmax(1) == y).double().mean())

    def _record(self, row: tuple[int, float, float, float, float, float]) -> None:
        """Append a row to the history, whose columns are `cells.HISTORY`, and note whether its epoch is the best."""
        p, (epoch, *_, loss, top1) = self.progress, row
        p.epoch = epoch
        p.history.append(dict(zip(cells.HISTORY, row, strict=True)))
        if not math.isfinite(loss):
            raise UserError(f"{self.name}: the validation loss is {loss} at epoch {epoch}; lower `lr` in params.yaml")
        p.stale = 0 if loss < p.lowest else p.stale + 1
        p.lowest = min(p.lowest, loss)
        if self.cell.checkpoint == "last":
            p.best_epoch = epoch
            return
        score = loss if self.cell.checkpoint == "best_val_loss" else -top1
        if score < p.best:
            p.best_epoch, p.best = epoch, score
            self.best_state = {name: value.detach().clone() for name, value in self._changing().items()}

    def _stopped(self) -> bool:
        rule = self.cell.early_stopping
        return rule is not None and self.progress.stale >= rule.patience

    def _changing(self) -> dict[str, Tensor]:
        """The parameters that some phase so far has trained, and all running statistics."""
        frozen = {name for name, _ in self.network.named_parameters()} - self.trained
        return {name: value for name, value in self.network.state_dict().items() if name not in frozen}

    def _state(self) -> dict[str, Any]:
        return {
            "progress": vars(self.progress),
            "network": self._changing(),
            "best": self.best_state,
            "optimisation": self.optimisation.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.best_state = state["best"]
        self.network.load_state_dict(state["network"], strict=False)
        self.trained = set(state["network"])
