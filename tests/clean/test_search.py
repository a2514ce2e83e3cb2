"""The searches find every pair that they promise, and no other."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import ImageOps

from stages.clean import hashes, search
from stages.clean.describe import NO_FEATURES, Features

from .conftest import scene

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def together(parts: Iterable[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
    """All pairs of a search, sorted."""
    q, t, d = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((t, q))
    return q[order], t[order], d[order]


@pytest.mark.parametrize("blocks", [None, 1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("radius", [0, 1, 2, 4, 7, 8, 10])
def test_hash_pairs_equal_all_with_all(radius: int, blocks: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whichever sets of bits: so few hashes are compared all with all otherwise."""
    if blocks:
        monkeypatch.setattr(hashes, "_sets", lambda *_: hashes._blocks(blocks, radius))
    rng = np.random.default_rng(radius)
    queries = rng.integers(0, 2**64, 300, dtype=np.uint64)
    targets = queries[rng.integers(0, 300, 400)].copy()
    for _ in range(10):
        targets ^= np.uint64(1) << rng.integers(0, 64, 400, dtype=np.uint64)
    q, t, d = together(hashes.hash_pairs(queries, targets, radius))
    distance = np.bitwise_count(queries[:, None] ^ targets[None])
    expected = np.nonzero(distance <= radius)
    assert np.array_equal(np.stack([q, t]), np.stack(expected))
    assert np.array_equal(d, distance[expected])


def test_many_hashes_are_searched_with_few_comparisons() -> None:
    """20,000 at random, some a few bits apart, some equal; also those of which few bits differ in all."""
    rng = np.random.default_rng(3)
    words = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
    words[:500] = words[500:1000]
    for _ in range(8):
        words[:400] ^= np.uint64(1) << rng.integers(0, 64, 400, dtype=np.uint64)
    words[-2000:] &= np.uint64(0x1F1F1F1F)  # 20 bits
    q, t, d = together(hashes.hash_pairs(words, words, 8))
    at = 0
    for k, word in enumerate(words):
        distance = np.bitwise_count(words ^ word)
        near = np.flatnonzero(distance <= 8)
        part = slice(at, at + len(near))
        assert np.array_equal(t[part], near)
        assert np.array_equal(d[part], distance[near])
        assert np.array_equal(q[part], np.full(len(near), k))
        at += len(near)
    assert at == len(q)
    some = np.unique(words[:10_000])
    sets = hashes._sets(some, some, 8)
    assert sum(0.5 ** bits.bit_count() for bits in sets) < 0.1


@pytest.mark.parametrize(("asked", "held"), [(0, 0), (0, 5), (5, 0)])
def test_no_hashes_have_no_pairs(asked: int, held: int) -> None:
    words = np.arange(5, dtype=np.uint64)
    assert not sum(len(q) for q, _, _ in hashes.hash_pairs(words[:asked], words[:held], 8))


def test_many_equal_hashes_are_all_found() -> None:
    words = np.random.default_rng(1).integers(0, 2**10, 200, dtype=np.uint64)
    q, t, _ = together(hashes.hash_pairs(words, words, 2))
    expected = np.nonzero(np.bitwise_count(words[:, None] ^ words[None]) <= 2)
    assert np.array_equal(np.stack([q, t]), np.stack(expected))


def crowd(count: int, apart: int) -> NDArray[np.uint64]:
    """Hashes of pictures of a fixed camera, a few bits apart, with some others among them."""
    rng = np.random.default_rng(count)
    words = np.full(count, rng.integers(0, 2**64, dtype=np.uint64))
    for _ in range(apart):
        words ^= np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)
    words[::7] = rng.integers(0, 2**64, len(words[::7]), dtype=np.uint64)
    return words


def test_pairs_of_a_crowd_are_all_found_whatever_is_done_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    words = crowd(300, 3)
    expected = np.nonzero(np.bitwise_count(words[:, None] ^ words[None]) <= 8)
    for chunk in (4_000_000, 1000):
        monkeypatch.setattr(hashes, "_CHUNK", chunk)
        q, t, _ = together(hashes.hash_pairs(words, words, 8))
        assert np.array_equal(np.stack([q, t]), np.stack(expected))


