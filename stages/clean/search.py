"""Pairs of pictures that are near each other: by the bits of their hashes, by low frequencies, by local features.

Every search is exact or made of whole numbers, so that no machine proposes other pairs. Features are looked up in an
inverted file (J. Sivic and A. Zisserman, "Video Google", ICCV 2003; faiss) whose cells are descriptors drawn from the
collection, and vote as in H. Jegou et al., "Hamming Embedding and Weak Geometric Consistency", ECCV 2008: matches of
one pair that turn and scale alike.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
from numpy.typing import NDArray

from stages.clean.features import INVERSE
from stages.clean.hashes import firsts, hash_pairs
from stages.clean.vectors import thinned, vector_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stages.clean.features import Features

__all__ = ["feature_pairs", "hash_pairs", "nearest", "vector_pairs"]
Index = NDArray[np.int64]
_NEAREST, _PROBES, _FAR = 6, 5, 48  # features looked at, cells visited, bits of 256
_SCALES = 2  # octaves in a bin

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
    once = firsts(pair)
    return np.stack([pair // count, pair % count, votes])[:, once]


def _count(keys: Index, voters: Index) -> tuple[Index, Index]:
    """Each key once, and how many different voters it has."""
    both = np.stack([keys, voters])[:, np.lexsort((voters, keys))]
    return np.unique(both[0, firsts(both)], return_counts=True)
