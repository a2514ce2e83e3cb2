"""Groups of unequal size, splits that vary unequally, classes without images: level and cover, by simulation."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from stages.aggregate import __main__ as stage
from stages.aggregate import collect, compare, resampled, values
from stages.aggregate.params import Aggregate

UNEQUAL = [40] * 10 + [1] * 60
NLL = Aggregate(compare="nll")


def one_split(table: np.ndarray, groups: list[str], split: int = 0) -> collect.Tested:
    """Values (variants, seeds, images) of one split; no two answers are alike."""
    counts = {"train": {"a": 300}, "val": {"a": 100}, "test": {"a": table.shape[2]}}
    ids = [f"{split}-{place}" for place in range(table.shape[2])]
    return collect.Tested(
        collect.SharedSplit([split], counts), ids, groups, table, np.zeros_like(table, dtype=int), np.zeros(len(table))
    )


def test_intervals_cover_new_groups_of_unequal_size() -> None:
    """Ten large groups and sixty images: counted as seventy, they covered .92, and .08 of studies had a "better"."""
    rng, studies = np.random.default_rng(3), 1500
    group = np.repeat(np.arange(len(UNEQUAL)), UNEQUAL)
    names = [f"{place:02}" for place in group]
    covered = np.zeros(2)
    for _ in range(studies):
        table = 0.7 + rng.normal(0, 0.1, (2, 1, len(UNEQUAL)))[..., group] + rng.normal(0, 0.1, (2, 3, len(group)))
        (row,) = stage._compare([one_split(table, names)], ["a", "b"], NLL)
        ends: Any = [(row["ci_low"], row["ci_high"]), (row["joint_ci_low"], row["joint_ci_high"])]
        covered += [low <= 0 <= high for low, high in ends]
    assert (np.abs(covered / studies - 0.95) < 0.017).all()


@pytest.mark.parametrize("sizes", [UNEQUAL, [300, 200, 150] + [20] * 60, [7] * 30])
def test_what_groups_are_worth_makes_up_for_the_mean_that_they_share(sizes: list[int]) -> None:
    """The expectation of the sum of squares, by its matrix: with the factor it is the variance of the mean."""
    weight = np.array(sizes) / sum(sizes)
    away = np.eye(len(sizes)) - np.outer(np.ones(len(sizes)), weight)
    found = values.worth(str(group) for group, size in enumerate(sizes) for _ in range(size))
    shown = float(np.trace(away.T @ np.diag(weight**2) @ away))
    assert shown * found.small_sample == pytest.approx((weight**2).sum())
    assert found.groups == pytest.approx(1 / (weight**2).sum())


def test_the_variance_of_a_mean_over_splits_is_that_of_the_groups() -> None:
    """Two splits that test the same groups: in the mean over studies, the squares add up to its variance."""
    rng, sums, means = np.random.default_rng(4), [], []
    group = np.repeat(np.arange(len(UNEQUAL)), UNEQUAL)
    names = [f"{place:02}" for place in group]
    for _ in range(600):
        table = rng.normal(0, 1, (1, 1, len(UNEQUAL)))[..., group]
        shares = resampled.influence([one_split(table, names), one_split(table, names, 1)])
        sums.append(float(shares[0] @ shares[0]))
        means.append(table.mean())
    assert np.mean(sums) == pytest.approx(
        (np.array(list(Counter(group).values())) ** 2).sum() / len(group) ** 2, rel=0.05
    )
    assert np.mean(sums) == pytest.approx(np.var(means), rel=0.15)


def test_one_of_four_variants_that_varies_more_on_three_splits_is_rarely_called_better() -> None:
    """Splits that share images as Nadeau and Bengio have it; before, .12 of such studies had a "better"."""
    rng, pairs, ratio, found = np.random.default_rng(2), compare.all_pairs(4), 0.4, 0
    spread, common = np.array([8, 0.5, 0.5, 0.5])[:, None] / 100, ratio / (1 + ratio)
    for _ in range(1000):
        shared, own = rng.normal(size=(4, 1)), rng.normal(size=(4, 3))
        table = 0.8 + spread * (np.sqrt(common) * shared + np.sqrt(1 - common) * own)
        judged = resampled.family(table, pairs, ratio, np.zeros(len(pairs)), np.zeros(4))
        found += bool((judged.p() < 0.05).any())
    assert found / 1000 <= 0.075
