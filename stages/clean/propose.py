"""Which pairs of pictures are worth a look: those whose hashes or low frequencies are close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.clean import hashes, neighbours, search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stages.clean.fingerprint import Fingerprint
    from stages.clean.params import Match

FLAT = 4.0  # grey levels; a hash of less contrast is noise
ALL_VARIANTS = 5_000  # pictures up to which vectors are compared in all 16 variants, not only as they are and mirrored


def candidates(use: Sequence[int], prints: Sequence[Fingerprint], match: Match) -> list[Any]:
    """Pairs worth a look among the pictures at the positions `use`, each in its likeliest orientation and crops.

    By hashes: some variant of a is within `match.distance` bits of the picture, or of the centre square, of b. By
    vectors, for up to `match.exhaustive_up_to` pictures: their cosine is at least `match.cosine`, or, among few,
    `match.cosine_few`.

    Returns:
        Tuples of a, b, distance, orientation, crop_a, crop_b as in `match.Pair`, sorted.
    """
    able = [k for k in use if min(prints[k].width, prints[k].height) >= match.min_side and prints[k].contrast >= FLAT]
    if len(able) < 2:
        return []
    words = _array([prints[k].words for k in able], "<u8", hashes.ORIENTATIONS)
    vectors = _array([prints[k].vectors for k in able], "i1", hashes.LOW**2)
    rows = [_by_hash(words, match.distance)]
    if len(able) <= match.exhaustive_up_to:
        rows += _by_vector(vectors, match.cosine_few if len(able) <= match.few else match.cosine)
    a, b, orientation, crop_a, crop_b = np.concatenate(rows, axis=1)
    oriented = hashes.orientations(vectors.reshape(-1, 2, hashes.LOW, hashes.LOW)).reshape(-1, 2, 8, hashes.LOW**2)
    cosine = np.einsum(
        "ij,ij->i", oriented[a, crop_a, orientation].astype(np.int32), vectors[b, crop_b].astype(np.int32)
    )
    order = np.lexsort((crop_b, crop_a, orientation, -cosine, b, a))  # of several ways to match a pair the best cosine
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(a[order]) != 0) | (np.diff(b[order]) != 0)
    best = order[first]
    distance = np.bitwise_count(words[a[best], crop_a[best], orientation[best]] ^ words[b[best], crop_b[best], 0])
    places = np.array(able)
    columns = (places[a[best]], places[b[best]], distance, orientation[best], crop_a[best], crop_b[best])
    return list(zip(*(c.tolist() for c in columns), strict=True))


def _array(texts: list[str], kind: str, length: int) -> NDArray[Any]:
    """Hexadecimal to an array (n, 2, length)."""
    return np.frombuffer(bytes.fromhex("".join(texts)), kind).reshape(-1, 2, length)


def _by_hash(words: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    crops = 1 if np.array_equal(words[:, 0], words[:, 1]) else 2  # 1: every picture is its own centre square
    # few look up many: a look-up costs more than one more comparison in it
    b, a, _ = search.pairs_between(words[:, :crops, 0].reshape(-1), words[:, :crops].reshape(-1), radius)
    found = np.stack([a // 8 // crops, b // crops, a % 8, a // 8 % crops, b % crops])
    return found[:, found[0] < found[1]]  # the pair turned round has the inverse orientation and the same distance


def _by_vector(vectors: NDArray[np.int8], cosine: float) -> list[NDArray[np.int64]]:
    if len(vectors) > ALL_VARIANTS:
        i, j, mirrored = neighbours.mirrored_pairs(vectors[:, 0], cosine)
        return [np.stack([i, j, mirrored, np.zeros_like(i), np.zeros_like(i)])]
    rows = []
    low = vectors.reshape(-1, 2, hashes.LOW, hashes.LOW)
    square = np.array_equal(vectors[:, 0], vectors[:, 1])  # every picture is its own centre square
    for crop_a, crop_b in ((0, 0),) if square else ((0, 0), (0, 1), (1, 0), (1, 1)):
        turned = hashes.orientations(low[:, crop_a]).reshape(len(low), hashes.ORIENTATIONS, -1)
        for orientation in range(hashes.ORIENTATIONS):
            i, j, _ = neighbours.pairs(turned[:, orientation], vectors[:, crop_b], cosine)
            rows.append(np.stack([i, j, *(np.full(len(i), v) for v in (orientation, crop_a, crop_b))]))
    return rows
