"""Pictures under a change: made a chunk at a time, and not at all where a frozen part has already seen them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision

from stages.evaluate import transforms
from stages.train import store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.train.feed import Images
    from stages.train.frozen import Cut


class Moved:
    """Images under one change, uint8 (n, size, size, 3) by slices; one chunk of them is held at a time."""

    def __init__(self, images: Images, name: str, strength: float) -> None:
        """`name` and `strength` are those of `transforms.apply`."""
        self.images, self.name, self.strength = images, name, strength
        self.changed = np.zeros(len(images), dtype=bool)
        """of which images any pixel differs, as far as they were asked for"""
        self._held: tuple[int, NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, wanted: slice) -> NDArray[np.uint8]:
        start, stop, size = wanted.start, wanted.stop, transforms.CHUNK
        parts = []
        for number in range(start // size, -(-stop // size)):
            first = number * size
            parts.append(self._chunk(number)[max(start - first, 0) : stop - first])
        return np.concatenate(parts)

    def _chunk(self, number: int) -> NDArray[np.uint8]:
        if self._held is None or self._held[0] != number:
            here = slice(number * transforms.CHUNK, (number + 1) * transforms.CHUNK)
            before = self.images[here]
            tensor = torch.from_numpy(before).permute(0, 3, 1, 2).contiguous()
            after = transforms.apply(self.name, tensor, self.strength, here.start)
            pixels = after.permute(0, 2, 3, 1).contiguous().numpy()
            self.changed[here] = (pixels != before).reshape(len(before), -1).any(axis=1)
            self._held = (number, pixels)
        return self._held[1]


def logits(cell: Cut, images: Images, name: str, strength: float) -> tuple[NDArray[np.float32], float]:
    """Logits (images, classes) under a change, and the fraction of the images that it reached."""
    pictures = Moved(images, name, strength)
    change = [name, strength, torchvision.__version__, store.content([Path(transforms.__file__), Path(__file__)])]
    found = cell.pictures(pictures, images.rows, change, f"{name} {strength:g}").cpu().numpy()
    if cell.cache is None:
        return found, float(pictures.changed.mean())

    def build(target: Path) -> None:
        for start in range(0, len(images) if not pictures.changed.any() else 0, transforms.CHUNK):
            pictures[start : min(start + transforms.CHUNK, len(images))]
        np.save(target, pictures.changed)

    key: list[Any] = [change, cell.loaded.pixels_key, images.rows.tolist()]
    return found, float(store.array("changed", key, build).mean())
