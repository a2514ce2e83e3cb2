"""Which pictures are the same, and which are alike: hashes and vectors propose pairs, pixels decide.

A pair is "same" when one picture is provably a copy of the other (it may be dropped), "similar" when it is likely to
show the same shot (it must not be split apart). No hash alone decides anything.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from stages.clean import decode, hashes, propose, shift, verify
from stages.clean.cache import Cache, key
from stages.clean.fingerprint import content, identity, picture, workers
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tqdm import tqdm

    from stages.clean.fingerprint import Fingerprint, Job
    from stages.clean.params import Clean, Match
    from stages.clean.thumbs import Reader
    from stages.clean.verify import Evidence

Row = tuple[int, int, int, int, int, int]  # the first fields of Pair
Verdict = Literal["same", "similar", "different"]
_VERSION = 4  # raise it when the evidence on the same pair changes
SIDES = (64, 32)  # px at which pairs are compared: the largest that both pictures have, roughly
# correlation from which a pair is registered, by side: of 3,049 pairs of CIFAR-10 that agree once they are registered
# 1 % stay below 0.7, of the others 78 %; larger pictures are fewer, and more often scaled
LEAST_SHIFTED = {64: 0.5, 32: 0.7}
CROPS = ("whole", "centre", "part")
PART = 2
_CHUNK = 256
_REMEMBERED = 200_000_000  # bytes of thumbnails


@dataclass(frozen=True)
class Pair:
    """Two pictures, as positions in a list, a < b.

    orientation: of `hashes.orient`, turns `crop_a` of a into `crop_b` of b. distance: bits between their hashes.
    Of what is found by a shared part (`PART`) the hashes are those of the whole pictures.
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


def pairs(use: Sequence[int], prints: Sequence[Fingerprint], look: Looker, clean: Clean, cache: Cache) -> list[Pair]:
    """The pairs worth a look among the pictures at the positions `use`, looked at, with their verdicts."""
    match = clean.match
    names = [identity(job, p.sha256, clean) for job, p in zip(look.jobs, prints, strict=True)]
    proposed = match.min_side, match.distance, match.cosine, match.few, match.cosine_few, match.exhaustive_up_to
    whole = key("pairs", _VERSION, verify.METHOD, proposed, use, b"".join(names[k] for k in use))
    if whole not in (known := cache.get([whole])):
        rows = propose.candidates(use, prints, match)
        known = {whole: (rows, _compare(rows, names, look, clean, cache))}
        if not look.changed:
            cache.put(known.items())
    found = []
    for (a, b, distance, orientation, crop_a, crop_b), values in zip(*known[whole], strict=True):
        evidence = verify.Evidence(*values) if values else verify.UNLIKE
        verdict = judge(evidence, match, one_file=prints[a].sha256 == prints[b].sha256)
        found.append(Pair(a, b, distance, orientation, crop_a, crop_b, evidence, verdict))
    return found


def _compare(
    rows: Sequence[Row], names: Sequence[bytes], look: Looker, clean: Clean, cache: Cache
) -> list[list[float]]:
    """Look at the pixels of each pair; a list of evidence each, empty for `UNLIKE`."""
    method = key("pair", _VERSION, verify.METHOD)

    def part(chunk: Sequence[Row]) -> list[list[float]]:
        keys = [_digest(method + names[a] + names[b] + bytes(turned)) for a, b, _, *turned in chunk]
        known = cache.get(keys)
        new = [k for k, name in enumerate(keys) if name not in known]
        if new:
            fresh = [list(vars(e).values()) if e.overlap else [] for e in look([chunk[k] for k in new])]
            fresh_by_key = dict(zip([keys[k] for k in new], fresh, strict=True))
            if not look.changed:
                cache.put(fresh_by_key.items())
            known |= fresh_by_key
        return [known[name] for name in keys]

    values: list[list[float]] = []
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    bar: tqdm[None]
    with ThreadPoolExecutor(workers(clean)) as pool, progress(total=len(rows), desc="compare", unit="pair") as bar:
        for done in pool.map(part, chunks):
            values += done
            bar.update(len(done))
    return values


