"""All pairs of 64-bit hashes within a Hamming distance, exactly, without comparing all with all.

General pigeonhole principle (Qin et al., "GPH: Similarity Search in Hamming Space", ICDE 2018): cut the 64 bits into
bands and give band i a radius t_i so that the sum of t_i + 1 is r + 1. Two hashes within r are then within t_i in some
band, so it is enough to look up, band by band, the values within t_i of one's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Index = NDArray[np.int64]
_CHUNK = 4_000_000  # candidate pairs compared at a time
_WORTH_IT = 100_000  # queries or targets; for fewer, loading numba costs more than it saves
_ROOM = 1_000_000  # pairs of a band that are kept without counting them first


@dataclass(frozen=True)
class Band:
    """Bits `shift` to `shift + width` of a hash; `masks` are the differences within the band's radius."""

    shift: int
    width: int
    radius: int
    masks: Words

    def of(self, words: Words) -> Words:
        """The band's value in each hash."""
        return (words >> np.uint64(self.shift)) & np.uint64((1 << self.width) - 1)


def bands(count: int, radius: int, met: int) -> list[Band]:
    """Bands about as wide as the number of hashes needs, so that a look-up meets about `met` of them."""
    wanted = min(max(round(64 / max(math.log2((count + 1) / met), 8)), 2), radius + 1, 8)
    if radius == 0:
        wanted = 4
    edges = [64 * k // wanted for k in range(wanted + 1)]
    spare = max(radius + 1 - wanted, 0)
    result = []
    for k in range(wanted):
        t = spare // wanted + (k < spare % wanted) if k <= radius else -1
        if t >= 0:
            result.append(Band(edges[k], edges[k + 1] - edges[k], t, _masks(edges[k + 1] - edges[k], t)))
    return result


def pairs_between(
    queries: Words, targets: Words, radius: int, *, later: bool = False, compiled: bool | None = None
) -> tuple[Index, Index, NDArray[np.uint8]]:
    """Every (query, target) within `radius` bits.

    Args:
        queries: uint64 of shape (q,).
        targets: uint64 of shape (t,).
        radius: Hamming distance in bits.
        later: the queries are the targets; only pairs whose target stands after the query.
        compiled: whether numba runs the inner loop; None: where there is enough to do. The result is the same.

    Returns:
        Positions in `queries`, positions in `targets` and the distance of each pair, sorted.
    """
    probe = _probe(max(len(queries), len(targets))) if compiled is None else _probe(_WORTH_IT) if compiled else None
    found: list[tuple[Index, Index, NDArray[np.uint8]]] = []
    plan = bands(len(targets), radius, 2 if probe is None else 8)  # compiled, comparing is cheap beside looking up
    for number, band in enumerate(plan):
        value = band.of(targets)
        order = np.argsort(value, kind="stable")
        starts = np.zeros((1 << band.width) + 1, np.int64)
        np.cumsum(np.bincount(value.astype(np.int64), minlength=1 << band.width), out=starts[1:])
        own = band.of(queries)
        if probe is not None:
            by = order if queries is targets else np.argsort(own, kind="stable")
            fixed = (queries[by], by, targets[order], order, starts, band.masks, band.shift, band.width)
            earlier = np.array([(b.shift, b.width, b.radius) for b in plan[:number]], np.int64).reshape(-1, 3)
            out = np.empty((3, _ROOM), np.int64)
            count = probe(*fixed, earlier, radius, later, out)
            if count > _ROOM:
                out = np.empty((3, count), np.int64)
                probe(*fixed, earlier, radius, later, out)
            found.append((out[0, :count], out[1, :count], out[2, :count].astype(np.uint8)))
            continue
        there = targets[order]
        for mask in band.masks:
            near = (own ^ mask).astype(np.int64)
            found += _compare(queries, there, order, starts[near], starts[near + 1], plan[:number], radius)
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    q, t, d = (np.concatenate(part) for part in zip(*found, strict=True))
    if later and probe is None:  # compiled code leaves the others out itself
        q, t, d = (x[t > q] for x in (q, t, d))
    order = np.lexsort((t, q))
    return q[order], t[order], d[order]


def _probe(count: int) -> Any:
    if count < _WORTH_IT:
        return None
    try:
        from stages.clean.fast_search import probe
    except ImportError:
        return None
    return probe


def _compare(
    queries: Words, targets: Words, order: Index, low: Index, high: Index, earlier: list[Band], radius: int
) -> list[tuple[Index, Index, NDArray[np.uint8]]]:
    """Compare each query with the targets `low` to `high`; `targets` stand in their `order` in this band."""
    counts = high - low
    some = np.flatnonzero(counts)
    ends = np.cumsum(counts[some])
    found = []
    at = 0
    while at < len(some):
        base = ends[at - 1] if at else 0
        stop = max(int(np.searchsorted(ends, base + _CHUNK, side="right")), at + 1)
        part, until = some[at:stop], ends[at:stop] - base
        place = np.arange(until[-1]) + np.repeat(low[part] - until + counts[part], counts[part])
        difference = np.repeat(queries[part], counts[part]) ^ targets[place]
        good = np.flatnonzero(np.bitwise_count(difference) <= radius)
        difference = difference[good]
        # a pair belongs to the first band that finds it
        new = np.ones(len(good), bool)
        for band in earlier:
            new &= np.bitwise_count(band.of(difference)) > band.radius
        good, difference = good[new], difference[new]
        q = part[np.searchsorted(until, good, side="right")]
        found.append((q, order[place[good]], np.bitwise_count(difference)))
        at = stop
    return found


def _masks(width: int, radius: int) -> Words:
    values = [sum(1 << bit for bit in bits) for size in range(radius + 1) for bits in combinations(range(width), size)]
    return np.array(values, np.uint64)
