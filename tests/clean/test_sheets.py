"""Which pairs the sheet of doubtful ones shows."""

from __future__ import annotations

import pytest

from stages.clean import sheets
from stages.clean.compare import Evidence
from stages.clean.match import Pair, Verdict


def pair(place: int, verdict: Verdict, strength: float) -> Pair:
    return Pair(place, place + 1, 0, "hash", evidence=Evidence(agree=strength), verdict=verdict)


@pytest.mark.parametrize(("similar", "missed"), [(500, 300), (500, 3), (5, 300), (5, 3), (500, 0), (0, 300), (30, 30)])
def test_misses_are_shown_however_many_similar_pairs_there_are(similar: int, missed: int) -> None:
    pairs = [pair(2 * k, "similar", 0.6 + k / 5000) for k in range(similar)]
    pairs += [pair(2 * k, "different", 0.5 - k / 5000) for k in range(missed)]
    found = sheets._borderline(pairs[::-1])
    kinds = [one.verdict for one in found]
    assert len(found) == min(similar + missed, sheets.BORDERLINE)
    assert kinds.count("different") >= min(missed, sheets.BORDERLINE // 2)
    assert kinds.count("similar") >= min(similar, sheets.BORDERLINE // 2)
    assert found == pairs[: kinds.count("similar")] + pairs[similar : similar + kinds.count("different")]
