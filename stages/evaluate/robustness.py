"""What changed test images cost: accuracy under each change, measured as the clean accuracy is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from sklearn import metrics as sk

from stages.core import console, seeding
from stages.evaluate import transforms
from stages.train import store
from stages.train.feed import Images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from stages.evaluate.params import Robustness
    from stages.train.frozen import Cut

COLUMNS = ["transform", "strength", "n", "changed", "top1", "macro_f1"]


def rows(
    cut: Cut, images: Images, clean: NDArray[np.float32], targets: NDArray[np.int64], settings: Robustness
) -> list[dict[str, Any]]:
    """The rows of robustness.csv; the first, `none`, is the unchanged images.

    `changed` is the fraction of images of which any pixel differs: a change that reached no image shows there. The
    strength that changes no pixel is not computed: its row holds the clean figures.

    Args:
        cut: the trained network; gives the logits.
        images: the test images.
        clean: their logits as they are, (images, classes).
        targets: their classes, (images,).
        settings: which changes, how strong, on how many images.
    """
    chosen = _subset(len(images), settings.images)
    images, targets = Images(images.pixels, images.rows[chosen]), targets[chosen]
    unchanged = _figures(clean[chosen], targets, 0.0)
    code = store.content([Path(transforms.__file__), Path(__file__)])
    found = [{"transform": "none", "strength": None, **unchanged}]
    for name, strength in console.progress(list(_plan(settings)), desc="robustness", unit="setting"):
        row = unchanged
        if strength != transforms.TRANSFORMS[name][1]:
            pictures = Changed(images, name, strength)
            change = [name, strength, torchvision.__version__, code]
            logits = cut.pictures(pictures, images.rows, change, f"{name} {strength:g}").cpu().numpy()
            row = _figures(logits, targets, _changed_share(cut, pictures, change))
        found.append({"transform": name, "strength": strength, **row})
    return found


def _plan(settings: Robustness) -> Iterator[tuple[str, float]]:
    """Every change and strength; the strength that changes nothing comes first."""
    wanted = settings.strengths()
    for name, (_, unchanged) in transforms.TRANSFORMS.items():
        strengths = wanted[name]
        if strengths and unchanged is not None:
            yield name, unchanged
        yield from ((name, strength) for strength in strengths if strength != unchanged)


def _figures(logits: NDArray[np.float32], targets: NDArray[np.int64], changed: float) -> dict[str, Any]:
    guess = logits.argmax(axis=1)
    return {
        "n": len(targets),
        "changed": changed,
        "top1": float(sk.accuracy_score(targets, guess)),
        "macro_f1": float(sk.f1_score(targets, guess, average="macro", zero_division=0)),
    }


def _subset(count: int, most: int | None) -> NDArray[np.int64]:
    """All images, or `most` of them, the same for every cell, in their order."""
    if most is None or most >= count:
        return np.arange(count)
    return np.sort(seeding.generator(0, "robustness").permutation(count)[:most])


class Changed:
    """Images under one change, uint8 (n, size, size, 3) by slices; one chunk of them is held at a time."""

    def __init__(self, images: Images, name: str, strength: float) -> None:
        """`name` and `strength` are those of `transforms.apply`."""
        self.images, self.name, self.strength = images, name, strength
        self._held: tuple[int, NDArray[np.uint8]] | None = None
        self._differ: dict[int, NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, wanted: slice) -> NDArray[np.uint8]:
        start, stop, size = wanted.start, wanted.stop, transforms.CHUNK
        parts = []
        for number in range(start // size, -(-stop // size)):
            first = number * size
            parts.append(self._chunk(number)[max(start - first, 0) : stop - first])
        return np.concatenate(parts)

    def differ(self) -> NDArray[np.bool_]:
        """For each image whether a pixel differs, (n,); chunks of which no slice was asked for are changed here."""
        numbers = range(-(-len(self) // transforms.CHUNK))
        for number in numbers:
            if number not in self._differ:
                self._chunk(number)
        return np.concatenate([self._differ[number] for number in numbers])

    def _chunk(self, number: int) -> NDArray[np.uint8]:
        if self._held is None or self._held[0] != number:
            position = number * transforms.CHUNK
            before = self.images[position : position + transforms.CHUNK]
            tensor = torch.from_numpy(before).permute(0, 3, 1, 2).contiguous()
            after = transforms.apply(self.name, tensor, self.strength, position)
            pixels = after.permute(0, 2, 3, 1).contiguous().numpy()
            self._differ[number] = (pixels != before).reshape(len(before), -1).any(axis=1)
            self._held = (number, pixels)
        return self._held[1]


def _changed_share(cut: Cut, pictures: Changed, key: list[Any]) -> float:
    """The fraction of the images of which any pixel differs.

    If the cache has the activations of the changed pictures, no picture is changed again; so it has this fraction, too.
    """
    if cut.cache is None:
        return float(pictures.differ().mean())
    key = [key, cut.loaded.pixels_key, pictures.images.rows.tolist()]
    return float(store.array("changed", key, lambda target: np.save(target, pictures.differ())).mean())
