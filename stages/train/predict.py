"""Logits of a trained cell.

`train` writes logits.npz with these functions and later stages predict with them, so the same images get the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError

from stages.core import cells, files, intact
from stages.train import data, distributed, feed, machine, normalise, pixels, zoo
from stages.train.params import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from stages.train.zoo.network import Network


@dataclass(frozen=True)
class Loaded:
    """A trained cell, ready to predict."""

    network: Network
    normaliser: nn.Sequential
    cell: Cell
    data: data.Data
    pixels: NDArray[np.uint8]
    pixels_key: list[object]
    """`pixels.key`, which stands for the images"""
    device: torch.device

    @property
    def classes(self) -> list[str]:
        """Labels in the order of the logits."""
        return self.data.classes

    def images(self, split: str) -> NDArray[np.uint8]:
        """The images of a split, uint8 (n, size, size, 3), in the order of the split."""
        return self.pixels[self.data.rows[split]]

    def logits(self, inputs: Iterable[Tensor], rest: nn.Module | None = None) -> Tensor:
        """Logits (images, classes) on the device, of chunks of inputs for `forward`.

        Several processes of a cell, which all call this at the same time, compute some of the chunks each.
        """
        turns, turn = distributed.processes(), distributed.rank()
        parts = [
            forward(self, x, rest) if i % turns == turn else torch.zeros(len(x), len(self.classes), device=self.device)
            for i, x in enumerate(inputs)
        ]
        return distributed.summed(torch.cat(parts))


def load(variant: str, seed: int) -> Loaded:
    """Load a trained cell with the settings that it was trained with, and the images of the study.

    Raises:
        UserError: the cell is not trained yet, or its files or its classes do not fit together.
    """
    config = cells.train_folder(variant, seed) / "config.json"
    path = cells.run_folder(variant, seed) / "model.safetensors"
    if not path.exists():
        raise files.missing(path)
    loaded = restored(config, path, seed)
    cell = loaded.cell
    images = data.load(seed, by_id=cell.by_id)
    if loaded.classes != images.classes:
        raise intact.damaged(config, "the network was trained on other classes than the split has now")
    key = pixels.key(images.paths, cell.size, cell.resize)
    return replace(loaded, data=images, pixels=pixels.load(images.paths, cell.size, cell.resize, key), pixels_key=key)


def restored(config_path: Path, path: Path, seed: int) -> Loaded:
    """A trained network without images, from its config.json and its model.safetensors.

    The settings come from config.json and not from params.yaml, which may have changed since.

    Raises:
        UserError: the two files do not fit together.
    """
    config = files.read_json(config_path)
    try:
        cell, classes = Cell.model_validate(config["cell"]), [str(name) for name in config["classes"]]
    except (ValidationError, TypeError) as error:
        raise intact.damaged(config_path, " ".join(str(error).split())[:200]) from None
    device = machine.prepare(cell)
    model = cell.model
    if model.name == "backbone":  # its weights are in the file; the originals need not be at hand
        model = model.model_copy(update={"weights": "none"})
    network, tensors = zoo.build(model, len(classes), cell.size, seed, None), intact.tensors(path)
    own = {name: value for name, value in tensors.items() if not name.startswith(normalise.PREFIX)}
    try:
        network.load_state_dict(own)
        normaliser = normalise.load(cell, tensors).to(device)
    except (RuntimeError, KeyError) as error:
        reason = f"other tensors than the network has: {' '.join(str(error).split())[:200]}"
        raise intact.damaged(path, reason) from None
    nothing = np.zeros((0, cell.size, cell.size, 3), np.uint8)
    no_images = data.Data(classes, [], [], np.zeros(0, np.int64), {})
    return Loaded(machine.place(network, cell, device).eval(), normaliser, cell, no_images, nothing, [], device)


def logits(loaded: Loaded, images: Any) -> NDArray[np.float32]:
    """Logits of images.

    Args:
        loaded: a trained cell.
        images: uint8 (n, size, size, 3), or what gives them by slices; a whole split in the order of its pixels gives
            the bits of logits.npz.

    Returns:
        float32 (n, classes).
    """
    return loaded.logits(normalised(loaded, images)).cpu().numpy()


def normalised(loaded: Loaded, images: Any) -> Iterator[Tensor]:
    """The chunks of `images`, normalised, as inputs of the network."""
    for chunk in feed.chunks(len(images), loaded.cell):
        yield feed.whole(images[chunk], loaded.normaliser, loaded.device)


def forward(loaded: Loaded, x: Tensor, rest: nn.Module | None = None) -> Tensor:
    """Logits float32 (n, classes) of normalised images (n, 3, size, size), on the device.

    With `rest`, the part behind a freeze boundary, `x` is the output of the frozen part.
    """
    loaded.network.eval()
    return evaluated(loaded, x, rest or loaded.network).float()


@torch.no_grad()
def evaluated(loaded: Loaded, x: Tensor, part: nn.Module) -> Tensor:
    """The output of a part of the network, in the dtype of the cell."""
    dtype = machine.autocast_dtype(loaded.cell, loaded.device)
    if loaded.cell.channels_last and x.dim() == 4:
        x = x.to(memory_format=torch.channels_last)
    with torch.autocast(loaded.device.type, dtype, enabled=dtype is not None):
        return feed.in_groups(part, x, feed.group(loaded.cell))
