"""Groups of unequal size, splits that vary unequally, classes without images: level and cover, by simulation."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from stages.aggregate import __main__ as stage
from stages.aggregate import collect, compare, fit, resampled, summary, values
from stages.aggregate.params import Aggregate, Fit

UNEQUAL = [40] * 10 + [1] * 60
NLL = Aggregate(compare="nll")


def one_split(table: np.ndarray, groups: list[str], split: int = 0) -> collect.Tested:
    """Values (variants, seeds, images) of one split; no two answers are alike."""
    counts = {"train": {"a": 300}, "val": {"a": 100}, "test": {"a": table.shape[2]}}
    ids = [f"{split}-{place}" for place in range(table.shape[2])]
    return collect.Tested(
        collect.SharedSplit([split], counts), ids, groups, table, np.zeros_like(table, dtype=int), np.zeros(len(table))
    )


@pytest.mark.slow
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
    found = values.group_sizes(str(group) for group, size in enumerate(sizes) for _ in range(size))
    shown = float(np.trace(away.T @ np.diag(weight**2) @ away))
    assert shown * found.small_sample == pytest.approx((weight**2).sum())
    assert found.equal_groups == pytest.approx(1 / (weight**2).sum())


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


def test_a_part_of_the_variance_has_no_interval_of_no_width() -> None:
    """The splits agree by more than their seeds allow, so that even the upper limit is below 0."""
    rows = {row["part"]: row for row in summary.causes(np.array([[0.7, 0.9], [0.71, 0.89]]), 0.05)}
    assert (rows["split"]["sd"], rows["split"]["sd_low"], rows["split"]["sd_high"]) == (0, None, None)
    assert rows["initialisation"]["sd_low"] < rows["initialisation"]["sd"] < rows["initialisation"]["sd_high"]


def test_macro_f1_of_images_is_its_mean_and_its_slope() -> None:
    """The influence of an image is how fast the metric changes with the weight of the image."""
    rng = np.random.default_rng(0)
    label = rng.choice(list("abc"), 60)
    guess = np.where(rng.random(60) < 0.7, label, rng.choice(list("abc"), 60))
    each = values.OF_IMAGES["macro_f1"](pd.DataFrame({"label": label, "predicted": guess}))
    assert each.mean() == pytest.approx(f1_score(label, guess, average="macro"))
    for image in range(5):
        weight = np.ones(60)
        weight[image] += 1e-6
        ahead = f1_score(label, guess, average="macro", sample_weight=weight) - each.mean()
        assert each[image] - each.mean() == pytest.approx(60 * ahead / 1e-6, abs=1e-3)


def test_a_loss_that_rose_is_not_said_to_have_fallen() -> None:
    ends = dict.fromkeys(fit.COLUMNS[3:], (0.0, 0.0, 0.0))
    ends |= {"val_loss_fall": (-0.043, -0.407, 0.32), "train_top1": (0.9, 0.85, 0.95), "fall_of_chance": (0, -1, 1)}
    verdict, rule = fit._judge({key: fit._Interval(*end) for key, end in ends.items()}, Fit(), 3, 1)
    assert verdict == "not decided"
    assert "validation loss rose by 4.3 (−32.0 to 40.7) % in the last quarter" in rule  # noqa: RUF001


def test_runs_that_agree_to_the_last_digit_are_judged_where_another_variant_varies() -> None:
    """As docs/statistics.md has it: the variance of the third is lent to the two whose runs agree."""
    rng = np.random.default_rng(1)
    still = np.stack([np.repeat((np.arange(300) < n)[None], 5, axis=0) for n in (290, 180)])
    moving = rng.random((1, 5, 300)) < 0.5
    right = np.concatenate([still, moving]).astype(int)
    rows = compare.rows(compare.one_split(right, right, Aggregate()), list("abc"), Aggregate())
    assert rows[0]["verdict"] == "a better"
    (alone,) = compare.rows(compare.one_split(right[:2], right[:2], Aggregate()), list("ab"), Aggregate())
    assert alone["verdict"] == "refused"
