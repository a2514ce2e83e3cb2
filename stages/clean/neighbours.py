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

_BLOCK = 1024


def pairs(
    queries: NDArray[np.int8], targets: NDArray[np.int8], cosine: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every (query, target) with a cosine of at least `cosine` and query < target.

    Args:
        queries: int8 of shape (n, 64), of length `UNIT` each.
        targets: the same pictures in another orientation, of the same shape.
        cosine: threshold.

    Returns:
        Positions in queries, positions in targets, and the dot products, an integer each.
    """
    right = targets.astype(np.float32)  # products of these whole numbers stay below 2**24: exact in float32
    least = np.float32(round(cosine * UNIT * UNIT))
    found = []
    for start in progress(range(0, len(queries), _BLOCK), desc="neighbours", leave=False):
        block = queries[start : start + _BLOCK].astype(np.float32)
        dots = block @ right[start:].T
        q, t = np.divmod(np.flatnonzero(dots >= least), dots.shape[1])  # many times as fast as nonzero
        later = t > q
        q, t = q[later], t[later]
        found.append((q + start, t + start, dots[q, t].astype(np.int64)))
    if not found:
        return (np.zeros(0, np.int64),) * 3
    q, t, d = (np.concatenate(part) for part in zip(*found, strict=True))
    return q, t, d