class Looker:
    """Looks at the pixels of pairs, many at a time."""

    def __init__(self, prints: Sequence[Fingerprint], jobs: Sequence[Job], clean: Clean, reader: Reader) -> None:
        self._prints, self.jobs, self._clean, self._reader = prints, jobs, clean, reader
        self.changed = False  # whether a file was found not to be what was fingerprinted: then nothing is remembered
        self._thumbnail = lru_cache(maxsize=_REMEMBERED // (SIDES[0] ** 2 * 3))(self._thumbnail_of)

    def __call__(self, rows: Sequence[Row]) -> list[Evidence]:
        """Evidence on each pair."""
        places: dict[tuple[int, int, int, int], int] = {}  # of a picture as it is turned, in the two lists after it
        pictures: list[NDArray[np.uint8]] = []
        small: list[NDArray[np.float32]] = []

        def place(at: int, crop: int, side: int, orientation: int) -> int:
            known = places.setdefault((at, crop, side, orientation), len(pictures))
            if known == len(pictures):
                pixels, grey = self._thumbnail(at, crop, side)
                pictures.append(np.ascontiguousarray(hashes.orient(pixels, orientation)))
                small.append(hashes.orient(grey, orientation))
            return known

        left, right = [], []
        for a, b, _, orientation, crop_a, crop_b in rows:
            side = _side(self._prints[a], self._prints[b])
            left.append(place(a, crop_a, side, orientation))
            right.append(place(b, crop_b, side, 0))
        shifts, scores = shift.estimate(np.stack(small), left, right)
        found = []
        for k, other, (x, y), score in zip(left, right, shifts.tolist(), scores.tolist(), strict=True):
            side = len(pictures[k])
            start = x * side // shift.SIDE, y * side // shift.SIDE
            worth = score >= LEAST_SHIFTED[side]
            found.append(verify.compare(pictures[k], pictures[other], start) if worth else verify.UNLIKE)
        return found

    def _thumbnail_of(self, at: int, crop: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The picture or its centre square, (side, side, 3), and grey, (32, 32)."""
        pixels = self.pixels(at)
        if crop or pixels.shape[:2] != (side, side):
            image = Image.fromarray(pixels)
            image = hashes.centre_square(image) if crop else image
            pixels = np.asarray(image.resize((side, side), Image.Resampling.BOX))
        times = side // shift.SIDE
        total = pixels[..., 0].astype(np.uint16) + pixels[..., 1] + pixels[..., 2]  # in less time than `mean` takes
        if times > 1:
            total = total.reshape(shift.SIDE, times, shift.SIDE, times).sum(axis=(1, 3))
        return pixels, total.astype(np.float32) / np.float32(3 * times * times)

    def pixels(self, at: int) -> NDArray[np.uint8]:
        """The normalised picture, (height, width, 3); something black where the file has changed."""
        job, known = self.jobs[at], self._prints[at]
        kept = self._reader.kept(known.sha256, job.box)
        if kept is not None:
            return kept
        try:
            if known.suffix == ".jpg":
                return self._reader.pixels(content(job.file, known, self._reader), job.box)[0]
            return np.asarray(picture(job, known, self._clean, self._reader))
        except decode.Refused:  # laying out will notice that the file has changed
            self.changed = True
            return np.zeros((SIDES[-1], SIDES[-1], 3), np.uint8)


def judge(evidence: Evidence, match: Match, *, one_file: bool = False) -> Verdict:
    """Turn evidence into a verdict, by the thresholds of params.yaml.

    Two shots of a scene agree in layout; one shot agrees in detail. To be dropped a picture must also agree in
    colour, in every part, and hardly be moved: what may be another frame of a series, or another label on the same
    bottle, stays. Two boxes of `one_file` are two things.
    """
    e = evidence
    if e.detail < match.group_detail or e.colour < match.group_colour or e.overlap < match.group_overlap:
        return "different"
    sure = e.detail >= match.drop_detail and e.worst >= match.drop_worst and e.colour >= match.drop_colour
    return "same" if sure and e.overlap >= match.drop_overlap and not one_file else "similar"


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def _side(one: Fingerprint, other: Fingerprint) -> int:
    smallest = min(one.width, one.height, other.width, other.height)
    return next((side for side in SIDES if smallest >= 0.75 * side), SIDES[-1])
