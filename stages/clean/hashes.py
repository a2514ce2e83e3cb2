"""Hashes of pictures: how turning a picture changes them, and pairs that are near each other, all of them.

Mirroring a picture changes the sign of the odd columns of its cosine transform, turning it over the sign of the odd
rows. A bit of the hash says whether a coefficient is above the median, which is near 0, so a turned picture has the
hash with those bits flipped, but for a few. The low frequencies are exact in every orientation.

Pairs are found exactly: sorted by numpy, compared by faiss.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations, groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from stages.clean.describe import LOW
from stages.core.children import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

Index = NDArray[np.int64]
Words = NDArray[np.uint64]
_Kind = TypeVar("_Kind", np.bool_, np.int8)
ORIENTATIONS = 8
INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)  # of an orientation: what turns the picture back
_ODD = np.arange(LOW) % 2 == 1
_AT_ONCE = 65_536  # hashes
_CHUNK = 250_000  # pairs given at a time
_TILE, _ROW = 65_536, 4096  # pairs that the cache of a core holds; of these, hashes of one side
_SAMPLE = 256
_SORT, _BUCKET, _PAIR, _HIT = 1e-8, 7e-6, 2.5e-10, 1e-7  # s: a hash sorted, a bucket, a pair compared, one found


def orient(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn an array (height, width, ...): bit 1 mirrors, bit 2 turns upside down, bit 4 swaps axes, in this order."""
    if orientation & 1:
        pixels = pixels[:, ::-1]
    if orientation & 2:
        pixels = pixels[::-1]
    return np.swapaxes(pixels, 0, 1) if orientation & 4 else pixels


def turned_words(words: Words) -> Words:
    """Hashes (n,) in the 8 orientations of `orient`, (n, 8), up to a few bits."""
    found = np.empty((len(words), ORIENTATIONS), np.uint64)
    for start in range(0, len(words), _AT_ONCE):  # a bit takes a byte here
        part = words[start : start + _AT_ONCE].astype(">u8").view(np.uint8)
        bits = np.unpackbits(part).reshape(-1, LOW, LOW).astype(bool)
        for k in range(ORIENTATIONS):
            turned = np.packbits(_turn(bits, k, np.logical_xor).reshape(len(bits), -1), axis=-1)
            found[start : start + _AT_ONCE, k] = turned.view(">u8")[:, 0]
    return found


def turned_vector(vectors: NDArray[np.int8], orientation: int) -> NDArray[np.int8]:
    """Vectors (n, 64) of the pictures in one of the 8 orientations of `orient`."""
    square = vectors.reshape(-1, LOW, LOW)
    return np.ascontiguousarray(_turn(square, orientation, _negate)).reshape(-1, LOW * LOW)


def _negate(values: NDArray[np.int8], where: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.where(where, -values, values).astype(np.int8)


def _turn(
    square: NDArray[_Kind], orientation: int, change: Callable[[NDArray[_Kind], NDArray[np.bool_]], NDArray[_Kind]]
) -> NDArray[_Kind]:
    """Change the odd columns and rows of arrays (..., 8, 8) as a turned picture does."""
    odd = np.broadcast_to(_ODD, (LOW, LOW))
    if orientation & 1:
        square = change(square, odd)
    if orientation & 2:
        square = change(square, odd.T)
    return np.swapaxes(square, -1, -2) if orientation & 4 else square


def hash_pairs(queries: Words, targets: Words, radius: int) -> Iterator[tuple[Index, Index, NDArray[np.uint8]]]:
    """Every (query, target) within `radius` bits, exactly, without comparing all with all.

    Two hashes that differ in few bits are equal in one of the sets of bits of `_sets`. For each set both sides are
    sorted by these bits, and hashes that are equal in them are compared (G. S. Manku et al., "Detecting Near-Duplicates
    for Web Crawling", WWW 2007). Memory is read in order.

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
    with ThreadPoolExecutor(cores()) as threads:  # numpy and faiss let others run while they work
        sorting = (threads.submit(_sorted, asked.values, held.values, bits) for bits in sets)
        following = next(sorting)
        for number, bits in enumerate(sets):
            sides, following = following.result(), next(sorting, following)  # the next is sorted meanwhile
            for x, y in _near(threads, sides, bits, radius):
                apart, first = x ^ y, np.arange(len(x))
                for before in sets[:number]:  # pairs that an earlier set has found are left out
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
        starts = np.flatnonzero(firsts(words[order]))
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


def _sorted(asked: Words, held: Words, bits: int) -> tuple[Words, Words, Index]:
    """Both sides sorted by a set of bits, which are moved to the top, and the ranges of both that are equal in them."""

    def by_bits(words: Words) -> Words:
        parts = np.array_split(words, len(words) // _TILE + 1)  # that the cache of a core holds
        moved = np.concatenate([_moved(part, bits) for part in parts])
        moved.sort()
        return moved

    asks = by_bits(asked)
    holds = asks if asked is held else by_bits(held)
    top = np.uint64((1 << 64) - (1 << (64 - bits.bit_count())))
    starts = np.flatnonzero(firsts(asks & top))
    key, ends = asks[starts] & top, np.append(starts, len(asks))[1:]
    bounds = np.searchsorted(holds, key), np.searchsorted(holds, key | ~top, side="right")
    return asks, holds, np.stack([starts, ends, *bounds])


def _near(
    threads: ThreadPoolExecutor, sides: tuple[Words, Words, Index], bits: int, radius: int
) -> Iterator[tuple[Words, Words]]:
    """Pairs of different hashes within `radius` that are equal in a set of bits."""
    asks, holds, rows = sides
    tiles = _tiles(rows)
    while tasks := [task for _ in range(4 * cores()) if (task := list(islice(tiles, 8)))]:
        x, y = map(np.concatenate, zip(*threads.map(partial(_compare, asks, holds, radius), tasks), strict=True))
        for start in range(0, len(x), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield _moved(x[part], bits, back=True), _moved(y[part], bits, back=True)


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
    left, right = (side.view(np.uint8).reshape(-1, 8) for side in (asks, holds))
    for a, b, c, d in tiles:
        distance = hamming(left[a:b], right[c:d]).ravel()
        distance -= 1  # of equal hashes the largest number without a sign: these pairs are known
        near = np.flatnonzero(distance.view(np.uint32) < radius)
        if len(near):
            i, j = np.divmod(near, d - c)
            x.append(asks[a + i])
            y.append(holds[c + j])
    return np.concatenate(x), np.concatenate(y)


def hamming(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Hamming distances, int32 (n, m), of all pairs of rows of two contiguous arrays, uint8 (n, bytes), (m, bytes)."""
    distance = np.empty((len(left), len(right)), np.int32)
    sides = map(faiss.swig_ptr, (left, right))
    faiss.hammings(*sides, *distance.shape, left.shape[1], faiss.swig_ptr(distance))  # type: ignore[attr-defined]
    return distance


def firsts(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Of sorted values (n,), or sorted columns (rows, n), those that differ from the one before: bool (n,)."""
    rows = np.atleast_2d(values)
    return np.append(np.ones(min(rows.shape[1], 1), bool), (rows[:, 1:] != rows[:, :-1]).any(axis=0))