@pytest.mark.parametrize("waiting", [10, 1000, 10_000_000])
def test_of_many_pairs_the_nearest_few_of_each_picture_stay(waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted one by one, over all 8 orientations."""
    monkeypatch.setattr(search, "_WAITING", waiting)
    words = crowd(60, 4)
    turned = hashes.turned_words(words)
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for a, b in itertools.combinations(range(60), 2):
        for k in range(8):
            distance = int(np.bitwise_count(turned[a, k] ^ words[b]))
            if distance <= 8:
                best[a, b] = min(best.get((a, b), (99, 0)), (distance, k))
    expected, taken = [], Counter[int]()
    for (a, b), (distance, k) in sorted(best.items(), key=lambda item: (item[1][0], item[0])):
        if min(taken[a], taken[b]) < 5:
            expected.append([a, b, distance, k])
        taken.update((a, b))
    monkeypatch.setattr(hashes, "_CHUNK", 3000)
    hashed = hashes.hash_pairs(words, turned.ravel(), 8)
    found = search.nearest((np.stack([a // 8, b, d, a % 8]) for b, a, d in hashed), 5)
    assert found.T.tolist() == expected
    assert 100 < len(expected) < len(best)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pairs_of_a_fixed_camera() -> None:
    words = crowd(3000, 3)
    tracemalloc.start()
    hashed = hashes.hash_pairs(words, hashes.turned_words(words).ravel(), 8)
    found = search.nearest((np.stack([a // 8, b, d, a % 8]) for b, a, d in hashed), 8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 3000 < found.shape[1] < 3000 * 8
    assert peak < 300e6  # all 6.6 million pairs as tuples: 1.5 GB


def unit(vectors: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.asarray(np.rint(127 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)), np.int8)


@pytest.mark.parametrize("kind", ["random", "natural", "alike", "equal", "symmetric"])
def test_vector_pairs_are_the_nearest_above_a_cosine(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All with all, where many axes count, where few do, where all are near each other, and where mirrors agree."""
    monkeypatch.setattr(search, "_WAITING", 5000)  # so that rows are thinned out more than once
    rng = np.random.default_rng(2)
    every = rng.normal(size=(1500, 64))
    every *= np.arange(1, 65) ** -0.7 if kind == "natural" else 1
    every += 5 * rng.normal(size=64) if kind == "alike" else 0
    every[:, 1::2] *= 0 if kind == "symmetric" else 1
    few = unit(every[[0] * 1500] if kind == "equal" else every)
    few[7] = 0  # a picture without low frequencies
    asks, least = np.sort(rng.permutation(1500)[:1100]), round(0.5 * 127 * 127)
    found = search.vector_pairs(few, asks, 0.5, 3)
    assert len(found.T) > 1000
    for orientation in (0, 1):
        q, t, d, _ = found[:, found[3] == orientation]
        products = hashes.turned_vector(few, orientation)[asks].astype(int) @ few.T.astype(int)
        expected = []
        for row, ask in zip(products, asks, strict=True):
            near = np.flatnonzero(row >= least)
            expected += [(ask, k, -row[k]) for k in near[np.argsort(-row[near], kind="stable")][:3]]
        assert list(zip(q, t, d, strict=True)) == expected


def test_features_find_a_crop_and_a_mirrored_crop_among_others() -> None:
    pictures = [scene(seed) for seed in range(12)]
    pictures.append(pictures[3].crop((60, 40, 272, 199)).resize((320, 240)))
    pictures.append(ImageOps.mirror(pictures[5]).crop((10, 20, 260, 230)))
    every = [Features.of(np.asarray(p)) for p in pictures]
    a, b, mirrored, votes = search.feature_pairs(every, 4)
    found = dict(zip(zip(a.tolist(), b.tolist(), mirrored.tolist(), strict=True), votes.tolist(), strict=True))
    assert found[3, 12, 0] >= 10
    assert found[5, 13, 1] >= 10
    best = list(dict.fromkeys(frozenset(pair[:2]) for pair in sorted(found, key=lambda pair: -found[pair])))
    assert set(best[:2]) == {frozenset((3, 12)), frozenset((5, 13))}
    there = search.fit(every[3].upright, every[12].upright)
    assert there is not None
    assert np.allclose(there.warp @ [0, 0, 1], [60, 40], atol=3)  # the corner of the crop
    assert there.warp[0, 0] == pytest.approx(212 / 320, abs=0.03)


def test_pictures_without_features_are_no_pairs() -> None:
    assert all(len(column) == 0 for column in search.feature_pairs([NO_FEATURES, NO_FEATURES], 4))


def test_features_come_back_from_their_bytes() -> None:
    one = Features.of(np.asarray(scene(1)))
    again = Features.unpacked(one.packed())
    assert np.array_equal(one.upright, again.upright)
    assert np.array_equal(one.mirrored, again.mirrored)
