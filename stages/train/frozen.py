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
from stages.train import checkpoint, feed, machine, normalise, predict, store
from stages.train.augment import Augmenter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.augment import Mixed
    from stages.train.predict import Loaded

VIEWS_SEED = 0  # of the cached augmented views; all cells have the same seed, so that they share the views


@dataclass(frozen=True)
class Activations:
    """The outputs of the frozen part for some images."""

    stored: NDArray[Any]
    dtype: torch.dtype
    device: torch.device

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.array(self.stored[chosen])).view(self.dtype).to(self.device)


class Cache:
    """The activations of one cell at one freeze boundary."""

    def __init__(self, loaded: Loaded, prefix: nn.Module) -> None:
        """Nothing is computed before it is asked for.

        Args:
            loaded: the cell.
            prefix: the frozen part.
        """
        self.loaded, self.prefix = loaded, prefix
        self.key = {
            "part": _digest(prefix),
            "pixels": loaded.pixels_key,
            "normalise": [normalise.describe(loaded.normaliser), _tensors(loaded.normaliser.state_dict())],
            "layout": loaded.cell.channels_last,
            "machine": machine.describe(loaded.cell, loaded.device),
            "code": checkpoint.code(),
        }

    def split(self, name: str) -> Activations:
        """Of the images of a split, as they are, in the order in which their pixels are stored."""
        rows = np.sort(self.loaded.data.rows[name])
        return self.pictures(feed.Images(self.loaded.pixels, rows), rows, None, name)

    def pictures(self, images: Any, rows: NDArray[np.int64], change: object, title: str) -> Activations:
        """Of pictures that were made of the images at `rows`.

        Args:
            images: gives uint8 (n, size, size, 3) by slices; asked only where the activations are not there yet.
            rows: which images of the study they were made of.
            change: everything that decides about what was made of them, as JSON; None for nothing.
            title: for the progress bar.
        """
        return self._activations(rows, change, predict.normalised(self.loaded, images), title)

    def view(self, number: int) -> Activations:
        """Of the training images, augmented: the view `number`, from 1."""
        rows = self.loaded.data.training
        images = feed.Images(self.loaded.pixels, rows)
        augmenter = Augmenter(self.loaded.cell.augmentation, VIEWS_SEED, images)
        labels = torch.zeros(len(images), dtype=torch.int64)
        chunks = (
            self.loaded.normaliser(augmenter(number, np.arange(c.start, c.stop), labels)[0].to(self.loaded.device))
            for c in feed.chunks(len(rows), self.loaded.cell)
        )
        settings = self.loaded.cell.augmentation.model_dump()
        return self._activations(rows, [number, settings], chunks, f"view {number}")

    def _activations(self, rows: NDArray[np.int64], view: object, chunks: Iterator[Tensor], title: str) -> Activations:
        def build(target: Path) -> None:
            stored: NDArray[Any] = np.zeros(0, np.float32)
            parts = list(feed.chunks(len(rows), self.loaded.cell))
            for part, x in zip(progress(parts, desc=f"frozen part, {title}"), chunks, strict=True):
                out = self._forward(x)
                bits = out.contiguous().view(_BITS[out.dtype]).cpu().numpy()
                if not part.start:
                    stored = store.create(target, bits.dtype, (len(rows), *bits.shape[1:]))
                stored[part] = bits

        images = hashlib.sha256(rows.tobytes()).hexdigest()
        stored = store.array("activations", self.key | {"rows": images, "view": view}, build)
        return Activations(stored, _DTYPES[stored.dtype], self.loaded.device)

    def _forward(self, x: Tensor) -> Tensor:
        network, training = self.loaded.network, self.loaded.network.training
        network.eval()
        out = predict.evaluated(self.loaded, x, self.prefix)
        network.train(training)
        return out


class Cut:
    """A cell cut at its freeze boundary: logits with the bits of `predict.logits`, from the cache where it can be."""

    def __init__(self, loaded: Loaded, prefix: nn.Module | None, rest: nn.Module) -> None:
        """Without a `prefix`, `rest` is the whole network, and nothing is cached."""
        self.loaded, self.rest = loaded, rest
        self.cache = Cache(loaded, prefix) if prefix is not None else None

    def split(self, name: str) -> Tensor:
        """Logits of the images of a split, in its order; they are computed in the order of the pixels."""
        rows = np.sort(self.loaded.data.rows[name])
        logits = self.pictures(feed.Images(self.loaded.pixels, rows), rows, None, name)
        return logits[feed.place(np.searchsorted(rows, self.loaded.data.rows[name]), logits.device)]

    def pictures(self, images: Any, rows: NDArray[np.int64], change: object, title: str) -> Tensor:
        """Logits of pictures; the arguments are those of `Cache.pictures`."""
        if self.cache is None:
            return self.loaded.logits(predict.normalised(self.loaded, images))
        stored = self.cache.pictures(images, rows, change, title)
        return self.loaded.logits((stored[c] for c in feed.chunks(len(stored), self.loaded.cell)), self.rest)


def cut(loaded: Loaded) -> Cut:
    """Cut a cell behind the part that no phase trains; cells with the same part share its activations."""
    cell, network = loaded.cell, loaded.network
    if cell.model.name != "backbone" or cell.frozen != "cached":
        return Cut(loaded, None, network)
    network.set_trainable(*(phase.trainable or cell.model.trainable for phase in cell.schedule_of_phases))
    return Cut(loaded, *network.split_frozen())


class Cached:
    """Feeds activations instead of images."""

    def __init__(self, cache: Cache, views: int | None) -> None:
        """`views`: how many augmented views take turns; None for the images as they are."""
        self.cache, self.views = cache, views
        self.current: tuple[int, Activations] | None = None

    def __call__(self, epoch: int, rows: NDArray[np.int64], _labels: Tensor) -> tuple[Tensor, Mixed | None]:
        """Activations of the training images at `rows`."""
        return self._of(epoch)[rows], None

    def reader(self, epoch: int) -> Callable[[NDArray[np.int64]], None]:
        """The function that reads activations of an epoch from the disk; missing activations are computed first."""
        stored = self._of(epoch).stored
        return feed.Images(stored, np.arange(len(stored))).fetch

    def _of(self, epoch: int) -> Activations:
        view = 0 if self.views is None else view_of(epoch, self.views)
        if self.current is None or self.current[0] != view:
            self.current = (view, self.cache.view(view) if view else self.cache.split("train"))
        return self.current[1]


def view_of(epoch: int, views: int) -> int:
    """Which of the cached views, from 1, an epoch is trained on: they take turns."""
    return (epoch - 1) % views + 1


class LivePrefix(nn.Module):
    """The network with its frozen part computed at every step; a run from the cache has the same bits."""

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


def _digest(part: nn.Module) -> list[str]:
    return [hashlib.sha256(f"{part}{getattr(part, 'code', '')}".encode()).hexdigest(), _tensors(part.state_dict())]


def _tensors(named: dict[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for name, value in sorted(named.items()):  # in a file of weights their order is another
        whole.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()
