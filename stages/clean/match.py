"""Which pictures are the same, and which are alike: hashes and vectors propose pairs, pixels decide.

A pair is "same" when one picture is provably a copy of the other (it may be dropped), "similar" when it is likely to
show the same shot (it must not be split apart). No hash alone decides anything.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from stages.clean import decode, hashes, neighbours, search, shift, verify
from stages.clean.cache import Cache, key
from stages.clean.fingerprint import identity, picture, read, workers
from stages.clean.thumbs import Reader
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from tqdm import tqdm

    from stages.clean.fingerprint import Fingerprint, Job
    from stages.clean.params import Clean, Match
    from stages.clean.verify import Evidence

Verdict = Literal["same", "similar", "different"]
_VERSION = 2  # raise it when the evidence on the same pair changes
SIDES = (64, 32)  # px at which pairs are compared: the largest that both pictures have, roughly
FLAT = 4.0  # grey levels; a hash of less contrast is noise
CROPS = ("whole", "centre")
ALL_VARIANTS = 5_000  # pictures up to which vectors are compared in all 16 variants, not only as they are and mirrored
_CHUNK = 256
_REMEMBERED = 200_000_000  # bytes of thumbnails


@dataclass(frozen=True)
class Pair:
    """Two pictures, as positions in a list, a < b.

    orientation: of `hashes.orient`, turns `crop_a` of a into `crop_b` of b. distance: bits between their hashes.
    """

    a: int
    b: int
    distance: int
    orientation: int = 0
    crop_a: int = 0
    crop_b: int = 0
    evidence: Evidence = verify.UNLIKE
    verdict: Verdict = "different"

    @property
    def said(self) -> str:
        """How the two relate, in words for the ledger."""
        crops = "" if self.crop_a == self.crop_b == 0 else f", {CROPS[self.crop_a]} against {CROPS[self.crop_b]}"
        turned = f", orientation {self.orientation}" if self.orientation else ""
        e = self.evidence
        return f"pHash distance {self.distance}{turned}{crops}, detail {e.detail:.2f}, colour {e.colour:.2f}"


def candidates(prints: Sequence[Fingerprint], match: Match) -> list[Pair]:
    """Pairs worth a look, each in its likeliest orientation and crops.

    By hashes: some variant of a is within `match.distance` bits of the picture, or of the centre square, of b. By
    vectors, for up to `match.exhaustive_up_to` pictures: their cosine is at least `match.cosine`, or, among few,
    `match.cosine_few`.
    """
    able = [k for k, p in enumerate(prints) if min(p.width, p.height) >= match.min_side and p.contrast >= FLAT]
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
    columns = (a[best], b[best], distance, orientation[best], crop_a[best], crop_b[best])
    return [Pair(able[i], able[j], *rest) for i, j, *rest in zip(*(c.tolist() for c in columns), strict=True)]


def _array(texts: list[str], kind: str, length: int) -> NDArray[Any]:
    """Hexadecimal to an array (n, 2, length)."""
    return np.frombuffer(bytes.fromhex("".join(texts)), kind).reshape(-1, 2, length)


def _by_hash(words: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    crops = 1 if np.array_equal(words[:, 0], words[:, 1]) else 2  # 1: every picture is its own centre square
    q, t, _ = search.pairs_between(words[:, :crops].reshape(-1), words[:, :crops, 0].reshape(-1), radius)
    found = np.stack([q // 8 // crops, t // crops, q % 8, q // 8 % crops, t % crops])
    return found[:, found[0] < found[1]]  # the pair turned round has the inverse orientation and the same distance


def _by_vector(vectors: NDArray[np.int8], cosine: float) -> list[NDArray[np.int64]]:
    few = len(vectors) <= ALL_VARIANTS
    rows = []
    low = vectors.reshape(-1, 2, hashes.LOW, hashes.LOW)
    square = np.array_equal(vectors[:, 0], vectors[:, 1])  # every picture is its own centre square
    for crop_a, crop_b in ((0, 0), (0, 1), (1, 0), (1, 1)) if few and not square else ((0, 0),):
        turned = hashes.orientations(low[:, crop_a]).reshape(len(low), hashes.ORIENTATIONS, -1)
        for orientation in range(hashes.ORIENTATIONS if few else 2):
            i, j, _ = neighbours.pairs(turned[:, orientation], vectors[:, crop_b], cosine)
            rows.append(np.stack([i, j, *(np.full(len(i), v) for v in (orientation, crop_a, crop_b))]))
    return rows


def compare(
    pairs: Sequence[Pair], prints: Sequence[Fingerprint], jobs: Sequence[Job], clean: Clean, cache: Cache
) -> list[Pair]:
    """Look at the pixels of each pair and give it a verdict."""
    reader = Reader(clean)

    @lru_cache(maxsize=_REMEMBERED // (SIDES[0] ** 2 * 3))
    def thumbnail(at: int, crop: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        pixels = _pixels(jobs[at], prints[at], clean, reader)
        if crop or pixels.shape[:2] != (side, side):
            image = Image.fromarray(pixels)
            image = hashes.centre_square(image) if crop else image
            pixels = np.asarray(image.resize((side, side), Image.Resampling.BOX))
        times = side // shift.SIDE
        small = pixels.reshape(shift.SIDE, times, shift.SIDE, times * 3).mean(axis=(1, 3), dtype=np.float32)
        return pixels, small

    def look(pairs: list[Pair]) -> list[Evidence]:
        sides = [_side(prints[p.a], prints[p.b]) for p in pairs]
        right = [thumbnail(p.b, p.crop_b, side) for p, side in zip(pairs, sides, strict=True)]
        left = []
        for pair, side in zip(pairs, sides, strict=True):
            pixels, small = thumbnail(pair.a, pair.crop_a, side)
            turned = np.ascontiguousarray(hashes.orient(pixels, pair.orientation))
            left.append((turned, hashes.orient(small, pair.orientation)))
        shifts, scores = shift.estimate(np.stack([s for _, s in left]), np.stack([s for _, s in right]))
        found = []
        for (a, _), (b, _), (x, y), score in zip(left, right, shifts.tolist(), scores.tolist(), strict=True):
            times = len(b) // shift.SIDE
            found.append(verify.compare(a, b, (x * times, y * times)) if score >= shift.LEAST else verify.UNLIKE)
        return found

    names = [identity(job, p.sha256, clean) for job, p in zip(jobs, prints, strict=True)]

    def part(chunk: Sequence[Pair]) -> list[Pair]:
        keys = [
            key("pair", _VERSION, verify.METHOD, names[p.a], names[p.b], p.orientation, p.crop_a, p.crop_b)
            for p in chunk
        ]
        known = cache.get(keys)
        new = [(k, p) for k, p in zip(keys, chunk, strict=True) if k not in known]
        fresh = dict(zip([k for k, _ in new], look([p for _, p in new]), strict=True)) if new else {}
        cache.put((k, list(vars(e).values())) for k, e in fresh.items())
        evidence = fresh | {k: verify.Evidence(*v) for k, v in known.items()}
        return [judge(replace(p, evidence=evidence[k]), prints, clean.match) for k, p in zip(keys, chunk, strict=True)]

    judged: list[Pair] = []
    bar: tqdm[None]
    with ThreadPoolExecutor(workers(clean)) as pool, progress(total=len(pairs), desc="compare", unit="pair") as bar:
        for done in pool.map(part, _chunks(pairs)):
            judged += done
            bar.update(len(done))
    return judged


def judge(pair: Pair, prints: Sequence[Fingerprint], match: Match) -> Pair:
    """Turn evidence into a verdict, by the thresholds of params.yaml.

    Two shots of a scene agree in layout; one shot agrees in detail. To be dropped a picture must also agree in
    colour, in every part, and hardly be moved: what may be another frame of a series, or another label on the same
    bottle, stays.
    """
    e = pair.evidence
    one_file = prints[pair.a].sha256 == prints[pair.b].sha256  # two boxes of one photograph are two things
    verdict: Verdict = "different"
    if e.detail >= match.group_detail and e.colour >= match.group_colour and e.overlap >= match.group_overlap:
        verdict = "similar"
        sure = e.detail >= match.drop_detail and e.worst >= match.drop_worst and e.colour >= match.drop_colour
        if sure and e.overlap >= match.drop_overlap and not one_file:
            verdict = "same"
    return replace(pair, verdict=verdict)


def _side(one: Fingerprint, other: Fingerprint) -> int:
    smallest = min(one.width, one.height, other.width, other.height)
    return next((side for side in SIDES if smallest >= 0.75 * side), SIDES[-1])


def _pixels(job: Job, known: Fingerprint, clean: Clean, reader: Reader) -> NDArray[np.uint8]:
    try:
        if known.suffix == ".jpg":
            return reader.pixels(read(job.file), job.box)[0]
        return np.asarray(picture(job, known, clean).image)
    except decode.Refused:  # laying out will notice that the file has changed
        return np.zeros((SIDES[-1], SIDES[-1], 3), np.uint8)


def _chunks(pairs: Sequence[Pair]) -> Iterable[Sequence[Pair]]:
    return (pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK))
