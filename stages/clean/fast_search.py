"""The inner loop of `search`, compiled."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic


def _count_ones(_typing: Any, _word: Any) -> Any:
    """Number of ones in a 64-bit word, as one instruction."""
    return numba.uint64(numba.uint64), lambda _context, builder, _signature, args: builder.ctpop(args[0])


_ones: Any = intrinsic(_count_ones)


@numba.njit(cache=True, nogil=True)
def probe(  # noqa: PLR0913, PLR0917  # pragma: no cover - compiled
    queries: Any,
    query_order: Any,
    targets: Any,
    target_order: Any,
    starts: Any,
    masks: Any,
    shift: int,
    width: int,
    earlier: Any,
    radius: int,
    later: bool,
    out: Any,
) -> int:
    """Compare every query with the targets of its buckets.

    Args:
        queries: uint64, sorted by their value in this band.
        query_order: their positions before sorting.
        targets: uint64, sorted by their value in this band.
        target_order: their positions before sorting.
        starts: first target of each value of the band, and the end.
        masks: differences to look up.
        shift: lowest bit of the band.
        width: bits of the band.
        earlier: int64 (bands, 3), shift, width and radius of the bands before; what they find is not found again.
        radius: bits.
        later: only targets whose position is above the query's.
        out: int64 (3, room) for positions and distance.

    Returns:
        The number of pairs, which may be more than there was room for.
    """
    found = 0
    room = out.shape[1]
    ones = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    for mask in masks:
        for q in range(len(queries)):
            word = queries[q]
            value = np.int64(((word >> np.uint64(shift)) & ones) ^ mask)
            for t in range(starts[value], starts[value + 1]):
                difference = word ^ targets[t]
                if _ones(difference) > np.uint64(radius) or (later and target_order[t] <= query_order[q]):
                    continue
                new = True
                for band in range(len(earlier)):
                    part = difference >> np.uint64(earlier[band, 0])
                    part &= (np.uint64(1) << np.uint64(earlier[band, 1])) - np.uint64(1)
                    if _ones(part) <= np.uint64(earlier[band, 2]):
                        new = False
                if new:
                    if found < room:
                        out[0, found] = query_order[q]
                        out[1, found] = target_order[t]
                        out[2, found] = np.int64(_ones(difference))
                    found += 1
    return found
