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
def probe(  # noqa: C901, PLR0913, PLR0917  # pragma: no cover - compiled
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
        later: the queries are the targets: each pair once, the first position before the second.
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
            own = (word >> np.uint64(shift)) & ones
            value = np.int64(own ^ mask)
            start, stop = starts[value], starts[value + 1]
            if later:  # a list in itself: each pair of buckets, and each pair within one, once
                if own ^ mask < own:
                    continue
                start = q + 1 if mask == 0 else start
            near = 0
            for t in range(start, stop):  # without branches, so that the compiler takes several at a time
                near += _ones(word ^ targets[t]) <= np.uint64(radius)
            if near == 0:
                continue
            for t in range(start, stop):
                difference = word ^ targets[t]
                if _ones(difference) > np.uint64(radius):
                    continue
                new = True
                for band in range(len(earlier)):
                    part = difference >> np.uint64(earlier[band, 0])
                    part &= (np.uint64(1) << np.uint64(earlier[band, 1])) - np.uint64(1)
                    if _ones(part) <= np.uint64(earlier[band, 2]):
                        new = False
                if new:
                    if found < room:
                        a, b = query_order[q], target_order[t]
                        out[0, found] = min(a, b) if later else a
                        out[1, found] = max(a, b) if later else b
                        out[2, found] = np.int64(_ones(difference))
                    found += 1
    return found
