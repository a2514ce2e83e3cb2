"""The hash is imagehash's, and turned pictures have the hashes and vectors that are worked out for them."""

from __future__ import annotations

import imagehash
import numpy as np
from PIL import Image

from stages.clean import features

from .conftest import photo


def test_the_hash_is_that_of_imagehash() -> None:
    for seed in range(20):
        image = photo(seed, *np.random.default_rng(seed).integers(5, 400, 2).tolist())
        assert features.phash(features.thumbnail(image)) == int(str(imagehash.phash(image)), 16)


def test_hashes_of_turned_pictures_are_found_within_a_few_bits() -> None:
    distances = []
    for seed in range(30):
        thumb = features.thumbnail(photo(seed, 200, 160))
        turned = features.turned_words(np.array([features.phash(thumb)], np.uint64))[0]
        for k in range(features.ORIENTATIONS):
            image = Image.fromarray(features.orient(np.asarray(thumb), k))
            distances.append(int(turned[k] ^ np.uint64(features.phash(image))).bit_count())
    assert max(distances[:: features.ORIENTATIONS]) == 0
    assert np.percentile(distances, 95) <= 6


def test_vectors_of_a_turned_picture_are_the_turned_vectors() -> None:
    thumb = features.thumbnail(photo(3))
    vector = features.vector(thumb)[None]
    for k in range(features.ORIENTATIONS):
        direct = features.vector(Image.fromarray(features.orient(np.asarray(thumb), k)))
        assert np.abs(direct.astype(int) - features.turned_vector(vector, k)[0]).max() <= 1
