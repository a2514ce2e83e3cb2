"""Pairs of pictures that are near each other: by the bits of their hashes, by low frequencies, by local features.

Every search is exact or made of whole numbers, so that no machine proposes other pairs. Features are looked up in an
inverted file (J. Sivic and A. Zisserman, "Video Google", ICCV 2003; faiss) whose cells are descriptors drawn from the
collection, and vote as in H. Jegou et al., "Hamming Embedding and Weak Geometric Consistency", ECCV 2008: matches of
one pair that turn and scale alike.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
from numpy.typing import NDArray

from stages.clean.hashes import UNIT
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stages.clean.features import Features

Index = NDArray[np.int64]
Words = NDArray[np.uint64]
_CHUNK = 4_000_000  # candidate pairs compared at a time
_ROWS = 1024  # vectors of a block of products
_NEAREST, _PROBES, _FAR = 6, 5, 48  # features looked at, cells visited, bits of 256
_TURNS, _SCALES = 8, 2  # bins of a full turn; octaves in a bin

faiss.omp_set_num_threads(1)


def hash_pairs(queries: Words, targets: Words, radius: int) -> tuple[Index, Index, NDArray[np.uint8]]:
    """Every (query, target) within `radius` bits, exactly, without comparing all with all.

    General pigeonhole principle (Qin et al., "GPH: Similarity Search in Hamming Space", ICDE 2018): the 64 bits are cut
    into bands, band i gets a radius t_i so that the sum of t_i + 1 is above `radius`. Two hashes within `radius` are
    then within t_i in some band, so it is enough to look up, band by band, the values within t_i of one's own.

    Args:
        queries: uint64 of shape (q,).
        targets: uint64 of shape (t,).
        radius: Hamming distance in bits.

    Returns:
        Positions in `queries`, positions in `targets` and the distance of each pair, sorted.
    """
    bands = min(max(round(64 / max(math.log2(len(targets) + 1), 8)), 3), 8)
    edges = [64 * k // bands for k in range(bands + 1)]
    spare = max(radius + 1 - bands, 0)  # with fewer bits than bands, as many bands as bits and one more are enough
    radii = [spare // bands + (k < spare % bands) for k in range(min(bands, radius + 1))]
    found = [np.zeros((3, 0), np.int64)]
    for start, end, within in zip(edges, edges[1:], radii, strict=False):
        shift, width = np.uint64(start), end - start
        only = np.uint64((1 << width) - 1)
        value, own = (targets >> shift) & only, (queries >> shift) & only
        order = np.argsort(value, kind="stable")
        starts = np.searchsorted(value[order], np.arange((1 << width) + 1, dtype=np.uint64))
        for bits in (b for size in range(within + 1) for b in combinations(range(width), size)):
            near = own ^ np.uint64(sum(1 << bit for bit in bits))
            found += _compare(queries, targets, order, starts[near], starts[near + np.uint64(1)], radius)
    q, t, d = np.concatenate(found, axis=1)
    once = np.unique(q * max(len(targets), 1) + t, return_index=True)[1]
    return q[once], t[once], d[once].astype(np.uint8)


def vector_pairs(
    queries: NDArray[np.int8], targets: NDArray[np.int8], cosine: float, most: int
) -> tuple[Index, Index, Index]:
    """The nearest targets of each query, at most `most`, with a cosine of at least `cosine`.

    Args:
        queries: int8 of shape (q, 64), of length `UNIT` each.
        targets: the same, of shape (t, 64).
        cosine: threshold.
        most: targets of a query.

    Returns:
        Positions in queries, positions in targets, dot products.
    """
    right = np.ascontiguousarray(targets.T.astype(np.float32))  # products of whole numbers below 2**24 are exact
    least = round(cosine * UNIT * UNIT)
    found = [np.zeros((3, 0), np.int64)]
    for start in progress(range(0, len(queries), _ROWS), desc="neighbours", leave=False):
        dots = queries[start : start + _ROWS].astype(np.float32) @ right
        q, t = np.divmod(np.flatnonzero(dots >= least), len(targets))
        d = dots[q, t].astype(np.int64)
        order = np.lexsort((t, -d, q))
        q, t, d = q[order], t[order], d[order]
        rank = np.arange(len(q)) - np.searchsorted(q, q)
        found.append(np.stack([q + start, t, d])[:, rank < most])
    q, t, d = np.concatenate(found, axis=1)
    return q, t, d


def feature_pairs(every: Iterable[Features], least: int) -> tuple[Index, Index, Index, Index]:
    """Pairs of pictures of which at least `least` features match, turned and scaled alike.

    Returns:
        Positions of the first and of the second picture, whether the first is mirrored (0 or 1), and votes.
    """
    upright, mirrored = zip(*((f.upright, f.mirrored) for f in every), strict=True)
    targets, owner = _joined(upright)
    if len(targets) < 2:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty, empty
    index = _index(targets["bits"])
    found = [
        np.insert(_votes(index, targets, owner, *_joined(side), least), 2, turned, axis=0)
        for turned, side in enumerate((upright, mirrored))
    ]
    a, b, turned, votes = np.concatenate(found, axis=1)
    return a, b, turned, votes


def _joined(parts: Sequence[NDArray[np.void]]) -> tuple[NDArray[np.void], Index]:
    """All features in one array, and the picture of each."""
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(p) for p in parts])


def _index(bits: NDArray[np.uint8]) -> Any:
    bits = np.ascontiguousarray(bits)
    cells = min(4096, 1 << max(4, round(math.log2(2 * math.sqrt(len(bits))))))
    centres = faiss.IndexBinaryFlat(256)
    centres.add(np.ascontiguousarray(bits[np.linspace(0, len(bits) - 1, min(cells, len(bits))).astype(int)]))
    index: Any = faiss.IndexBinaryIVF(centres, 256, centres.ntotal)
    index.referenced = centres  # faiss keeps a pointer alone
    index.is_trained, index.nprobe = True, _PROBES
    index.add(bits)
    return index


def _votes(
    index: Any,
    targets: NDArray[np.void],
    owner: Index,
    queries: NDArray[np.void],
    asks: Index,
    least: int,
) -> Index:
    """Pairs with enough votes: positions of the first and the second, and the votes, (3, pairs)."""
    found = [np.zeros((3, 0), np.int64)]
    step = 200_000
    for start in range(0, len(queries), step):
        part, who = queries[start : start + step], asks[start : start + step]
        distance, places = index.search(np.ascontiguousarray(part["bits"]), _NEAREST)
        row = np.repeat(np.arange(len(part)), _NEAREST)
        distance, places = distance.ravel(), places.ravel()
        near = (places >= 0) & (distance <= _FAR)
        row, places = row[near], places[near]
        apart = who[row] != owner[places]
        row, places = row[apart], places[apart]
        found.append(np.stack([row + start, places, who[row]]))
    row, places, a = np.concatenate(found, axis=1)
    b, count = owner[places], int(owner[-1]) + 1
    turn = (queries["angle"][row].astype(np.int64) - targets["angle"][places]) % 256
    scale = queries["octave"][row].astype(np.int64) - targets["octave"][places] + 16
    best = [np.zeros((2, 0), np.int64)]
    pair = a * count + b
    for by_turn in (0, 16):  # bins of 45 degrees and of two octaves, each also shifted by half
        for by_scale in (0, 1):
            bins = ((turn + by_turn) % 256 // 32) * 32 + (scale + by_scale) // _SCALES
            place, votes_there = _count(pair * 256 + bins, row)
            enough = votes_there >= least
            best.append(np.stack([place[enough] // 256, votes_there[enough]]))
    pair, votes = np.concatenate(best, axis=1)
    order = np.lexsort((-votes, pair))
    pair, first = np.unique(pair[order], return_index=True)
    return np.stack([pair // count, pair % count, votes[order][first]])


def _count(keys: Index, voters: Index) -> tuple[Index, Index]:
    """Each key once, and how many different voters it has."""
    order = np.lexsort((voters, keys))
    keys, voters = keys[order], voters[order]
    new = np.ones(len(keys), bool)
    new[1:] = (np.diff(keys) != 0) | (np.diff(voters) != 0)
    return np.unique(keys[new], return_counts=True)


def _compare(queries: Words, targets: Words, order: Index, low: Index, high: Index, radius: int) -> list[Index]:
    """Compare each query with the targets `order[low]` to `order[high]`."""
    counts = high - low
    some = np.flatnonzero(counts)
    ends = np.cumsum(counts[some])
    found, at = [], 0
    while at < len(some):
        base = ends[at - 1] if at else 0
        stop = max(int(np.searchsorted(ends, base + _CHUNK, side="right")), at + 1)
        part = some[at:stop]
        until = ends[at:stop] - base
        place = order[np.arange(until[-1]) + np.repeat(low[part] - until + counts[part], counts[part])]
        query = np.repeat(part, counts[part])
        distance = np.bitwise_count(queries[query] ^ targets[place])
        good = distance <= radius
        found.append(np.stack([query[good], place[good], distance[good]]).astype(np.int64))
        at = stop
    return found
