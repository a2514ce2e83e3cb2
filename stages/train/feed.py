"""The inputs of the network: training batches, and whole splits in fixed chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.train import distributed, store
from stages.train.augment import Augmenter, Mixed
from stages.train.normalise import to_float
from stages.train.sections import Augment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from stages.train.params import Cell

_KEEP = 1 << 29  # bytes of normalised training images that are kept instead of being made again every epoch
_KEEP_ON_GPU = 1 << 32  # the same on a CUDA device, where each epoch's augmented images are kept too
_CHUNK = 1 << 22  # pixels of one chunk
_CHUNK_ON_GPU = 1 << 23  # pixels augmented at once on a CUDA device


@dataclass(frozen=True)
class Images:
    """Some rows of the pixels, as an array that is not copied."""

    pixels: NDArray[np.uint8] | Tensor
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> Any:
        rows = self.rows[chosen]
        if isinstance(self.pixels, torch.Tensor):
            return self.pixels[place(rows, self.pixels.device)]
        return self.pixels[rows]

    def fetch(self, chosen: NDArray[np.int64]) -> None:
        """Read the share of this process of some images from the disk, if they are there, into the system's cache."""
        if isinstance(self.pixels, np.memmap):
            store.fetch(self.pixels, distributed.share(np.sort(self.rows[chosen])))

    @property
    def size(self) -> int:
        """Side in px."""
        return int(self.pixels.shape[1])

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.pixels.device if isinstance(self.pixels, torch.Tensor) else torch.device("cpu")


def place(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device; it is copied from pinned memory, so that nothing waits for the device to catch up."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def resident(pixels: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8] | Tensor:
    """The pixels on a CUDA device where they take less than half of its free memory, else as they are."""
    if device.type != "cuda" or pixels.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return pixels
    return torch.from_numpy(np.array(pixels)).to(device)


def group(cell: Cell) -> int | None:
    """The number of images that a backbone always takes at once; None for other networks, which take whole chunks.

    The shape of a batch can decide about the order in which a sum is rounded. Every pass over whole splits, and
    everything frozen, therefore runs in groups of one size, filled up where images are missing: an image's activations
    are the same bits in the cache, in a live run and in a later prediction.
    """
    if cell.model.name != "backbone":
        return None
    return 32 if cell.size <= 64 else 16


def chunks(count: int, cell: Cell) -> Iterator[slice]:
    """Slices over the `count` images of a split: always the same ones, for the reason that `group` gives."""
    step = group(cell) or min(max(_CHUNK // cell.size**2, 16), 512)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def in_groups(part: Callable[[Tensor], Tensor], x: Tensor, size: int | None) -> Tensor:
    """`part(x)`, computed in groups of exactly `size` rows; the rows that fill up the last group are cut off again."""
    if size is None or len(x) == size:
        return part(x)
    out = []
    for start in range(0, len(x), size):
        rows = x[start : start + size]
        missing = size - len(rows)
        full = torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows
        out.append(part(full)[: len(rows)])
    return torch.cat(out)


class Live:
    """Feeds normalised images."""

    def __init__(self, images: Images, cell: Cell, normaliser: nn.Module, seed: int, device: torch.device) -> None:
        """`images` are those of training."""
        self.normaliser, self.device = normaliser, device
        self.augmenter = Augmenter(cell.augmentation, seed, images, cell.shuffle_window)
        self.kept: Tensor | None = None
        self.mixed: Mixed | None = None
        self.epoch = 0  # whose augmented images are kept
        small = len(images) * images.size**2 * 12 <= (_KEEP_ON_GPU if device.type == "cuda" else _KEEP)
        self.by_epoch = small and device.type == "cuda" and cell.augmentation != Augment()
        if small and cell.augmentation == Augment():
            self.kept = torch.cat([whole(images[c], normaliser, device) for c in chunks(len(images), cell)])

    def __call__(self, epoch: int, rows: NDArray[np.int64], labels: Tensor) -> tuple[Tensor, Mixed | None]:
        """Training images at `rows` of the training split: float32 (n, 3, size, size), and their mixing."""
        if self.by_epoch and epoch != self.epoch:
            self._keep(epoch, labels)
        if self.kept is None:
            return self._made(epoch, rows, labels)
        at = place(rows, self.device)
        return self.kept[at], self.mixed and Mixed(self.mixed.labels[at], self.mixed.share[at])

    def reader(self, _epoch: int) -> Callable[[NDArray[np.int64]], None]:
        """The function that reads training images from the disk; it does nothing where they are kept in memory."""
        return self.augmenter.images.fetch if self.kept is None else lambda _rows: None

    def _made(self, epoch: int, rows: NDArray[np.int64], labels: Tensor) -> tuple[Tensor, Mixed | None]:
        x, mixed = self.augmenter(epoch, rows, labels)
        normalised: Tensor = self.normaliser(x.to(self.device))
        return normalised, mixed

    def _keep(self, epoch: int, labels: Tensor) -> None:
        """Augment the whole epoch at once: batch by batch, a GPU would wait for each of the many small operations."""
        self.kept = self.mixed = None  # frees the memory
        size, count = self.augmenter.size, self.augmenter.count
        kept = torch.empty(count, 3, size, size, device=self.device)
        mixed: list[Mixed] = []
        step = max(1, _CHUNK_ON_GPU // size**2)
        for start in range(0, count, step):
            rows = np.arange(start, min(start + step, count))
            kept[start : start + step], more = self._made(epoch, rows, labels)
            mixed += [more] if more else []
        self.kept, self.epoch = kept, epoch
        if mixed:
            self.mixed = Mixed(torch.cat([m.labels for m in mixed]), torch.cat([m.share for m in mixed]))


def whole(images: NDArray[np.uint8] | Tensor, normaliser: nn.Module, device: torch.device) -> Tensor:
    """Images as they are: uint8 (n, size, size, 3) to normalised float32 (n, 3, size, size)."""
    normalised: Tensor = normaliser(to_float(images, device))
    return normalised
