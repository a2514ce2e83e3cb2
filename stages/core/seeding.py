"""Random numbers with a name: each purpose has its own generator, so that a draw added in one place moves no other."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def generator(seed: int, purpose: str, *more: int) -> np.random.Generator:
    """A NumPy generator for one `purpose` (for example "order"), and for `more` numbers such as the epoch."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *more])


def grid(count: int, most: int) -> NDArray[np.int64]:
    """Positions of `most` random images of `count`: the grid of the page, whose first images Grad-CAM explains."""
    return generator(0, "grid").permutation(count)[:most]


def number(seed: int, purpose: str, *more: int) -> int:
    """A 63-bit seed for a library that wants a number (for example `torch.Generator.manual_seed`)."""
    return int(generator(seed, purpose, *more).integers(2**63))
