"""Simulated differences are covered as often as promised; no difference is found where there is none."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from stages.aggregate import compare, summary

Wobble = tuple[float, float]


def simulate(
    rng: np.random.Generator, studies: int, seeds: int, images: int, wobble: tuple[float, float]
) -> np.ndarray:
    """Right or wrong (2 * studies, seeds, images): two variants a study, `wobble` is the SD of their seeds."""
    hardness = rng.normal(size=(studies, 1, 1, images))
    run = rng.normal(size=(studies, 2, seeds, 1)) * np.array(wobble)[:, None, None]
    skill = np.array([0.9, 0.5])[None, :, None, None]
    noise = rng.normal(size=(studies, 2, seeds, images))
    right: np.ndarray = (skill + run + hardness + noise > 0).astype(np.int64).reshape(-1, seeds, images)
    return right


def compared(right: np.ndarray, names: list[str]) -> list[dict[str, Any]]:
    return compare.compare(right, names, compare.bootstrap(right, 200), 0.05)


def truth(wobble: tuple[float, float]) -> float:
    a, b = np.sqrt(2 + np.array(wobble) ** 2)
    return float(stats.norm.cdf(0.9 / a) - stats.norm.cdf(0.5 / b))


@pytest.mark.parametrize(
    ("seeds", "wobble"),
    [(3, (0.0, 0.0)), (3, (0.1, 0.1)), (3, (0.3, 0.3)), (3, (0.0, 0.3)), (5, (0.1, 0.05)), (10, (0.2, 0.2))],
)
def test_the_interval_covers_a_known_difference(seeds: int, wobble: tuple[float, float]) -> None:
    studies = 2000
    right = simulate(np.random.default_rng(7), studies, seeds, 200, wobble)
    parts = compare.spread(right, [(2 * i, 2 * i + 1) for i in range(studies)])
    low, high, _ = compare.interval(parts, 0.05)
    covered = ((low <= truth(wobble)) & (truth(wobble) <= high)).mean()
    assert 0.93 <= covered <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("wobble", [(0.1,) * 8, (0.05,) * 7 + (0.5,), (0.0,) * 8])
def test_among_equal_variants_a_difference_is_rarely_found(wobble: tuple[float, ...]) -> None:
    """The family-wise error after Holm's adjustment stays near its level, also where seeds vary unequally."""
    rng, studies, images = np.random.default_rng(11), 200, 300
    pairs = list(itertools.combinations(range(8), 2))
    shift = 0.5 * np.sqrt(2 + np.array(wobble) ** 2)  # the same accuracy, whatever the wobble
    found = 0
    for _ in range(studies):
        run = rng.normal(size=(8, 3, 1)) * np.array(wobble)[:, None, None]
        hardness, noise = rng.normal(size=images), rng.normal(size=(8, 3, images))
        right = (shift[:, None, None] + run + hardness + noise > 0).astype(np.int64)
        _, _, p = compare.interval(compare.spread(right, pairs), 0.05)
        found += bool(p.min() * len(pairs) < 0.05)  # Holm's first step
    assert found / studies <= 0.09


def test_the_bootstrap_interval_covers_the_difference_of_these_very_networks() -> None:
    rng, studies = np.random.default_rng(3), 300
    covered = 0
    for _ in range(studies):
        hardness, noise = rng.normal(size=150), rng.normal(size=(2, 3, 150))
        right = (np.array([0.9, 0.5])[:, None, None] + hardness + noise > 0).astype(np.int64)
        draws = compare.bootstrap(right, 400)
        low, high = np.quantile(draws[:, 0] - draws[:, 1], [0.025, 0.975])
        covered += low <= truth((0.0, 0.0)) <= high
    assert 0.92 <= covered / studies <= 0.98


def test_identical_variants_differ_by_nothing() -> None:
    right = np.random.default_rng(0).integers(0, 2, (1, 3, 50))
    (row,) = compared(np.concatenate([right, right]), ["a", "b"])
    assert (row["difference"], row["p"], row["p_holm"], row["effect_size"]) == (0, 1, 1, 0)
    assert (row["ci_low"], row["ci_high"], row["image_ci_low"], row["image_ci_high"]) == (0, 0, 0, 0)
    assert (row["verdict"], row["images_needed"], row["seeds_needed"]) == ("identical", None, None)


def test_swapping_the_variants_swaps_the_signs() -> None:
    right = simulate(np.random.default_rng(1), 1, 3, 80, (0.2, 0.2))
    (one,) = compared(right, ["a", "b"])
    (two,) = compared(right[::-1], ["b", "a"])
    assert one["difference"] == -two["difference"]
    assert (one["ci_low"], one["p"]) == (-two["ci_high"], two["p"])
    assert one["effect_size"] == pytest.approx(-two["effect_size"])


