"""The searches find every pair that they promise, and no other."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageOps

from stages.clean import search
from stages.clean.features import NONE, Features, fit

from .conftest import scene


@pytest.mark.parametrize("radius", [0, 2, 4, 7, 8, 10, 16])
def test_hash_pairs_equal_all_with_all(radius: int) -> None:
    rng = np.random.default_rng(radius)
    queries = rng.integers(0, 2**64, 300, dtype=np.uint64)
    targets = queries[rng.integers(0, 300, 400)].copy()
    for _ in range(10):
        targets ^= np.uint64(1) << rng.integers(0, 64, 400, dtype=np.uint64)
    q, t, d = search.hash_pairs(queries, targets, radius)
    distance = np.bitwise_count(queries[:, None] ^ targets[None])
    expected = np.nonzero(distance <= radius)
    assert np.array_equal(np.stack([q, t]), np.stack(expected))
    assert np.array_equal(d, distance[expected])


def test_many_equal_hashes_are_all_found() -> None:
    words = np.random.default_rng(1).integers(0, 2**10, 200, dtype=np.uint64)
    q, t, _ = search.hash_pairs(words, words, 2)
    expected = np.nonzero(np.bitwise_count(words[:, None] ^ words[None]) <= 2)
    assert np.array_equal(np.stack([q, t]), np.stack(expected))


def test_vector_pairs_are_the_nearest_above_a_cosine() -> None:
    vectors = np.random.default_rng(2).normal(size=(1500, 64))
    vectors = np.rint(127 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.int8)
    q, t, d = search.vector_pairs(vectors[:1100], vectors, 0.2, 3)
    products = vectors[:1100].astype(int) @ vectors.T.astype(int)
    assert np.array_equal(d, products[q, t])
    for row in range(1100):
        best = np.sort(products[row])[::-1][:3]
        assert sorted(d[q == row], reverse=True) == [v for v in best if v >= round(0.2 * 127 * 127)]


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
    there = fit(every[3].upright, every[12].upright)
    assert there is not None
    assert np.allclose(there.warp @ [0, 0, 1], [60, 40], atol=3)  # the corner of the crop
    assert there.warp[0, 0] == pytest.approx(212 / 320, abs=0.03)


def test_pictures_without_features_are_no_pairs() -> None:
    assert all(len(column) == 0 for column in search.feature_pairs([NONE, NONE], 4))


def test_features_come_back_from_their_bytes() -> None:
    one = Features.of(np.asarray(scene(1)))
    again = Features.unpacked(one.packed())
    assert np.array_equal(one.upright, again.upright)
    assert np.array_equal(one.mirrored, again.mirrored)
