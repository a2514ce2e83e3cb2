"""What depends on the design of a study: verdicts of fit over splits, what the intervals cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import statistics
from stages.aggregate import collect, fit, joint, resampled, single, summary
from stages.aggregate.params import Aggregate, Fit

FLAT = [{"epoch": str(i), "val_loss": repr(loss)} for i, loss in enumerate([2.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 1)]


def cells(gaps: list[float]) -> list[collect.CellResults]:
    """Cells that are this far better on train than on validation, a seed each."""
    return [
        collect.CellResults(
            "one",
            seed,
            {"classes": list("abc")},
            {("train", "top1"): 0.9, ("val", "top1"): 0.9 - gap},
            FLAT,
            pd.DataFrame(),
        )
        for seed, gap in enumerate(gaps)
    ]


def splits(number: int, seeds: int = 1, images: int = 50) -> list[collect.Tested]:
    """So many splits of `seeds` seeds, with other test images each: 100 to train on, 45 to validate, 30 to test."""
    counts = {"train": {"a": 100}, "val": {"a": 45}, "test": {"a": 30}}
    right = np.random.default_rng(0).integers(0, 2, (2, seeds, images))
    return [
        collect.Tested(
            collect.SharedSplit(list(range(i * seeds, (i + 1) * seeds)), counts),
            [f"{i}-{n}" for n in range(images)], [f"{i}-{n}" for n in range(images)], right, right, np.zeros(2),
        )
        for i in range(number)
    ]  # fmt: skip


def test_a_verdict_of_fit_is_for_other_images_where_seeds_have_splits() -> None:
    """Nadeau and Bengio's interval by hand; a t-interval over the ten seeds would call it overfit."""
    gaps = np.random.default_rng(2).normal(0.16, 0.06, 10).round(3)
    (row,) = fit.verdicts(cells(gaps.tolist()), Fit(), 0.05, splits(10))
    half = stats.t.ppf(0.975, 9) * np.sqrt((1 / 10 + 45 / 100) * gaps.var(ddof=1))
    low, high = 100 * (gaps.mean() - half), 100 * (gaps.mean() + half)
    assert f"({low:.1f} to {high:.1f}) points above validation" in row["rule"]
    assert low < 10 < 100 * stats.ttest_1samp(gaps, 0).confidence_interval(0.95).low
    assert row["verdict"] == "not decided"
    assert "the splits leave open whether it is overfit" in row["rule"]
    (plain,) = fit.verdicts(cells(gaps.tolist()), Fit(), 0.05, splits(1, seeds=10))
    assert plain["verdict"] == "overfit"


def test_seeds_of_one_split_are_one_value_of_it() -> None:
    gaps = [0.1, 0.3, 0.15, 0.25, 0.2, 0.22]
    (row,) = fit.verdicts(cells(gaps), Fit(), 0.05, splits(3, seeds=2))
    of_splits = summary.over_splits([gaps[:2], gaps[2:4], gaps[4:]], 0.45, 0.05)
    assert of_splits["ci_low"] is not None
    assert f"({100 * of_splits['ci_low']:.1f} to ".replace("-", chr(0x2212)) in row["rule"]


def test_a_drop_over_splits_covers_the_images_that_they_test() -> None:
    """One number a run; the test images differ between splits, so they are in what it varies by."""
    drops = [np.random.default_rng(i).normal(0.1, 0.02, (2, 1, 1)) for i in range(4)]
    tested = [
        collect.Tested(one.split, one.image_ids, one.groups, drop, one.predicted, one.added)
        for one, drop in zip(splits(4), drops, strict=True)
    ]
    settings = Aggregate(compare="robustness_drop")
    assert resampled.several_splits(tested, settings).covers == "images, seeds and splits"
    fixed = [
        collect.Tested(one.split, tested[0].image_ids, tested[0].groups, one.values, one.predicted, one.added)
        for one in tested
    ]
    assert resampled.several_splits(fixed, settings).covers == "seeds and splits"


def test_figures_without_variation_have_no_interval() -> None:
    assert summary.over_seeds([0.91] * 3, 0.05) == {"n": 3, "mean": 0.91, "sd": 0.0, "ci_low": None, "ci_high": None}
    assert summary.over_splits([[0.9, 0.9], [0.9, 0.9]], 0.3, 0.05)["ci_high"] is None
    row = single.one_split(np.full((3, 1), 0.25), "robustness_drop", 0.05)
    assert (row["mean"], row["ci_low"], row["run_low"]) == (0.25, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [(0.0, 4.0), (0.5, 3.0)])
def test_two_variants_of_unequal_spread_keep_the_level(spread: tuple[float, float]) -> None:
    rng = np.random.default_rng(21)
    made = [statistics.decided(statistics.simulate(rng, np.array(spread), 3, 2000))[1].any() for _ in range(600)]
    assert np.mean(made) <= 0.065 + 0.01  # three standard errors below the .09 that it was


def test_a_constant_variant_does_not_dilute_the_shared_variance() -> None:
    used, own = joint.shared(np.array([0.0, 1.2, 0.9, 1.4]), np.array([0.0, 1.0, 1.0, 1.0]), 2)
    alone, _ = joint.shared(np.array([1.2, 0.9, 1.4]), np.ones(3), 2)
    assert used.tolist() == [alone[0], *alone]
    assert not own.any()