def test_one_seed_is_the_paired_t_test_over_images() -> None:
    right = simulate(np.random.default_rng(2), 1, 1, 120, (0.0, 0.0))
    (row,) = compared(right, ["a", "b"])
    theirs = stats.ttest_rel(right[0, 0], right[1, 0])
    assert row["p"] == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(theirs.confidence_interval(0.95)), rel=1e-9)
    assert row["covers"] == "images"


def test_one_seed_decides_nothing_however_far_apart() -> None:
    """Two networks may well differ on these images; that says nothing of their recipes."""
    right = np.array([[[1] * 190 + [0] * 10], [[1] * 20 + [0] * 180]])
    (row,) = compared(right, ["a", "b"])
    assert row["p_holm"] < 1e-50
    assert row["image_ci_low"] > 0
    assert row["verdict"] == "undecided"
    assert (row["images_needed"], row["seeds_needed"]) == (None, 2)
    (twice,) = compared(np.repeat(right, 2, axis=1), ["a", "b"])
    assert twice["verdict"] == "a better"


def test_one_seed_needs_images_too_where_they_leave_it_open() -> None:
    right = np.array([[[1] * 60 + [0] * 40], [[1] * 55 + [0] * 45]])[:, :, np.random.default_rng(0).permutation(100)]
    right[1] = np.roll(right[1], 37, axis=1)
    (row,) = compared(right, ["a", "b"])
    assert row["p_holm"] > 0.05
    assert row["verdict"] == "undecided"
    assert row["images_needed"] > 0
    assert row["seeds_needed"] == 2


def test_holm_is_over_all_pairs() -> None:
    rng = np.random.default_rng(4)
    right = np.concatenate([simulate(rng, 2, 3, 100, (0.1, 0.1))])
    rows = compared(right, list("abcd"))
    order = sorted(rows, key=lambda row: row["p"])
    so_far = 0.0
    for rank, row in enumerate(order):
        so_far = max(so_far, min(1.0, row["p"] * (len(rows) - rank)))
        assert row["p_holm"] == pytest.approx(so_far, rel=1e-9)


@pytest.mark.parametrize("seeds", [1, 3])
def test_needed_is_the_least_number_that_decides_with_80_percent_power(seeds: int) -> None:
    """Simulated again with that many images, a difference of that size is found about 80 times in 100."""
    rng, calm, images = np.random.default_rng(5), (0.0, 0.0), 60
    large = compare.spread(simulate(rng, 1, 3 if seeds > 1 else 1, 40_000, calm), [(0, 1)])
    rest = (large.rest_a, large.rest_b)
    pilot = compare.Spread(seeds, images, large.difference, *rest, *rest, large.image, large.rest)
    more, _ = compare.needed(pilot, 0, 0.05)
    assert more
    right = simulate(rng, 500, seeds, images + more, calm)
    _, _, p = compare.interval(compare.spread(right, [(2 * i, 2 * i + 1) for i in range(500)]), 0.05)
    assert 0.72 <= (p < 0.05).mean() <= 0.88


def test_more_seeds_are_advised_where_seeds_are_what_varies() -> None:
    values = [np.array([x]) for x in (0.02, 2.0, 1.0, 0.12, 0.12, 0.05, 0.25)]
    images, seeds = compare.needed(compare.Spread(3, 10_000, *values), 0, 0.05)
    assert images is None  # no number of images outweighs three seeds that disagree
    assert seeds is not None
    assert 1 <= seeds <= 100


def test_seeds_that_agree_by_chance_decide_nothing_that_the_images_leave_open() -> None:
    """Three seeds may happen to be equally good; the images alone then still have to tell the variants apart."""
    rng = np.random.default_rng(0)
    right = np.zeros((2, 3, 60), dtype=np.int64)
    for seed in range(3):
        right[0, seed, rng.permutation(60)[:36]] = 1  # always 36 of 60
        right[1, seed, rng.permutation(60)[:33]] = 1  # always 33 of 60
    (row,) = compared(right, ["a", "b"])
    assert row["image_ci_low"] <= 0 <= row["image_ci_high"]
    assert row["p_holm"] < 0.05
    assert row["verdict"] == "undecided"
    assert row["images_needed"] > 0


def test_one_variant_has_no_pairs() -> None:
    assert compared(np.ones((1, 3, 9), dtype=np.int64), ["a"]) == []


def test_interval_over_seeds_is_students() -> None:
    values = [0.5, 0.7, 0.9]
    row = summary.over_seeds(values, 0.05)
    low, high = stats.t.interval(0.95, 2, 0.7, stats.sem(values))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
    assert summary.over_seeds([0.5], 0.05) == {"n": 1, "mean": 0.5, "sd": None, "ci_low": None, "ci_high": None}
