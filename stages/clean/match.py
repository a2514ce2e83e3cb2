"""Which pictures are the same, and which are similar: hashes and features propose pairs, pixels decide.

A pair is "same" when one picture is provably a copy of the other (it may be dropped), "similar" when both show the same
shot, or a part of it (they must not be split apart).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from stages.clean import search, small
from stages.clean.compare import UNLIKE, Evidence, Proof, compare, prove, proven
from stages.clean.describe import LEAST_SIDE, small_size
from stages.clean.hashes import INVERSE, hash_pairs, orient, turned_words
from stages.clean.opencv import frame, hold
from stages.clean.pictures import workers
from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from stages.clean.hashes import Index
    from stages.clean.params import Match
    from stages.clean.pictures import Pictures

Verdict = Literal["same", "similar", "different"]
FLAT = 4.0  # grey levels; a hash of less contrast is noise
_TURN = 1.5  # degrees; a picture that is turned by more is a turned copy
_CHUNK = 4096  # pairs that wait for a look, or small pairs that are looked at together
_WHOLE = 0.95  # share of the frame; a pair that shares less is laid frame on frame too


class Candidate(NamedTuple):
    """A pair worth a look: positions, and how the first is turned."""

    a: int
    b: int
    orientation: int
    by: Literal["hash", "features", "frequencies"]


@dataclass(frozen=True)
class Pair:
    """Two pictures, as positions in a list, and what was found.

    orientation: of `hashes.orient`, turns a into b. degrees: how a is turned against b besides.
    """

    a: int
    b: int
    orientation: int
    by: str
    degrees: float = 0.0
    evidence: Evidence = UNLIKE
    whole: small.Whole | None = None
    proof: Proof | None = None
    verdict: Verdict = "different"

    @property
    def strength(self) -> float:
        """How well they agree, 0 to 1."""
        return self.whole.detail if self.whole else max(self.evidence.agree, self.evidence.core_agree)

    @property
    def turned(self) -> str:
        """How the one is turned against the other, in words; empty where it is not."""
        words = ["mirrored"] * bool(self.orientation & 1) + ["upside down"] * bool(self.orientation & 2)
        words += ["axes swapped"] * bool(self.orientation & 4)
        words += [f"turned by {abs(self.degrees):.0f} degrees"] * (abs(self.degrees) > _TURN)
        return " and ".join(words)

    @property
    def said(self) -> str:
        """How the two relate, in words for the ledger."""
        if self.whole:
            found = f"detail {self.whole.detail:.2f}, colour {self.whole.colour:.2f}"
        else:
            found = (
                f"{self.evidence.agree:.0%} of {self.evidence.tiles} tiles agree, overlap {self.evidence.overlap:.0%}"
            )
        return ", ".join(filter(None, [self.turned, found]))


class Linked(DisjointSet):  # type: ignore[misc]
    """Disjoint sets of those that were joined. All others are alone, and take no memory here."""

    def __getitem__(self, one: int) -> int:
        """Which set it is in."""
        self.add(one)
        return int(super().__getitem__(one))

    def merge(self, one: int, other: int) -> bool:
        """Join the sets of two; whether they were apart."""
        return one != other and bool(super().merge(one, other))


def pairs(use: Sequence[int], pictures: Pictures) -> list[Pair]:
    """The pairs worth a look among the pictures at the positions `use`, with their verdicts, sorted.

    Of two pictures one is laid on the other, and of equally near candidates some come first. The content of the
    pictures decides which: renaming a file changes no verdict.
    """
    prints, match = pictures.prints, pictures.clean.match
    seen = [k for k in use if min(prints[k].width, prints[k].height) >= match.min_side and prints[k].contrast >= FLAT]
    able = sorted(seen, key=lambda k: (prints[k].pixels, k))
    tiny = {k for k in able if min(small_size(prints[k].width, prints[k].height)) < LEAST_SIDE}
    found: dict[tuple[int, int], Pair] = {}
    _look(list(_candidates(able, tiny, pictures)), tiny, pictures, found)
    # of several copies of one picture each must be compared with the best, whatever was nearest
    place = {k: at for at, k in enumerate(able)}
    same = Linked()
    for pair in found.values():
        if pair.verdict == "same":
            same.merge(pair.a, pair.b)
    rest = []
    for members in same.subsets():
        best = min(members, key=lambda k: (prints[k].quality, place[k]))
        rest += [sorted((best, k), key=place.__getitem__) for k in members if k != best]
    more = [Candidate(a, b, 0, "hash") for a, b in rest if (a, b) not in found]
    _look(more, tiny, pictures, found)
    return sorted((placed(pair, range(len(prints))) for pair in found.values()), key=lambda pair: (pair.a, pair.b))


def placed(pair: Pair, order: Sequence[int] | Mapping[int, int]) -> Pair:
    """The pair with its positions in another list, the smaller one first."""
    a, b = order[pair.a], order[pair.b]
    if a < b:
        return replace(pair, a=a, b=b)
    return replace(pair, a=b, b=a, orientation=INVERSE[pair.orientation], degrees=-pair.degrees)


def judge(pair: Pair, match: Match) -> Verdict:
    """Turn evidence into a verdict, by the thresholds of params.yaml."""
    if pair.whole:
        w = pair.whole
        in_place = w.moved <= match.small_moved and w.detail >= match.small_detail
        agrees = in_place or w.structure >= match.small_structure
        alike = agrees and w.colour >= match.small_colour and w.overlap >= match.small_overlap
        surely = (
            w.detail >= match.drop_small_detail
            and w.worst >= match.drop_small_worst
            and w.overlap >= match.drop_overlap
        )
        detailed = True
    else:
        e = pair.evidence
        detailed = e.tiles >= match.tiles
        over_all = detailed and e.agree >= match.agree
        in_part = e.core >= match.part and e.core_agree >= match.part_agree and e.inliers >= match.part_inliers
        alike = over_all or in_part
        surely = e.overlap >= match.drop_overlap and (e.agree >= match.drop_agree or not detailed)
    if surely and pair.proof and proven(pair.proof, match, detailed) and (match.turned == "drop" or not pair.turned):
        return "same"
    return "similar" if alike else "different"


def _candidates(able: Sequence[int], tiny: set[int], pictures: Pictures) -> Iterator[Candidate]:
    """Pairs by hashes, by local features and, of tiny pictures, by low frequencies: the nearest few of each picture."""
    match, prints = pictures.clean.match, pictures.prints
    places = np.array(able, np.int64)
    large = [k for k in able if k not in tiny]
    if len(able) < 2:
        return
    words = np.array([prints[k].word for k in able], np.uint64)
    hashed = hash_pairs(words, turned_words(words).ravel(), match.distance)
    rows = search.nearest((np.stack([a // 8, b, d, a % 8]) for b, a, d in hashed), match.nearest)
    yield from _named(rows, places, "hash")
    if len(large) > 1:
        a, b, mirrored, votes = search.feature_pairs([prints[k].features for k in large], match.votes)
        rows = search.nearest([np.stack([a, b, -votes, mirrored])], match.nearest)
        yield from _named(rows, np.array(large, np.int64), "features")
    if tiny:
        vectors = np.frombuffer(b"".join(prints[k].vector for k in able), np.int8).reshape(len(able), -1)
        asks = np.flatnonzero([k in tiny for k in able])
        near = search.vector_pairs(vectors, asks, match.cosine, match.nearest + 1)
        yield from _named(search.nearest([near], match.nearest), places, "frequencies")


def _named(rows: Index, places: Index, by: Literal["hash", "features", "frequencies"]) -> Iterator[Candidate]:
    a, b, _, orientation = rows
    return map(Candidate, places[a].tolist(), places[b].tolist(), orientation.tolist(), repeat(by))


def _look(rows: Sequence[Candidate], tiny: set[int], pictures: Pictures, found: dict[tuple[int, int], Pair]) -> None:
    """Compare pairs, and keep the better of two looks at a pair."""
    whole = [r for r in rows if r.a in tiny or r.b in tiny]
    large = sorted((r for r in rows if r.a not in tiny and r.b not in tiny), key=lambda r: (r.a, r.b))
    parts = (large[start : start + _CHUNK] for start in range(0, len(large), _CHUNK))
    count = workers(pictures.clean)  # OpenCV and faiss let other threads run while they compute
    with ThreadPoolExecutor(count, initializer=hold) as threads:
        every = (pair for part in parts for pair in threads.map(partial(_large, pictures=pictures), part))
        looks = list(progress(every, total=len(large), desc="compare"))
    for start in range(0, len(whole), _CHUNK):
        looks += _tiny(whole[start : start + _CHUNK], pictures)
    for pair in looks:
        known = found.get((pair.a, pair.b))
        better = {"different": 0, "similar": 1, "same": 2}
        if known is None or (better[pair.verdict], pair.strength) > (better[known.verdict], known.strength):
            found[pair.a, pair.b] = pair


def _large(row: Candidate, pictures: Pictures) -> Pair:
    """Lay the one picture on the other as their features say, or frame on frame."""
    pair = Pair(row.a, row.b, row.orientation, row.by)
    if row.by != "features":
        return _laid(pair, None, pictures)
    mine, other = pictures.prints[row.a].features, pictures.prints[row.b].features
    fit = search.fit(mine.mirrored if row.orientation else mine.upright, other.upright)
    if fit is None or fit.inliers < pictures.clean.match.inliers:
        return pair
    turn = float(np.degrees(np.arctan2(fit.warp[1, 0], fit.warp[0, 0])))
    laid = _laid(replace(pair, degrees=turn), fit, pictures)
    if laid.verdict != "same" or laid.evidence.overlap >= _WHOLE:
        return laid
    # A pattern that repeats agrees at many places: a difference may lie where this place does not reach. By default
    # `prove` has laid frame on frame already; the committed studies loosen `drop_moved`, so that it has not.
    framed = _laid(replace(pair, by="hash"), None, pictures)
    return framed if framed.proof and framed.evidence.overlap > laid.evidence.overlap else laid


def _laid(pair: Pair, fit: search.Fit | None, pictures: Pictures) -> Pair:
    """The pair with its evidence and verdict, from the transform of `fit`, or frame on frame."""
    first, second = pictures.thumb(pair.a), pictures.thumb(pair.b)
    first = np.ascontiguousarray(orient(first, pair.orientation))
    warp = frame(first, second) if fit is None else fit.warp
    return _settle(replace(pair, evidence=compare(first, second, warp, fit)), warp, pictures)


def _settle(pair: Pair, warp: NDArray[np.float64], pictures: Pictures) -> Pair:
    """Give the verdict; where only the proof of a copy is missing, look at all pixels."""
    match = pictures.clean.match
    hopeful = replace(pair, proof=Proof(0, 0, 1, 1, 0, 0))
    one_file = pictures.prints[pair.a].sha256 == pictures.prints[pair.b].sha256  # two boxes of it are two things
    if not one_file and judge(hopeful, match) == "same":
        pair = replace(pair, proof=_proof(pair, warp, pictures))
    return replace(pair, verdict=judge(pair, match))


def _proof(pair: Pair, warp: NDArray[np.float64], pictures: Pictures) -> Proof | None:
    """Compare all pixels; `warp` leads from the thumbnail of the second picture to that of the first."""
    with pictures.whole(pair.a, pair.b) as (plain, right):
        left = np.ascontiguousarray(orient(plain, pair.orientation))
        first, second = (small_size(side.shape[1], side.shape[0]) for side in (left, right))
        grow = np.diag([left.shape[1] / first[0], left.shape[0] / first[1]])
        shrink = np.diag([second[0] / right.shape[1], second[1] / right.shape[0], 1])
        return prove(left, right, grow @ warp @ shrink, pictures.clean.match)


def _tiny(rows: Sequence[Candidate], pictures: Pictures) -> list[Pair]:
    """Look at many small pairs at once."""
    prints = pictures.prints
    places: dict[tuple[int, int, int], int] = {}
    squares: list[NDArray[np.uint8]] = []
    left: list[int] = []
    right: list[int] = []
    for row in rows:
        ends = [prints[k] for k in (row.a, row.b)]
        side = small.side(min(v for p in ends for v in (p.width, p.height)))
        for k, orientation, into in ((row.a, row.orientation, left), (row.b, 0, right)):
            place = places.setdefault((k, side, orientation), len(squares))
            if place == len(squares):
                turned = orient(small.square(pictures.thumb(k), side), orientation)
                squares.append(np.ascontiguousarray(turned))
            into.append(place)
    grey = np.stack([small.square(s, 32).astype(np.float32).mean(axis=2) for s in squares])
    moved, scores = small.shifts(grey, left, right)
    found = []
    for row, a, b, shift, score in zip(rows, left, right, moved.tolist(), scores.tolist(), strict=True):
        side = len(squares[a])
        pair = Pair(row.a, row.b, row.orientation, row.by, whole=small.Whole())
        if score >= small.LEAST[side]:
            start = [v * side // 32 for v in shift]
            pair = replace(pair, whole=small.compare(squares[a], squares[b], start))
            first = orient(pictures.thumb(row.a), row.orientation)
            pair = _settle(pair, frame(first, pictures.thumb(row.b)), pictures)
        found.append(pair)
    return found
