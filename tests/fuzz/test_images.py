"""Mutated pictures of every format: no crash, no hang, one verdict each, and the same one from any worker.

`EVENHAND_FUZZ=100000` tries so many in place of the few hundred of the default run.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from stages.clean import isolate
from stages.clean.decode import Refused

from . import mutate

REASONS = {"not_an_image", "unreadable", "truncated", "too_large", "too_small", "corrupt_data"}


def verdicts(seeds: range, workers: int) -> list[str]:
    found = isolate.each(mutate.verdict, seeds, workers=workers, seconds=20, gigabytes=2)
    return [str(one) if isinstance(one, Refused) else one for one in found]


def check(seeds: range) -> Counter[str]:
    found = verdicts(seeds, 2)
    assert len(found) == len(seeds)
    ended = [(seed, one) for seed, one in zip(seeds, found, strict=True) if "crashed" in one or "longer than" in one]
    assert ended == []
    counts = Counter(one.split(" ")[0].rstrip(":") for one in found)
    assert set(counts) <= REASONS | {"kept"}
    return counts


def test_the_corpus_is_whole() -> None:
    from stages.clean import decode
    from stages.clean.params import Clean

    for data in mutate.corpus():
        picture = decode.decode(data, Clean())
        assert picture.image.size == (40, 32)
        assert picture.note in ("", "animated", "ground")


def test_mutated_pictures() -> None:
    counts = check(range(int(os.environ.get("EVENHAND_FUZZ", "300"))))
    assert len(counts) >= 4, counts  # the mutations reach every kind of verdict, not the first check alone


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.weekly) for seed in range(1, 10))])
def test_2000_mutated_pictures(seed: int) -> None:
    check(range(1_000_000 + seed * 2000, 1_000_000 + (seed + 1) * 2000))


@pytest.mark.slow
def test_one_verdict_from_any_worker() -> None:
    seeds = range(5000, 5200)
    assert verdicts(seeds, 1) == verdicts(seeds, 4)
