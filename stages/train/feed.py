"""What the network is fed with: training batches, and whole splits in fixed chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.core.seeding import generator
from stages.train.augment import Augmenter
from stages.train.normalise import to_float
from stages.train.sections import Augment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from stages.train.augment import Mixed
    from stages.train.params import Cell

_KEEP = 1 << 29  # bytes of normalised training images that are kept instead of being made again every epoch
_CHUNK = 1 << 22  # pixels of one chunk


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
            return self.pixels[torch.from_numpy(rows).to(self.pixels.device)]
        return self.pixels[rows]

    @property
    def size(self) -> int:
        """Side in px."""
        return int(self.pixels.shape[1])

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.pixels.device if isinstance(self.pixels, torch.Tensor) else torch.device("cpu")


def order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """In which order an epoch takes the `count` training images."""
    return generator(seed, "order", epoch).permutation(count)


def resident(pixels: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8] | Tensor:
    """The pixels on a CUDA device where they take less than half of its free memory, else as they are."""
    if device.type != "cuda" or pixels.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return pixels
    return torch.from_numpy(np.array(pixels)).to(device)


def group(cell: Cell) -> int | None:
    """How many images a backbone always takes at once; None for other networks, which take what fits into memory.

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
        self.augmenter = Augmenter(cell.augmentation, seed, images)
        self.kept: Tensor | None = None
        if cell.augmentation == Augment() and len(images) * images.size**2 * 12 <= _KEEP:
            self.kept = torch.cat([whole(images[c], normaliser, device) for c in chunks(len(images), cell)])

    def __call__(self, epoch: int, rows: NDArray[np.int64], labels: Tensor) -> tuple[Tensor, Mixed | None]:
        """Training images at `rows` of the training split: float32 (n, 3, size, size), and whom they are mixed with."""
        if self.kept is not None:
            return self.kept[torch.from_numpy(rows).to(self.device)], None
        x, mixed = self.augmenter(epoch, rows, labels)
        normalised: Tensor = self.normaliser(x.to(self.device))
        return normalised, mixed


def whole(images: NDArray[np.uint8] | Tensor, normaliser: nn.Module, device: torch.device) -> Tensor:
    """Images as they are: uint8 (n, size, size, 3) to normalised float32 (n, 3, size, size)."""
    normalised: Tensor = normaliser(to_float(images, device))
    return normalised
