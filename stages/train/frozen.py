"""A frozen part of a network is computed once per image, and shared by every cell that begins with the same part.

The cache is cut at the freeze boundary and keyed by content: the part's code and weights, the pixels, their
normalisation, the view, the dtype and the machine. In float32, a cell trained on cached activations ends with the bytes
of the live run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from stages.core.console import progress
from stages.train import checkpoint, feed, machine, store
from stages.train.augment import Augmenter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.augment import Mixed
    from stages.train.params import Cell
    from stages.train.predict import Loaded

VIEWS_SEED = 0  # of the cached augmented views: the same for all cells, or they could not share them


@dataclass(frozen=True)
class Activations:
    """What the frozen part gives for every image of some rows."""

    stored: NDArray[Any]
    dtype: torch.dtype
    device: torch.device

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.array(self.stored[chosen])).view(self.dtype).to(self.device)


class Cache:
    """The activations of one cell at one freeze boundary."""

    def __init__(self, loaded: Loaded, prefix: nn.Module, pixels: list[object]) -> None:
        """Nothing is computed before it is asked for.

        Args:
            loaded: the cell.
            prefix: the frozen part.
            pixels: `pixels.key`, which stands for the images.
        """
        self.loaded, self.prefix = loaded, prefix
        self.key = {
            "part": _digest(prefix),
            "pixels": pixels,
            "normalise": [loaded.normaliser.describe(), _tensors(loaded.normaliser.tensors())],
            "layout": loaded.cell.channels_last,
            "machine": machine.describe(loaded.cell, loaded.device),
            "code": checkpoint.code(),
        }

    def split(self, name: str) -> Activations:
        """Of the images of a split, as they are."""
        images = feed.Images(self.loaded.pixels, self.loaded.data.rows[name])
        chunks = (
            feed.whole(images[c], self.loaded.normaliser, self.loaded.device) for c in _chunks(images, self.loaded.cell)
        )
        return self._activations(images, None, chunks, f"frozen part, {name}")

    def view(self, number: int) -> Activations:
        """Of the training images, augmented: the view `number`, from 1."""
        images = feed.Images(self.loaded.pixels, self.loaded.data.rows["train"])
        augmenter = Augmenter(self.loaded.cell.augmentation, VIEWS_SEED, images)
        labels = torch.zeros(len(images), dtype=torch.int64)
        chunks = (
            self.loaded.normaliser(augmenter(number, np.arange(c.start, c.stop), labels)[0].to(self.loaded.device))
            for c in _chunks(images, self.loaded.cell)
        )
        settings = self.loaded.cell.augmentation.model_dump()
        return self._activations(images, [number, settings], chunks, f"frozen part, view {number}")

    def _activations(self, images: feed.Images, view: object, chunks: Iterator[Tensor], title: str) -> Activations:

        def build(target: Path) -> None:
            stored: np.memmap[Any, Any] | None = None
            start = 0
            for chunk in progress(chunks, total=len(list(_chunks(images, self.loaded.cell))), desc=title):
                out = self._forward(chunk)
                bits = out.contiguous().view(_BITS[out.dtype]).cpu().numpy()
                if stored is None:
                    stored = np.lib.format.open_memmap(target, "w+", bits.dtype, (len(images), *bits.shape[1:]))
                stored[start : start + len(bits)] = bits
                start += len(bits)
            if stored is None:
                np.save(target, np.zeros((0,), np.float32))
            else:
                stored.flush()

        rows = hashlib.sha256(images.rows.tobytes()).hexdigest()
        stored = store.array("activations", self.key | {"rows": rows, "view": view}, build)
        return Activations(stored, _DTYPES[stored.dtype], self.loaded.device)

    @torch.no_grad()
    def _forward(self, x: Tensor) -> Tensor:
        network, training = self.loaded.network, self.loaded.network.training
        network.eval()
        dtype = machine.autocast_dtype(self.loaded.cell, self.loaded.device)
        if self.loaded.cell.channels_last:
            x = x.to(memory_format=torch.channels_last)
        with torch.autocast(self.loaded.device.type, dtype, enabled=dtype is not None):
            out = feed.in_groups(self.prefix, x, feed.group(self.loaded.cell))
        network.train(training)
        return out


class Cached:
    """Feeds activations instead of images."""

    def __init__(self, cache: Cache, views: int | None) -> None:
        """`views`: how many augmented views take turns; None for the images as they are."""
        self.cache, self.views = cache, views
        self.current: tuple[int, Activations] | None = None

    def __call__(self, epoch: int, rows: NDArray[np.int64], _labels: Tensor) -> tuple[Tensor, Mixed | None]:
        """Activations of the training images at `rows`."""
        view = 0 if self.views is None else view_of(epoch, self.views)
        if self.current is None or self.current[0] != view:
            self.current = (view, self.cache.view(view) if view else self.cache.split("train"))
        return self.current[1][rows], None


def view_of(epoch: int, views: int) -> int:
    """Which of the cached views, from 1, an epoch is trained on: they take turns."""
    return (epoch - 1) % views + 1


class LivePrefix(nn.Module):
    """The network with its frozen part computed at every step: what a cached run must equal."""

    def __init__(self, prefix: nn.Module, rest: nn.Module, group: int | None) -> None:
        super().__init__()
        self.parts, self.group = (prefix, rest), group

    def forward(self, x: Tensor) -> Tensor:
        """Logits of normalised images."""
        prefix, rest = self.parts
        with torch.no_grad():
            x = feed.in_groups(prefix, x, self.group)
        out: Tensor = rest(x)
        return out


# NumPy has no bfloat16: activations are stored as integers of the same width.
_BITS = {torch.float32: torch.float32, torch.bfloat16: torch.int16, torch.float16: torch.float16}
_DTYPES = {
    np.dtype(np.float32): torch.float32,
    np.dtype(np.int16): torch.bfloat16,
    np.dtype(np.float16): torch.float16,
}


def _chunks(images: feed.Images, cell: Cell) -> Iterator[slice]:
    return feed.chunks(len(images), cell)


def _digest(part: nn.Module) -> list[str]:
    return [hashlib.sha256(f"{part}{getattr(part, 'code', '')}".encode()).hexdigest(), _tensors(part.state_dict())]


def _tensors(named: dict[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for name, value in named.items():
        whole.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()
