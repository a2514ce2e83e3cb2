"""Which pictures are the same, and which are alike: hashes propose pairs, pixels decide.

A pair is "same" when one picture is provably a copy of the other (it may be dropped), "similar" when it is only likely
to show the same thing (it must not be split apart). A hash alone decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from stages.clean import decode, hashes, search
from stages.clean.fingerprint import read
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from stages.clean.fingerprint import Fingerprint, Job
    from stages.clean.params import Clean, Match

SIDE = 64  # px of the thumbnails that are compared
FLAT = 4.0  # grey levels; a hash of less contrast is noise
CROPS = ("whole", "centre")


@dataclass(frozen=True)
class Pair:
    """Two pictures, as positions in a list, a < b.

    orientation: of `hashes.orient`, turns `crop_a` of a into `crop_b` of b. distance: bits between their hashes.
    """

    a: int
    b: int
    distance: int
    orientation: int
    crop_a: int
    crop_b: int
    correlation: float = 0.0
    verdict: Literal["same", "similar", "different"] = "different"

    @property
    def said(self) -> str:
        """How the two relate, in words for the ledger."""
        crops = "" if self.crop_a == self.crop_b == 0 else f", {CROPS[self.crop_a]} against {CROPS[self.crop_b]}"
        turned = f", orientation {self.orientation}" if self.orientation else ""
        return f"pHash distance {self.distance}{turned}{crops}, correlation {self.correlation:.3f}"


def candidates(prints: Sequence[Fingerprint], match: Match) -> list[Pair]:
    """Every pair with some variant of a within `match.distance` bits of the picture, or the centre square, of b."""
    able = [k for k, p in enumerate(prints) if min(p.width, p.height) >= match.min_side and p.contrast >= FLAT]
    if len(able) < 2:
        return []
    words = np.array([prints[k].words for k in able], np.uint64).reshape(-1, 2, hashes.ORIENTATIONS)
    queries, targets = words.reshape(-1), words[:, :, 0].reshape(-1)
    q, t, distance = search.pairs_between(queries, targets, match.distance)
    a, crop_a, orientation = q // 16, q // 8 % 2, q % 8
    b, crop_b = t // 2, t % 2
    keep = a < b  # the pair turned round has the inverse orientation and the same distance
    table = np.stack([a, b, distance, crop_a + crop_b, orientation, crop_a, crop_b])[:, keep]
    table = table[:, np.lexsort(table[::-1])]
    first = np.ones(table.shape[1], bool)
    first[1:] = (np.diff(table[0]) != 0) | (np.diff(table[1]) != 0)
    return [
        Pair(able[a], able[b], int(d), int(o), int(ca), int(cb)) for a, b, d, _, o, ca, cb in table[:, first].T.tolist()
    ]


def compare(pairs: Sequence[Pair], jobs: Sequence[Job], clean: Clean) -> list[Pair]:
    """Look at the pixels of each pair and give it a verdict."""

    @lru_cache(maxsize=20_000)
    def thumbnail(at: int, crop: int) -> NDArray[np.uint8]:
        picture = decode.decode(read(jobs[at].file), clean, jobs[at].box).image
        image = hashes.centre_square(picture) if crop else picture
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))

    return [_compare(pair, thumbnail, clean.match) for pair in progress(pairs, desc="compare")]


def _compare(pair: Pair, thumbnail: Callable[[int, int], NDArray[np.uint8]], match: Match) -> Pair:
    left = hashes.orient(thumbnail(pair.a, pair.crop_a), pair.orientation)
    right = thumbnail(pair.b, pair.crop_b)
    value = correlation(left, right)
    verdict: Literal["same", "similar", "different"] = "different"
    if value >= match.drop_correlation:
        verdict = "same"
    elif value >= match.group_correlation:
        verdict = "similar"
    return Pair(pair.a, pair.b, pair.distance, pair.orientation, pair.crop_a, pair.crop_b, round(value, 4), verdict)


def correlation(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    """Pearson correlation of two arrays of pixels of one shape; 0 where one is flat."""
    a, b = left.astype(np.float64).ravel(), right.astype(np.float64).ravel()
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else 0.0
