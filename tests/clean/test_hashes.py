"""The hash is imagehash's, and turned pictures have the hashes and vectors that are worked out for them."""

from __future__ import annotations

import imagehash
import numpy as np
from PIL import Image

from stages.clean import describe, hashes

from .conftest import photo


def test_the_hash_is_that_of_imagehash() -> None:
    for seed in range(20):
        image = photo(seed, *np.random.default_rng(seed).integers(5, 400, 2).tolist())
        assert describe.phash(describe.thumbnail(image)) == int(str(imagehash.phash(image)), 16)


def test_hashes_of_turned_pictures_are_found_within_a_few_bits() -> None:
    distances = []
    for seed in range(30):
        thumb = describe.thumbnail(photo(seed, 200, 160))
        turned = hashes.turned_words(np.array([describe.phash(thumb)], np.uint64))[0]
        for k in range(hashes.ORIENTATIONS):
            image = Image.fromarray(hashes.orient(np.asarray(thumb), k))
            distances.append(int(turned[k] ^ np.uint64(describe.phash(image))).bit_count())
    assert max(distances[:: hashes.ORIENTATIONS]) == 0
    assert np.percentile(distances, 95) <= 6


def test_vectors_of_a_turned_picture_are_the_turned_vectors() -> None:
    thumb = describe.thumbnail(photo(3))
    vector = describe.vector(thumb)[None]
    for k in range(hashes.ORIENTATIONS):
        direct = describe.vector(Image.fromarray(hashes.orient(np.asarray(thumb), k)))
        assert np.abs(direct.astype(int) - hashes.turned_vector(vector, k)[0]).max() <= 1
