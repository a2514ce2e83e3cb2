"""Pairs of pictures whose low frequencies point the same way: all with all, as matrix products.

Finds what the bits of a hash miss (shifts, other crops, small pictures), at a cost that grows with the square of the
number of pictures; beyond `match.exhaustive_up_to` only hashes propose pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.clean.hashes import UNIT
from stages.core.console import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS, _COLUMNS = 256, 1024  # of a block of products: 1 MB, which stays in the processor's cache


def pairs(
    queries: NDArray[np.int8], targets: NDArray[np.int8], cosine: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every (query, target) with a cosine of at least `cosine` and query < target.

    Args:
        queries: int8 of shape (n, 64), of length `UNIT` each.
        targets: the same pictures in another orientation, of the same shape.
        cosine: threshold.

    Returns:
        Positions in queries, positions in targets, and the dot products, an integer each; sorted.
    """
    left = queries.astype(np.float32)  # products of these whole numbers stay below 2**24: exact in float32
    right = np.ascontiguousarray(targets.T.astype(np.float32))
    least = np.float32(round(cosine * UNIT * UNIT))
    found = [(np.zeros(0, np.int64),) * 3]
    for start in progress(range(0, len(left), _ROWS), desc="neighbours", leave=False):
        block = left[start : start + _ROWS]
        for first in range(start, len(left), _COLUMNS):
            dots = block @ right[:, first : first + _COLUMNS]
            q, t = _places(dots >= least, first - start)
            found.append((q + start, t + first, dots[q, t].astype(np.int64)))
    q, t, d = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(q, kind="stable")  # row by row, whatever the size of the blocks
    return q[order], t[order], d[order]


def mirrored_pairs(
    vectors: NDArray[np.int8], cosine: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every two pictures with a cosine of at least `cosine`, as they are or with the first one mirrored.

    Mirrored, coefficients in odd columns change their sign. So the part of a product that comes from even columns,
    plus and minus the part that comes from odd ones, gives both cosines for the price of one.

    Args:
        vectors: int8 of shape (n, 64), of length `UNIT` each.
        cosine: threshold.

    Returns:
        Positions of the first, of the second, which stands after it, and the orientation of the first, 1 for mirrored.
    """
    columns = vectors.reshape(len(vectors), -1, 2).astype(np.float32)  # whole numbers: exact, as in `pairs`
    even, odd = (np.ascontiguousarray(columns[..., k]) for k in (0, 1))
    right_even, right_odd = np.ascontiguousarray(even.T), np.ascontiguousarray(odd.T)
    least = np.float32(round(cosine * UNIT * UNIT))
    found = [(np.zeros(0, np.int64),) * 3]
    for start in progress(range(0, len(vectors), _ROWS), desc="neighbours", leave=False):
        rows = slice(start, start + _ROWS)
        for first in range(start, len(vectors), _COLUMNS):
            evens = even[rows] @ right_even[:, first : first + _COLUMNS]
            odds = odd[rows] @ right_odd[:, first : first + _COLUMNS]
            q, t = _places(evens + np.abs(odds) >= least, first - start)
            for orientation, dots in enumerate((evens[q, t] + odds[q, t], evens[q, t] - odds[q, t])):
                near = dots >= least
                found.append((q[near] + start, t[near] + first, np.full(near.sum(), orientation)))
    i, j, orientations = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, j, orientations


def _places(near: NDArray[np.bool_], ahead: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of what is near in a block of products, above the diagonal; columns start `ahead` of the rows."""
    q, t = np.divmod(np.flatnonzero(near), near.shape[1])  # many times as fast as nonzero
    later = t + ahead > q
    return q[later], t[later]
