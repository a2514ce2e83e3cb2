"""Augmentation of whole batches, with parameters drawn per image.

What happens to an image is a pure function of (seed, epoch, image): a table is drawn for all training images of an
epoch and a batch looks its rows up. Neither the batch, nor the order, nor where a cell was resumed changes a byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from stages.core.seeding import generator
from stages.train import colour, order
from stages.train.normalise import to_float

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.feed import Images
    from stages.train.sections import Augment

    Draw = Callable[[np.random.Generator], NDArray[np.float64]]

_PADDING = {"nearest": "border", "constant": "zeros", "reflect": "reflection"}
_CHUNK = 1 << 19  # pixels resampled at once, so that they stay in a processor's cache


@dataclass(frozen=True)
class Mixed:
    """How mixup or cutmix mixed a batch: label of each partner (n,), and own share of each image (n,), 0 to 1."""

    labels: Tensor
    share: Tensor


class Augmenter:
    """Augments the training images of one cell."""

    def __init__(self, settings: Augment, seed: int, images: Images, window: int | None = None) -> None:
        """Prepare the tables.

        Args:
            settings: what to do.
            seed: of the cell, or of the shared views.
            images: all training images.
            window: of `order.permutation`, from which partners are drawn; None: from all images.
        """
        self.settings, self.seed, self.images, self.window = settings, seed, images, window
        self.count, self.size = len(images), images.size
        self._epoch, self._table = -1, dict[str, Any]()

    def __call__(self, epoch: int, rows: NDArray[np.int64], labels: Tensor) -> tuple[Tensor, Mixed | None]:
        """Augmented images.

        Args:
            epoch: from 1.
            rows: positions of the wanted images among the training images.
            labels: class index of every training image (not of the batch alone), on the device.

        Returns:
            float32 (n, 3, size, size) of 0 to 255, and whom they were mixed with (None without mixup or cutmix).
        """
        x = self._alone(epoch, rows)
        if not (self.settings.mixup or self.settings.cutmix):
            return x, None
        partner = self._partners(epoch, rows)
        share, mask = self._shares(epoch, rows, x.device)
        mixed = x * mask + self._alone(epoch, partner) * (1 - mask)
        # The pixels may be in the main memory of a machine whose labels and network are on a GPU.
        return mixed, Mixed(labels[torch.from_numpy(partner).to(labels.device)], share.to(labels.device))

    def _partners(self, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        drawn, window = self._draw(epoch, "partner"), self.window
        if window is None:
            return (drawn[rows] * self.count).astype(np.int64)
        if "partners" not in self._table:
            taken = order.permutation(self.seed, epoch, self.count, window)
            self._table["partners"] = order.partners(taken, drawn, window)
        partners: NDArray[np.int64] = self._table["partners"]
        return partners[rows]

    def _alone(self, epoch: int, rows: NDArray[np.int64]) -> Tensor:
        s = self.settings
        if self._resamples():
            x = self._resample(epoch, rows, to_float(self.images[rows], self.images.device))
        else:
            x = to_float(self._windows(epoch, rows), self.images.device)
        if s.color_jitter is not None:
            x = colour.jitter(x, s.color_jitter, lambda name: self._tensor(epoch, name, rows, x))
        if s.random_erasing is not None:
            x = x * self._erased(epoch, rows, x)
        return x

    # --- flips and whole-pixel windows: copied, not resampled ---

    def _windows(self, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.uint8] | Tensor:
        pad, size = self.settings.crop_padding, self.size
        flip_x, flip_y = self._flips(epoch, rows)
        images: NDArray[np.uint8] | Tensor = self.images[rows]
        if not pad and not flip_x.any() and not flip_y.any():
            return images
        top, left = ((self._draw(epoch, n)[rows] * (2 * pad + 1)).astype(np.int64) - pad for n in ("top", "left"))
        if isinstance(images, torch.Tensor):
            return _windows_on_device(images, flip_x, flip_y, top, left)
        images[flip_x] = images[flip_x, :, ::-1]
        images[flip_y] = images[flip_y, ::-1]
        # A window that is cut out and then flipped is the mirrored window of the flipped image.
        top, left = np.where(flip_y, -top, top) + pad, np.where(flip_x, -left, left) + pad
        padded = np.zeros((len(rows), size + 2 * pad, (size + 2 * pad) * 3), np.uint8)
        padded[:, pad : pad + size, pad * 3 : (pad + size) * 3] = images.reshape(len(rows), size, size * 3)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size * 3), axis=(1, 2))
        return windows[np.arange(len(rows)), top, left * 3].reshape(images.shape)

    # --- everything else in one affine resampling ---

    def _resamples(self) -> bool:
        s = self.settings
        return bool(s.rotation or s.zoom or s.shift or s.random_resized_crop)

    def _matrices(self, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """From places in the result to places in the image, both -1 to 1: (n, 2, 3)."""
        s, n = self.settings, len(rows)

        def uniform(name: str) -> NDArray[np.float64]:
            return self._draw(epoch, name)[rows]

        angle = np.deg2rad((2 * uniform("rotation") - 1) * s.rotation)
        low, high = s.zoom or (1.0, 1.0)
        zoom = low + (high - low) * uniform("zoom")
        flip_x, flip_y = (np.where(flip, -1.0, 1.0) for flip in self._flips(epoch, rows))
        matrix = np.zeros((n, 2, 3), dtype=np.float64)
        matrix[:, 0, 0], matrix[:, 0, 1] = np.cos(angle) * flip_x / zoom, -np.sin(angle) * flip_y / zoom
        matrix[:, 1, 0], matrix[:, 1, 1] = np.sin(angle) * flip_x / zoom, np.cos(angle) * flip_y / zoom
        reach = 2 * s.shift.pixels(self.size) / self.size if s.shift else 0.0
        matrix[:, 0, 2] = (2 * uniform("shift_x") - 1) * reach
        matrix[:, 1, 2] = (2 * uniform("shift_y") - 1) * reach
        if s.crop_padding:
            for axis, name in enumerate(("left", "top")):
                steps = np.floor(uniform(name) * (2 * s.crop_padding + 1)) - s.crop_padding
                matrix[:, axis, 2] += 2 * steps / self.size
        if s.random_resized_crop is not None:
            c = s.random_resized_crop
            width, height = _rectangles(c.scale, c.ratio, uniform("crop_area"), uniform("crop_ratio"))
            matrix[:, 0] *= width[:, None]
            matrix[:, 1] *= height[:, None]
            matrix[:, 0, 2] += (2 * uniform("crop_x") - 1) * (1 - width)
            matrix[:, 1, 2] += (2 * uniform("crop_y") - 1) * (1 - height)
        return matrix.astype(np.float32)

    def _resample(self, epoch: int, rows: NDArray[np.int64], x: Tensor) -> Tensor:
        s, size = self.settings, self.size
        matrices = torch.from_numpy(self._matrices(epoch, rows)).to(x.device)
        axis = (torch.arange(size, device=x.device, dtype=torch.float32) * 2 + 1) / size - 1
        out = torch.empty_like(x)
        step = max(1, _CHUNK // (size * size))
        for start in range(0, len(x), step):
            m = matrices[start : start + step, :, :, None, None]
            grid = torch.empty(len(m), size, size, 2, device=x.device)
            for i in (0, 1):
                torch.add(m[:, i, 0] * axis, m[:, i, 1] * axis[:, None] + m[:, i, 2], out=grid[..., i])
            out[start : start + step] = F.grid_sample(
                x[start : start + step], grid, mode=s.interpolation, padding_mode=_PADDING[s.fill], align_corners=False
            )
        return out

    # --- rectangles ---

    def _erased(self, epoch: int, rows: NDArray[np.int64], x: Tensor) -> Tensor:
        """1 where an image stays, 0 where it is blanked: (n, 1, size, size)."""
        s = self.settings.random_erasing
        assert s is not None  # noqa: S101 - for the type checker
        width, height = _rectangles(
            s.scale, s.ratio, self._draw(epoch, "erase_area")[rows], self._draw(epoch, "erase_ratio")[rows]
        )
        hit = self._draw(epoch, "erase")[rows] < s.probability
        inside = self._inside(epoch, rows, "erase", width * hit, height * hit)
        return torch.from_numpy(~inside).to(x.device).float()

    def _shares(self, epoch: int, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Each image's own share (n,), and the weight of its own pixels (n, 1, 1 or size, 1 or size)."""
        s = self.settings
        cut = self._draw(epoch, "mix")[rows] < (0.5 if s.mixup and s.cutmix else float(bool(s.cutmix)))
        share = np.where(cut, self._beta(epoch, "cutmix", s.cutmix)[rows], self._beta(epoch, "mixup", s.mixup)[rows])
        mask = np.broadcast_to(share[:, None, None, None], (len(rows), 1, self.size, self.size)).copy()
        if cut.any():
            side = np.sqrt(1 - share)
            inside = self._inside(epoch, rows, "cut", side, side)
            mask[cut] = 1.0 - inside[cut]
            share = np.where(cut, mask.mean(axis=(1, 2, 3)), share)
        return (torch.from_numpy(a.astype(np.float32)).to(device) for a in (share, mask))  # type: ignore[return-value]

    def _inside(
        self, epoch: int, rows: NDArray[np.int64], name: str, width: NDArray[np.float64], height: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Whether each pixel lies in a rectangle of these sides (fractions): (n, 1, size, size)."""
        at = np.arange(self.size)
        spans = []
        for side, axis in ((width, "x"), (height, "y")):
            length = np.round(side * self.size)
            start = np.floor(self._draw(epoch, f"{name}_{axis}")[rows] * (self.size - length + 1))
            spans.append((at >= start[:, None]) & (at < (start + length)[:, None]))
        across, down = spans
        return across[:, None, None, :] & down[:, None, :, None]

    # --- draws ---

    def _draw(self, epoch: int, name: str) -> NDArray[np.float64]:
        """A uniform number of 0 to 1 for every training image."""
        return self._lookup(epoch, name, lambda rng: rng.random(self.count))

    def _beta(self, epoch: int, name: str, alpha: float) -> NDArray[np.float64]:
        return self._lookup(epoch, f"beta_{name}", lambda rng: rng.beta(alpha or 1.0, alpha or 1.0, self.count))

    def _lookup(self, epoch: int, name: str, draw: Draw) -> NDArray[np.float64]:
        if epoch != self._epoch:
            self._epoch, self._table = epoch, {}
        if name not in self._table:
            self._table[name] = draw(generator(self.seed, f"augment.{name}", epoch))
        drawn: NDArray[np.float64] = self._table[name]
        return drawn

    def _tensor(self, epoch: int, name: str, rows: NDArray[np.int64], like: Tensor) -> Tensor:
        return torch.from_numpy(self._draw(epoch, name)[rows].astype(np.float32)).to(like.device).view(-1, 1, 1, 1)

    def _flips(self, epoch: int, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        s = self.settings
        return (
            self._draw(epoch, "flip_x")[rows] < s.horizontal_flip,
            self._draw(epoch, "flip_y")[rows] < s.vertical_flip,
        )


def _rectangles(
    scale: list[float], ratio: list[float], area: NDArray[np.float64], aspect: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sides (fractions, at most 1) of rectangles with an area between `scale` and a log-uniform aspect in `ratio`."""
    areas = scale[0] + (scale[1] - scale[0]) * area
    aspects = np.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * aspect)
    return np.minimum(np.sqrt(areas * aspects), 1.0), np.minimum(np.sqrt(areas / aspects), 1.0)


def _windows_on_device(images: Tensor, *draws: NDArray[np.generic]) -> Tensor:
    flip_x, flip_y, top, left = (torch.from_numpy(np.ascontiguousarray(d)).to(images.device)[:, None] for d in draws)
    size = images.shape[1]
    at = torch.arange(size, device=images.device)[None]
    y = torch.where(flip_y, size - 1 - at, at) + top
    x = torch.where(flip_x, size - 1 - at, at) + left
    inside = ((y >= 0) & (y < size))[:, :, None] & ((x >= 0) & (x < size))[:, None, :]
    picked = images[
        torch.arange(len(images), device=images.device)[:, None, None],
        y.clamp(0, size - 1)[:, :, None],
        x.clamp(0, size - 1)[:, None, :],
    ]
    return picked * inside[..., None]
