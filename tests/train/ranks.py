"""What the processes of a cell do in tests: started anew, they have nothing of a test's own functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stages.core.errors import UserError
from stages.train import distributed, feed
from stages.train import run as engine
from stages.train.checkpoint import Checkpoint
from stages.train.params import Cell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.augment import Mixed

CELLS = Path("cells.json")  # variant -> settings


def all_of_them(_cell: Cell, _variant: str, seed: int) -> None:
    """Train every cell of CELLS, each in all processes; what each was fed is written to seen/<variant>-<process>."""
    whole = feed.Live.__call__
    log: list[list[Any]] = []

    def watched(self: feed.Live, epoch: int, rows: NDArray[np.int64], labels: Tensor) -> tuple[Tensor, Mixed | None]:
        x, mixed = whole(self, epoch, rows, labels)
        log.append([epoch, rows.tolist(), x.double().sum((1, 2, 3)).tolist(), torch.initial_seed()])
        return x, mixed

    feed.Live.__call__ = watched  # type: ignore[method-assign]
    for variant, settings in json.loads(CELLS.read_text()).items():
        log.clear()
        engine.run(Cell.model_validate(settings), variant, seed)
        Path(f"seen/{variant}-{distributed.rank()}").write_text(json.dumps(log))


def interrupted(cell: Cell, variant: str, seed: int) -> None:
    """Train until the state after epoch 2 is kept."""
    whole = Checkpoint.save

    def save(self: Checkpoint, state: dict[str, Any]) -> None:
        whole(self, state)
        if state["progress"]["epoch"] == 2:
            raise UserError("interrupted")

    Checkpoint.due = True  # type: ignore[assignment, method-assign]
    Checkpoint.save = save  # type: ignore[method-assign]
    engine.run(cell, variant, seed)


def fails_in_the_second(cell: Cell, variant: str, seed: int) -> None:  # noqa: ARG001
    """The second process has a bug; the first waits for it."""
    if distributed.rank():
        raise KeyError(variant)
    distributed.summed(torch.zeros(1))
