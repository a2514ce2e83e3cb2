"""The checkpoint of an unfinished cell: one file, whole or absent, which DVC does not track."""

from __future__ import annotations

import pickle
import shutil
import time
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stages.core import cells, console, files
from stages.train import data, store

if TYPE_CHECKING:
    from stages.train.params import Cell

# Of stages/, beside its folder train.
DECIDING = (
    "__init__.py",
    *(f"core/{name}.py" for name in ("cells", "files", "intact", "params", "rendered", "seeding")),
)
_SHARE = 0.05  # of the time, at most, goes into checkpoints; one that takes less than _FREE seconds is always written
_FREE = 0.1


def fingerprint(
    cell: Cell, seed: int, pixels: list[object], machine: dict[str, Any], weights: dict[str, str] | None
) -> str:
    """A digest of everything that decides about a cell's bytes.

    Args:
        cell: resolved settings.
        seed: of the cell.
        pixels: `pixels.key`, which stands for the images.
        machine: `machine.describe`.
        weights: `zoo.pretrained`; only the content counts, wherever it was found.
    """
    return store.digest(
        {
            "cell": cell.model_dump(),
            "seed": seed,
            "pixels": pixels,
            "split": [files.sha256(path) for path in (cells.split_file(seed), data.CLASSES)],
            "labels": files.sha256(data.CLEAN / "manifest.csv"),
            "weights": weights and weights["sha256"],
            "code": code(),
            "machine": machine,
        }
    )


def code() -> str:
    """Digest of the source code that dvc.yaml names as dependencies of `train`."""
    here = Path(__file__).parent
    sources = [*sorted(here.rglob("*.py")), *(here.parent / name for name in DECIDING)]
    return store.digest([[str(p.relative_to(here.parent)), files.sha256(p)] for p in sources])


class Checkpoint:
    """The state of one unfinished cell."""

    def __init__(self, fingerprint: str) -> None:
        self.folder = store.home() / ".checkpoints" / fingerprint
        self.file = self.folder / "last.pt"
        self.saved, self.cost = 0.0, 0.0

    @property
    def due(self) -> bool:
        """Whether to write the next one. On a GPU an epoch can be over before its state is on the disk."""
        return self.cost < _FREE or time.perf_counter() - self.saved > self.cost / _SHARE

    def save(self, state: dict[str, Any]) -> None:
        """Replace the last state."""
        begin = time.perf_counter()
        with files.atomic(self.file) as partial:
            torch.save(state, partial)
        self.saved = time.perf_counter()
        self.cost = self.saved - begin

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last state, or None where the cell begins: a damaged one is removed, since it decides about bytes."""
        if not self.file.exists():
            return None
        try:
            with zipfile.ZipFile(self.file) as archive:
                damaged = archive.testzip()  # the check sums that torch writes and does not read
            state: dict[str, Any] = {} if damaged else torch.load(self.file, map_location=device, weights_only=True)
        except (zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, EOFError, ValueError, NotImplementedError):
            state = {}
        if isinstance(state, dict) and "progress" in state:
            return state
        console.say(f"{self.file} is damaged; it is removed, and the cell begins anew")
        self.remove()
        return None

    def remove(self) -> None:
        """Remove the state: the cell is done, or the state is damaged."""
        shutil.rmtree(self.folder, ignore_errors=True)
