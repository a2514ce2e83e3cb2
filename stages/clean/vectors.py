"""Pairs of low frequencies that are near each other, all of them: a bound by few axes, then exact products."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from stages.clean.features import UNIT, turned_vector
from stages.core.children import cores
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Index = NDArray[np.int64]
Floats = NDArray[np.float32]
_WAITING = 500_000  # rows that wait to be thinned out
_TILE = 512  # vectors on each side of a block of products that the cache of a core holds
_AXES, _SAMPLE = 32, 20_000  # principal axes of the bound; vectors from which they are computed
_FEW = 1 / 64  # of a block: so many pairs are gathered one by one in the time that all products of it take
_ROUNDING = 1.0  # more than sums of 34 float32 products of such lengths are off


def vector_pairs(vectors: NDArray[np.int8], asks: Index, cosine: float, most: int) -> Index:
    """The nearest of vectors of low frequencies, as they are and mirrored, with a cosine of at least `cosine`.

    Args:
        vectors: int8 of shape (n, 64), of length `UNIT` each, up to rounding.
        asks: positions of those whose neighbours are wanted.
        cosine: threshold.
        most: neighbours of a vector in each of the two orientations; it may be its own.

    Returns:
        Rows (4, pairs): the one that asks, its neighbour, minus their dot product, orientation (1: it is mirrored).
    """
    order = np.concatenate([asks, np.setdiff1d(np.arange(len(vectors)), asks)])
    filtered = _Filtered(vectors[order], len(asks), round(cosine * UNIT * UNIT))
    thin = partial(_first, most=most)

    def near(start: int) -> Index:
        found = (np.concatenate([order[rows[:2]], rows[2:]]) for rows in filtered.near(start))
        return thinned(found, thin)

    def every() -> Iterator[Index]:
        starts = iter(progress(range(0, len(asks), _TILE), desc="neighbours", leave=False))
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as threads:  # numpy lets others run meanwhile
            while tasks := list(islice(starts, 4 * cores())):
                yield from threads.map(near, tasks)

    return thinned(every(), thin)


def thinned(parts: Iterable[Index], thin: Callable[[Index], Index]) -> Index:
    """What `thin` leaves of all parts, (4, n) each; it is called whenever many have come together."""
    waiting, size, limit = [np.zeros((4, 0), np.int64)], 0, _WAITING
    for part in parts:
        waiting.append(part)
        size += part.shape[1]
        if size > limit:
            waiting = [thin(np.concatenate(waiting, axis=1, dtype=np.int64))]
            size = waiting[0].shape[1]
            limit = 2 * size + _WAITING
    return thin(np.concatenate(waiting, axis=1, dtype=np.int64))


def _first(rows: Index, most: int) -> Index:
    """The first few of each that asks, in each orientation."""
    rows = rows[:, np.lexsort((rows[1], rows[2], rows[0], rows[3]))]
    asks = rows[3] * (rows[0].max(initial=0) + 1) + rows[0]
    return rows[:, np.arange(len(asks)) - np.searchsorted(asks, asks) < most]


class _Filtered:
    """Vectors, and a cheap bound on their products that filters out most pairs.

    Mirroring turns the sign of odd columns, so the products of a pair in both orientations are the sum and the
    difference of an even and an odd part. The bound takes the leading principal axes of both parts, and for all other
    axes the product of the lengths there, which is never less than what they add (Cauchy and Schwarz).
    """

    def __init__(self, vectors: NDArray[np.int8], asks: int, least: int) -> None:
        """Of the vectors the first `asks` ask for others with a product of at least `least`."""
        self.vectors, self.asks, self.least = vectors, asks, least
        self.mirrored = turned_vector(vectors[:asks], 1)
        drawn = np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(int)
        parts = np.stack([vectors[drawn, side::2].astype(np.float64) for side in (0, 1)])  # rows have an even length
        values, axes = np.linalg.eigh(parts.transpose(0, 2, 1) @ parts)
        leading = values >= np.sort(values.ravel())[-_AXES]
        even, self.odd = (
            vectors[:, side::2].astype(np.float32) @ axes[side][:, leading[side]].astype(np.float32) for side in (0, 1)
        )
        whole, *taken = (np.einsum("ij,ij->i", v, v, dtype=np.float32) for v in (vectors, even, self.odd))
        rest = np.sqrt(np.maximum(whole - sum(taken), 0) + _ROUNDING)[:, None]
        # products of these say what the odd part must reach: `least` less the even part and the most that the rest adds
        self.bound_held = np.hstack([even, rest, np.ones_like(rest)])
        self.bound_asked = np.hstack([-even, -rest, np.full_like(rest, least - _ROUNDING)])[:asks]

    def near(self, start: int) -> Iterator[Index]:
        """Rows of `vector_pairs`: the tile of those that ask from `start` on, and all that come later."""
        rows = slice(start, min(start + _TILE, self.asks))
        for first in range(start, len(self.vectors), _TILE):
            columns = slice(first, first + _TILE)
            odd = self.odd[rows] @ self.odd[columns].T
            passed = np.flatnonzero(np.abs(odd, out=odd) >= self.bound_asked[rows] @ self.bound_held[columns].T)
            held = self.vectors[columns].astype(np.float32)
            for orientation, every in enumerate((self.vectors, self.mirrored) * bool(len(passed))):
                i, j, product = _exact(every[rows].astype(np.float32), held, passed, self.least)
                i, j = i + start, j + first
                yield np.stack([i, j, -product, np.full_like(i, orientation)])
                if first > start:
                    yield np.stack([j, i, -product, np.full_like(i, orientation)])[:, j < self.asks]


def _exact(asked: Floats, held: Floats, passed: Index, least: int) -> tuple[Index, Index, Index]:
    """Positions and products of the pairs that reach `least`: whole numbers below 2**24, which float32 holds."""
    i, j = np.divmod(passed, len(held))
    if len(passed) < _FEW * len(asked) * len(held):
        product = np.einsum("ij,ij->i", asked[i], held[j])
    else:
        product = (asked @ held.T)[i, j]
    near = product >= least
    return i[near], j[near], product[near].astype(np.int64)
