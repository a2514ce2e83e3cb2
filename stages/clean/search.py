"""Pairs of pictures that are near each other: by the bits of their hashes, by low frequencies, by local features.

Every search is exact or made of whole numbers, so that no machine proposes other pairs. Features are looked up in an
inverted file (J. Sivic and A. Zisserman, "Video Google", ICCV 2003; faiss) whose cells are descriptors drawn from the
collection, and vote as in H. Jegou et al., "Hamming Embedding and Weak Geometric Consistency", ECCV 2008: matches of
one pair that turn and scale alike.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from stages.clean.features import INVERSE, UNIT
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

    from stages.clean.features import Features

Index = NDArray[np.int64]
Words = NDArray[np.uint64]
_CHUNK = 4_000_000  # candidate pairs compared at a time
_WAITING = 500_000  # rows that wait to be thinned out
_ROWS, _DOTS = 1024, 16_000_000  # of a block of products: vectors, products
_NEAREST, _PROBES, _FAR = 6, 5, 48  # features looked at, cells visited, bits of 256
_TURNS, _SCALES = 8, 2  # bins of a full turn; octaves in a bin

faiss.omp_set_num_threads(1)


def hash_pairs(queries: Words, targets: Words, radius: int) -> Iterator[tuple[Index, Index, NDArray[np.uint8]]]:
    """Every (query, target) within `radius` bits, exactly, without comparing all with all.

    General pigeonhole principle (Qin et al., "GPH: Similarity Search in Hamming Space", ICDE 2018): the 64 bits are cut
    into bands, band i gets a radius t_i so that the sum of t_i + 1 is above `radius`. Two hashes within `radius` are
    then within t_i in some band, so it is enough to look up, band by band, the values within t_i of one's own. A query
    that shares its values with many, as a picture of a fixed camera does, is compared with all targets.

    Args:
        queries: uint64 of shape (q,).
        targets: uint64 of shape (t,).
        radius: Hamming distance in bits.

    Yields:
        For some of the queries at a time, so that memory does not grow with the number of pairs: positions in
        `queries`, positions in `targets` and the distance of each pair, sorted.
    """
    bands = [_Band.of(targets, *cut) for cut in _cuts(len(targets), radius)]
    counts = np.zeros(len(queries), np.int64)
    for _, low, high in _lookups(bands, queries):
        counts += high - low
    crowded = counts >= len(targets) // 4
    for part in _parts(np.flatnonzero(crowded), np.full(int(crowded.sum()), len(targets))):
        distance = np.bitwise_count(queries[part, None] ^ targets)
        row, t = np.nonzero(distance <= radius)
        yield part[row], t, distance[row, t]
    for part in _parts(np.flatnonzero(~crowded), counts[~crowded]):
        found = [_compare(queries[part], targets, *look, radius) for look in _lookups(bands, queries[part])]
        q, t, d = np.concatenate(found, axis=1)
        once = np.unique(q * max(len(targets), 1) + t, return_index=True)[1]
        yield part[q[once]], t[once], d[once].astype(np.uint8)


def nearest(parts: Iterable[Index], most: int) -> Index:
    """Each pair once, in its likeliest orientation, if it is among the nearest few of one of its pictures.

    Args:
        parts: rows of candidates, int64 (4, n): two pictures, a score of which less is nearer, how the first is turned.
        most: pairs of a picture.

    Returns:
        Such rows, the smaller picture first, the nearest pairs first. What is dropped early could never be among them.
    """
    waiting, size, limit = [np.zeros((4, 0), np.int64)], 0, _WAITING
    for part in parts:
        waiting.append(part.astype(np.int64))
        size += part.shape[1]
        if size > limit:
            waiting = [_nearest(np.concatenate(waiting, axis=1), most)]
            size = waiting[0].shape[1]
            limit = 2 * size + _WAITING
    return _nearest(np.concatenate(waiting, axis=1), most)


def _nearest(rows: Index, most: int) -> Index:
    a, b, score, turned = rows[:, rows[0] != rows[1]]
    turned = np.where(a < b, turned, np.array(INVERSE)[turned])
    rows = np.stack([np.minimum(a, b), np.maximum(a, b), score, turned])
    rows = rows[:, np.lexsort((turned, score, rows[1], rows[0]))]
    rows = rows[:, _new(rows[:2])]
    rows = rows[:, np.lexsort((rows[1], rows[0], rows[2]))]
    every = rows[:2].T.ravel()
    order = np.argsort(every, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order)) - np.searchsorted(every[order], every[order])
    return rows[:, rank.reshape(-1, 2).min(axis=1) < most]


def _new(rows: Index) -> NDArray[np.bool_]:
    """Of sorted columns those that differ from the one before."""
    return np.concatenate([np.ones(min(rows.shape[1], 1), bool), (np.diff(rows) != 0).any(axis=0)])


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
    step = max(1, min(_ROWS, _DOTS // max(len(targets), 1)))
    for start in progress(range(0, len(queries), step), desc="neighbours", leave=False):
        dots = queries[start : start + step].astype(np.float32) @ right
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
    pair, votes = np.stack([pair, votes])[:, np.lexsort((-votes, pair))]
    once = _new(pair[None])
    return np.stack([pair // count, pair % count, votes])[:, once]


def _count(keys: Index, voters: Index) -> tuple[Index, Index]:
    """Each key once, and how many different voters it has."""
    both = np.stack([keys, voters])[:, np.lexsort((voters, keys))]
    return np.unique(both[0, _new(both)], return_counts=True)


class _Band(NamedTuple):
    """Some of the bits of all targets, and where the targets with each value stand."""

    start: int
    width: int
    within: int  # bits that may differ
    order: Index
    starts: Index

    @classmethod
    def of(cls, targets: Words, start: int, width: int, within: int) -> Self:
        value = _bits(targets, start, width)
        order = np.argsort(value, kind="stable")
        starts = np.searchsorted(value[order], np.arange((1 << width) + 1, dtype=np.uint64))
        return cls(start, width, within, order, starts)


def _cuts(targets: int, radius: int) -> Iterator[tuple[int, int, int]]:
    """The bands of 64 bits: start, width, and the bits that may differ in it."""
    bands = min(max(round(64 / max(math.log2(targets + 1), 8)), 3), 8)
    edges = [64 * k // bands for k in range(bands + 1)]
    spare = max(radius + 1 - bands, 0)  # with fewer bits than bands, as many bands as bits and one more are enough
    for k in range(min(bands, radius + 1)):
        yield edges[k], edges[k + 1] - edges[k], spare // bands + (k < spare % bands)


def _bits(words: Words, start: int, width: int) -> Words:
    return (words >> np.uint64(start)) & np.uint64((1 << width) - 1)


def _lookups(bands: Sequence[_Band], queries: Words) -> Iterator[tuple[Index, Index, Index]]:
    """For each value that is looked up: an order of the targets, and from where to where in it they may be near."""
    for band in bands:
        own = _bits(queries, band.start, band.width)
        for bits in (b for size in range(band.within + 1) for b in combinations(range(band.width), size)):
            near = own ^ np.uint64(sum(1 << bit for bit in bits))
            yield band.order, band.starts[near], band.starts[near + np.uint64(1)]


def _parts(queries: Index, counts: Index) -> Iterator[Index]:
    """The queries in parts with so many candidates that memory holds them."""
    ends, at = np.cumsum(counts), 0
    while at < len(queries):
        stop = max(int(np.searchsorted(ends, (ends[at - 1] if at else 0) + _CHUNK, side="right")), at + 1)
        yield queries[at:stop]
        at = stop


def _compare(queries: Words, targets: Words, order: Index, low: Index, high: Index, radius: int) -> Index:
    """Compare each query with the targets `order[low]` to `order[high]`."""
    counts = high - low
    ends = np.cumsum(counts)
    place = order[np.arange(ends[-1]) + np.repeat(low - ends + counts, counts)]
    query = np.repeat(np.arange(len(queries)), counts)
    distance = np.bitwise_count(queries[query] ^ targets[place])
    good = distance <= radius
    return np.stack([query[good], place[good], distance[good]]).astype(np.int64)
