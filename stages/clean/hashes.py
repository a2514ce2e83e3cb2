"""Pairs of hashes that are near each other, all of them: by sorting, with numpy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations, groupby, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.core.children import cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

Index = NDArray[np.int64]
Words = NDArray[np.uint64]
_CHUNK = 250_000  # pairs given at a time
_TILE, _ROW = 65_536, 4096  # pairs that the cache of a core holds; of these, hashes of one side
_SAMPLE = 256
_SORT, _BUCKET, _PAIR, _HIT = 1e-8, 7e-6, 7e-10, 1e-7  # s: a hash sorted, a bucket, a pair compared, one found


def hash_pairs(queries: Words, targets: Words, radius: int) -> Iterator[tuple[Index, Index, NDArray[np.uint8]]]:
    """Every (query, target) within `radius` bits, exactly, without comparing all with all.

    Two hashes that differ in few bits are equal in one of the sets of bits of `_sets`. For each set both sides are
    sorted by these bits, and hashes that are equal in them are compared (G. S. Manku et al., "Detecting Near-Duplicates
    for Web Crawling", WWW 2007). So memory is read in order, and numpy alone is as fast as an index of lookups.

    Args:
        queries: uint64 of shape (q,).
        targets: uint64 of shape (t,).
        radius: Hamming distance in bits.

    Yields:
        Positions in `queries`, positions in `targets` and the distance. Each pair comes once; the order depends on the
        arguments alone. At most `_CHUNK` pairs come at a time, so that memory does not grow with the number of pairs.
    """
    asked = _Side.of(queries)
    held = asked if targets is queries else _Side.of(targets)
    equal = np.intersect1d(asked.values, held.values, assume_unique=True)
    yield from _positions(equal, equal, asked, held)
    sets = _sets(asked.values, held.values, radius)
    for number, bits in enumerate(sets):
        for x, y in _near(asked.values, held.values, bits, radius):
            apart, first = x ^ y, np.arange(len(x))
            for before in sets[:number]:  # the first set that finds a pair tells it
                first = first[apart[first] & np.uint64(before) != 0]
            yield from _positions(x[first], y[first], asked, held)


class _Side(NamedTuple):
    """Hashes, each once and sorted; `order[starts[k]:starts[k + 1]]` are the positions of the one at k."""

    values: Words
    order: Index
    starts: Index

    @classmethod
    def of(cls, words: Words) -> Self:
        order = np.argsort(words, kind="stable")
        starts = np.flatnonzero(_new(words[order]))
        return cls(words[order[starts]], order, np.append(starts, len(words)))


def _positions(x: Words, y: Words, asked: _Side, held: _Side) -> Iterator[tuple[Index, Index, NDArray[np.uint8]]]:
    """All pairs of positions of each pair of hashes, and the distance."""
    a, b = np.searchsorted(asked.values, x), np.searchsorted(held.values, y)
    wide = held.starts[b + 1] - held.starts[b]
    ends = np.cumsum((asked.starts[a + 1] - asked.starts[a]) * wide)
    count = int(ends[-1]) if len(ends) else 0
    for start in range(0, max(count, 1), _CHUNK):
        place = np.arange(start, min(start + _CHUNK, count))
        k = np.searchsorted(ends, place, side="right")
        i, j = np.divmod(ends[k] - 1 - place, wide[k])
        yield asked.order[asked.starts[a[k]] + i], held.order[held.starts[b[k]] + j], np.bitwise_count(x[k] ^ y[k])


def _sets(asked: Words, held: Words, radius: int) -> list[int]:
    """Sets of bits, so that hashes within `radius` are equal in at least one; those that a sample says cost least.

    Of three bands one differs in at most t bits, if the three t + 1 add up to more than `radius` (Qin et al., "GPH:
    Similarity Search in Hamming Space", ICDE 2018). Of its t + k blocks some k are equal. k = 0 compares all with all,
    which costs least where most hashes are near each other, as those of a fixed camera are.
    """
    few = [side[np.linspace(0, len(side) - 1, min(len(side), _SAMPLE)).astype(int)] for side in (asked, held)]
    apart = np.bitwise_xor.outer(*few).ravel()
    apart, pairs = apart[apart != 0], len(asked) * len(held)
    price = np.where(np.bitwise_count(apart) <= radius, _HIT, _PAIR) * pairs / max(len(apart), 1)

    def seconds(sets: Sequence[int]) -> float:
        sizes = 2.0 ** np.array([bits.bit_count() for bits in sets])
        even = _PAIR * pairs * (1 / sizes).sum()  # were each bit drawn; a sample is too small to say less
        seen = sum(price[apart & np.uint64(bits) == 0].sum() for bits in sets)
        sort = _SORT * len(sets) * (len(asked) + len(held))
        return float(max(even, seen) + sort + _BUCKET * np.minimum(sizes, len(asked)).sum())

    return min(([0], *(_blocks(k, radius) for k in range(1, 7))), key=seconds)


def _blocks(k: int, radius: int) -> list[int]:
    sets = []
    bands = min(3, radius + 1)
    for band in range(bands):
        start, end = 64 * band // bands, 64 * (band + 1) // bands
        count = (radius + 1 + band) // bands - 1 + k
        edges = [start + (end - start) * i // count for i in range(count + 1)]
        sets += [sum((1 << edges[i + 1]) - (1 << edges[i]) for i in chosen) for chosen in combinations(range(count), k)]
    return sets


def _near(asked: Words, held: Words, bits: int, radius: int) -> Iterator[tuple[Words, Words]]:
    """Pairs of different hashes within `radius` that are equal in a set of bits."""
    asks = _sorted(asked, bits)
    holds = asks if asked is held else _sorted(held, bits)
    top = np.uint64((1 << 64) - (1 << (64 - bits.bit_count())))
    starts = np.flatnonzero(_new(asks & top))
    key = asks[starts] & top
    ends = np.append(starts[1:], len(asks))
    rows = np.stack([starts, ends, np.searchsorted(holds, key), np.searchsorted(holds, key | ~top, side="right")])
    tiles = _tiles(rows)
    with ThreadPoolExecutor(cores()) as threads:  # numpy lets others run while it works
        while tasks := [task for _ in range(4 * cores()) if (task := list(islice(tiles, 8)))]:
            found = threads.map(partial(_compare, asks, holds, radius), tasks)
            x, y = map(np.concatenate, zip(*found, strict=True))
            for start in range(0, len(x), _CHUNK):
                part = slice(start, start + _CHUNK)
                yield _moved(x[part], bits, back=True), _moved(y[part], bits, back=True)


def _sorted(words: Words, bits: int) -> Words:
    """Sorted by a set of bits, which are moved to the top."""
    parts = np.array_split(words, len(words) // _TILE + 1)  # that the cache of a core holds
    moved = np.concatenate([_moved(part, bits) for part in parts])
    moved.sort()
    return moved


def _moved(words: Words, bits: int, *, back: bool = False) -> Words:
    """A set of bits moved to the top and the others below, or back."""
    moved, place = np.zeros_like(words), 64
    runs = [list(run) for _, run in groupby(range(63, -1, -1), lambda bit: bits >> bit & 1)]
    for run in sorted(runs, key=lambda run: -(bits >> run[0] & 1)):
        place -= len(run)
        source, target = (place, run[-1]) if back else (run[-1], place)
        moved |= (words >> np.uint64(source) & np.uint64((1 << len(run)) - 1)) << np.uint64(target)
    return moved


def _tiles(rows: Index) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of both sides in which all are compared with all, cut so that the cache of a core holds the products."""
    for first, last, low, high in rows.T.tolist():
        for c in range(low, high, _ROW):
            d = min(c + _ROW, high)
            step = -(-(last - first) // max(1, round((last - first) * (d - c) / _TILE)))
            yield from ((a, min(a + step, last), c, d) for a in range(first, last, step))


def _compare(asks: Words, holds: Words, radius: int, tiles: Iterable[tuple[int, int, int, int]]) -> tuple[Words, Words]:
    """Pairs of different hashes within `radius` in some ranges."""
    x, y = [asks[:0]], [asks[:0]]
    for a, b, c, d in tiles:
        distance = np.bitwise_count(asks[a:b, None] ^ holds[c:d])
        distance -= np.uint8(1)  # of equal ones 255: they are known
        near = np.flatnonzero(distance < radius)
        if len(near):
            i, j = np.divmod(near, d - c)
            x.append(asks[a + i])
            y.append(holds[c + j])
    return np.concatenate(x), np.concatenate(y)


def _new(words: Words) -> NDArray[np.bool_]:
    """Of sorted hashes those that differ from the one before."""
    return np.append(np.ones(min(len(words), 1), bool), words[1:] != words[:-1])
