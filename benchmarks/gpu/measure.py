"""Images per second of the training engine on a device, against a bare torch loop on ready tensors."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from stages.core import console
from stages.train import feed, machine, normalise, order, step, zoo
from stages.train.checkpoint import Checkpoint
from stages.train.loop import Stage, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stages.train.params import Cell

WAYS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16", "channels_last": True},
    "bf16, compiled": {"precision": "bf16", "channels_last": True, "compile": True},
}
_EPOCHS = 4  # the first one pays for what is made once


class _Nowhere(Checkpoint):
    """An epoch here is far shorter than a real one; its checkpoint would count too much."""

    due = False

    def load(self, device: torch.device) -> None:
        """Begin anew."""


def rates(systems: dict[str, tuple[Cell, int]], folder: Path, deadline: float) -> Iterator[dict[str, Any]]:
    """A row for each system and way, as far as the time goes.

    Args:
        systems: name -> its cell, and how many images an epoch shall have.
        folder: for checkpoints, which are not written.
        deadline: of `time.monotonic`.
    """
    for way, changes in WAYS.items():
        for name, (cell, count) in systems.items():
            if time.monotonic() > deadline:
                return
            one = cell.model_copy(update=changes)
            row: dict[str, Any] = {"system": name, "way": way, "batch": cell.batch}
            try:
                row |= _engine(one, count, folder)
                row["bare"] = _bare(one, count)
                if way == "bf16":
                    step.RECORD = False
                    row["not recorded"] = _engine(one, count, folder)["images_per_second"]
            except RuntimeError as error:  # one way that fails must not cost the others their turn
                row["error"] = str(error)[:500]
            finally:
                step.RECORD = True
            console.say(str(row))
            yield row


def _data(cell: Cell, count: int) -> tuple[feed.Images, torch.Tensor]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, cell.size, cell.size, 3), dtype=np.uint8)
    return feed.Images(pixels, np.arange(count)), torch.from_numpy(np.random.default_rng(1).integers(0, 10, count))


def _engine(cell: Cell, count: int, folder: Path) -> dict[str, Any]:
    """Images/s of whole epochs, and which share of an epoch goes into the input alone."""
    device = machine.prepare(cell)
    images, labels = _data(cell, count)
    labels = labels.to(device)
    network = machine.place(zoo.build(cell.model, 10, cell.size, 0), cell, device)
    fitted = normalise.fit(cell, images).to(device)
    live = feed.Live(feed.Images(feed.resident(images.pixels, device), images.rows), cell, fitted, 0, device)  # type: ignore[arg-type]
    rest = torch.compile(network, options={"fallback_random": True}) if cell.compile else network
    own = cell.model_copy(update={"epochs": _EPOCHS, "phases": None, "checkpoint": "last", "early_stopping": None})
    trainer = Trainer(own, 0, network, {"train": labels, "val": labels[:1]}, None, "bench")
    saved = _Nowhere("bench")
    saved.folder = folder
    saved.file = folder / "none.pt"
    trainer.fit(lambda _: Stage(rest, live, lambda: torch.zeros(1, 10, device=device)), saved)  # type: ignore[arg-type]
    epoch = median(trainer.seconds[1:])
    return {"images_per_second": count / epoch, "input_share": _input(live, cell, labels, count) / epoch}


def _input(live: feed.Live, cell: Cell, labels: torch.Tensor, count: int) -> float:
    """Seconds of an epoch's batches without a network."""
    taken = []
    for epoch in range(_EPOCHS + 1, 2 * _EPOCHS + 1):
        _wait(labels.device)
        begin = time.perf_counter()
        rows = order.permutation(0, epoch, count)
        for start in range(0, count, cell.batch):
            live(epoch, rows[start : start + cell.batch], labels)
        _wait(labels.device)
        taken.append(time.perf_counter() - begin)
    return median(taken[1:])


def _bare(cell: Cell, count: int) -> float:
    """Images/s of forward, backward and torch's own SGD on batches that lie ready on the device."""
    device = machine.prepare(cell)
    dtype = machine.autocast_dtype(cell, device)
    network = machine.place(zoo.build(cell.model, 10, cell.size, 0), cell, device).train()
    rest = torch.compile(network) if cell.compile else network
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)
    generator = torch.Generator(device).manual_seed(0)
    x = torch.randn(cell.batch, 3, cell.size, cell.size, device=device, generator=generator)
    if cell.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    y = torch.randint(10, (cell.batch,), device=device, generator=generator)

    def epoch() -> None:
        for _ in range(count // cell.batch):
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                logits = rest(x)
            F.cross_entropy(logits.float(), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
        _wait(device)

    taken = []
    for _ in range(_EPOCHS):
        begin = time.perf_counter()
        epoch()
        taken.append(time.perf_counter() - begin)
    return count // cell.batch * cell.batch / median(taken[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
