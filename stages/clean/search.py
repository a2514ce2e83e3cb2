"""Pairs of pictures that are near each other by low frequencies and by local features, and how features fit.

Every search is exact or made of whole numbers, so that no machine proposes other pairs.

Low frequencies: all pairs are compared, by a bound of few axes first, then by exact products.

Features are looked up in an inverted file (J. Sivic and A. Zisserman, "Video Google", ICCV 2003; faiss) whose cells are
descriptors drawn from the collection, and vote as in H. Jegou et al., "Hamming Embedding and Weak Geometric
Consistency", ECCV 2008: matches of one pair that turn and scale alike. `fit` finds how one picture lies on another, by
RANSAC.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from stages.clean.describe import UNIT
from stages.clean.hashes import INVERSE, firsts, hamming, turned_vector
from stages.clean.opencv import cv2
from stages.core.children import cores
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from stages.clean.describe import Features
    from stages.clean.hashes import Index
    from stages.clean.opencv import Floats

_WAITING = 500_000  # rows that wait to be thinned out
_TILE = 512  # vectors on each side of a block of products that the cache of a core holds
_AXES, _SAMPLE = 32, 20_000  # principal axes of the bound; vectors from which they are computed
_FEW = 1 / 64  # of a block: so many pairs are gathered one by one in the time that all products of it take
_ROUNDING = 1.0  # more than sums of 34 float32 products of such lengths are off
_NEAREST, _PROBES, _CLOSE = 6, 5, 48  # features looked at, cells visited, bits of 256
_SCALES = 2  # octaves in a bin
_FAR = 64  # bits between two descriptors of one place, of 256
_REACH = 4.0  # px, how far a match may be from where the transform puts it
_ZOOM = 7.0  # the largest that is believed

faiss.omp_set_num_threads(1)


def nearest(parts: Iterable[Index], most: int) -> Index:
    """Each pair once, in its likeliest orientation, if it is among the nearest few of one of its pictures.

    Args:
        parts: rows of candidates, int64 (4, n): two pictures, a score of which less is nearer, how the first is turned.
        most: pairs of a picture.

    Returns:
        Such rows, the smaller picture first, the nearest pairs first. What is dropped early could never be among them.
    """
    return thinned(parts, partial(_nearest, most=most))


def _nearest(rows: Index, most: int) -> Index:
    a, b, score, turned = rows[:, rows[0] != rows[1]]
    turned = np.where(a < b, turned, np.array(INVERSE)[turned])
    rows = np.stack([np.minimum(a, b), np.maximum(a, b), score, turned])
    rows = rows[:, np.lexsort((turned, score, rows[1], rows[0]))]
    rows = rows[:, firsts(rows[:2])]
    rows = rows[:, np.lexsort((rows[1], rows[0], rows[2]))]
    every = rows[:2].T.ravel()
    order = np.argsort(every, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order)) - np.searchsorted(every[order], every[order])
    return rows[:, rank.reshape(-1, 2).min(axis=1) < most]


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
        near = (places >= 0) & (distance <= _CLOSE)
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
    once = firsts(pair)
    return np.stack([pair // count, pair % count, votes])[:, once]


def _count(keys: Index, voters: Index) -> tuple[Index, Index]:
    """Each key once, and how many different voters it has."""
    both = np.stack([keys, voters])[:, np.lexsort((voters, keys))]
    return np.unique(both[0, firsts(both)], return_counts=True)


@dataclass(frozen=True)
class Fit:
    """How one picture lies on another.

    warp: float64 (2, 3), from px of the second to px of the first. inliers: features that agree, one to one.
    places: of these in the second, float32 (inliers, 2).
    """

    warp: NDArray[np.float64]
    inliers: int
    places: NDArray[np.float32]


def fit(first: NDArray[np.void], second: NDArray[np.void]) -> Fit | None:
    """Find the similarity transform that most one-to-one matches of two sets of features agree on."""
    if min(len(first), len(second)) < 4:
        return None
    bits = hamming(*(np.ascontiguousarray(side["bits"]) for side in (first, second)))
    right = bits.argmin(axis=1)
    left = np.arange(len(first))
    mutual = (bits.argmin(axis=0)[right] == left) & (bits[left, right] <= _FAR)  # one to one
    left, right = left[mutual], right[mutual]
    if len(left) < 4:
        return None
    source, target = second["at"][right].astype(np.float32), first["at"][left].astype(np.float32)
    cv2.setRNGSeed(0)
    warp, inside = cv2.estimateAffinePartial2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=_REACH,
                                               maxIters=1000, confidence=0.99)  # fmt: skip
    if warp is None or not 1 / _ZOOM < np.sqrt(abs(np.linalg.det(warp[:, :2]))) < _ZOOM:
        return None
    agree = inside.ravel() > 0
    return Fit(warp, int(agree.sum()), source[agree])
