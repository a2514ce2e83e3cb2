"""The search finds every pair within a distance and no other."""

from __future__ import annotations

import numpy as np
import pytest

from stages.clean import hashes, neighbours, search


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("radius", [0, 2, 4, 8, 10, 16])
def test_equal_to_all_with_all(radius: int, compiled: bool) -> None:
    if compiled:
        pytest.importorskip("numba")
    rng = np.random.default_rng(radius)
    queries = rng.integers(0, 2**64, 300, dtype=np.uint64)
    targets = queries[rng.integers(0, 300, 400)].copy()
    for _ in range(10):
        targets ^= np.uint64(1) << rng.integers(0, 64, 400, dtype=np.uint64)
    q, t, d = search.pairs_between(queries, targets, radius, compiled=compiled)
    distance = np.bitwise_count(queries[:, None] ^ targets[None])
    expected = np.nonzero(distance <= radius)
    assert np.array_equal(np.stack([q, t]), np.stack(expected))
    assert np.array_equal(d, distance[expected])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("radius", [2, 8])
def test_in_itself_each_pair_comes_once(radius: int, compiled: bool) -> None:
    if compiled:
        pytest.importorskip("numba")
    words = np.random.default_rng(1).integers(0, 2**10, 200, dtype=np.uint64)
    q, t, _ = search.pairs_between(words, words, radius, later=True, compiled=compiled)
    expected = np.nonzero(np.triu(np.bitwise_count(words[:, None] ^ words[None]) <= radius, 1))
    assert np.array_equal(np.stack([q, t]), np.stack(expected))


def test_neighbours_by_cosine() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(500, 64))
    vectors = np.rint(127 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.int8)
    i, j, dots = neighbours.pairs(vectors, vectors, 0.3)
    products = vectors.astype(int) @ vectors.T.astype(int)
    expected = np.nonzero(np.triu(products >= round(0.3 * 127 * 127), 1))
    assert np.array_equal(np.stack([i, j]), np.stack(expected))
    assert np.array_equal(dots, products[expected])


def test_neighbours_as_they_are_and_mirrored() -> None:
    rng = np.random.default_rng(3)
    low = rng.normal(size=(1500, 8, 8))  # more than a block of rows, and of columns
    low[700] = low[3] * np.where(np.arange(8) % 2, -1, 1)  # one mirrored
    vectors = np.rint(127 * low / np.linalg.norm(low, axis=(1, 2), keepdims=True)).astype(np.int8)
    turned = hashes.orientations(vectors)[:, :2].reshape(len(low), 2, 64)
    expected = set()
    for orientation in (0, 1):
        i, j, _ = neighbours.pairs(turned[:, orientation], turned[:, 0], 0.3)
        expected |= {(a, b, orientation) for a, b in zip(i.tolist(), j.tolist(), strict=True)}
    found = list(zip(*(c.tolist() for c in neighbours.mirrored_pairs(turned[:, 0], 0.3)), strict=True))
    assert (3, 700, 1) in found
    assert len(found) == len(expected)
    assert set(found) == expected
