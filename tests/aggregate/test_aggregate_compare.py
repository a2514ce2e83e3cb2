"""Simulated differences are covered as often as promised; no difference is found where there is none."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import statistics
from stages.aggregate import collect, compare, joint, single, summary, values
from stages.aggregate.params import Aggregate
from stages.core.metrics import WHOLE_CELL

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
    if len(right) == 1:
        return []
    return compare.rows(compare.one_split(right, right, Aggregate()), names, Aggregate())


def truth(wobble: tuple[float, float]) -> float:
    a, b = np.sqrt(2 + np.array(wobble) ** 2)
    return float(stats.norm.cdf(0.9 / a) - stats.norm.cdf(0.5 / b))


@pytest.mark.parametrize(
    ("seeds", "wobble"),
    [
        (3, (0.0, 0.0)),
        (3, (0.0, 0.3)),
        (5, (0.1, 0.05)),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((3, (0.1, 0.1)), (3, (0.3, 0.3)), (10, (0.2, 0.2)))),
    ],
)
def test_the_interval_covers_a_known_difference(seeds: int, wobble: tuple[float, float]) -> None:
    studies = 2000
    right = simulate(np.random.default_rng(7), studies, seeds, 200, wobble)
    parts = compare.spread(right, [(2 * i, 2 * i + 1) for i in range(studies)])
    low, high, _ = compare.interval(parts.difference, *parts.variance(), 0.05)
    covered = ((low <= truth(wobble)) & (truth(wobble) <= high)).mean()
    assert 0.93 <= covered <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("wobble", [(0.1,) * 8, (0.05,) * 7 + (0.5,), (0.0,) * 8, (0.05, 0.2) * 4])
@pytest.mark.parametrize("seeds", [2, 3])
def test_among_equal_variants_a_difference_is_rarely_found(seeds: int, wobble: tuple[float, ...]) -> None:
    """The error of the whole family stays near its level, also where seeds vary unequally and are few."""
    rng, studies, images = np.random.default_rng(11), 200, 1000
    shift = 0.5 * np.sqrt(2 + np.array(wobble) ** 2)  # the same accuracy, whatever the wobble
    found = 0
    for _ in range(studies):
        run = rng.normal(size=(8, seeds, 1)) * np.array(wobble)[:, None, None]
        hardness, noise = rng.normal(size=images), rng.normal(size=(8, seeds, images))
        right = (shift[:, None, None] + run + hardness + noise > 0).astype(np.int64)
        found += bool((compare.one_split(right, right, Aggregate()).family.p() < 0.05).any())
    assert found / studies <= 0.095  # .05, and chance of 200 studies


@pytest.mark.slow
def test_a_real_difference_is_found_as_often_as_is_promised() -> None:
    """5 points, 5 variants, 3 seeds with an SD of 1 point, 300 images."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        right = statistics.simulate(rng, np.full(5, 1.0), 3, 300, 0.05)
        found.append(statistics.decided(right)[1][:4].mean())
    assert np.mean(found) >= 0.33


def test_the_studentized_range_is_that_of_scipy() -> None:
    for count, freedom in ((2, 2.0), (3, 4.3), (10, 60.0), (37, 8.0)):
        q = np.array([1.0, 3.0, 4.5, 8.0])
        mine = joint.Range(count, np.full(4, freedom))
        np.testing.assert_allclose(mine.sf(q), stats.studentized_range.sf(q, count, freedom), atol=5e-5)
        (value,) = joint.Range(count, np.array([freedom])).isf(0.05)
        assert value == pytest.approx(stats.studentized_range.ppf(0.95, count, freedom), rel=1e-3)


def test_seeds_that_agree_by_chance_borrow_from_the_others() -> None:
    rest = np.full(5, 1.0)
    used, _ = joint.shared(np.array([0.001, 1.2, 0.9, 1.4, 1.1]), rest, 2)
    assert (used >= 1).all()
    used, own = joint.shared(np.array([0.5, 1.2, 0.9, 1.4, 1.1]), rest, 2)
    assert (used == used[0]).all()
    assert not own.any()
    used, own = joint.shared(np.array([40.0, 1.2, 0.9, 1.4, 1.1]), rest, 2)
    assert own.tolist() == [True, False, False, False, False]
    assert used[0] == 40


@pytest.mark.parametrize(
    ("skill", "images"), [((3.2, 2.9), 100), pytest.param((0.9, 0.5), 150, marks=pytest.mark.slow)]
)
def test_the_interval_over_images_covers_the_difference_of_these_very_networks(
    skill: tuple[float, float], images: int
) -> None:
    rng, studies = np.random.default_rng(3), 600
    gap = stats.norm.cdf(skill[0] / np.sqrt(2)) - stats.norm.cdf(skill[1] / np.sqrt(2))
    covered = 0
    for _ in range(studies):
        hardness, noise = rng.normal(size=images), rng.normal(size=(2, 3, images))
        right = (np.array(skill)[:, None, None] + hardness + noise > 0).astype(np.int64)
        (row,) = compared(right, ["a", "b"])
        covered += row["image_ci_low"] <= gap <= row["image_ci_high"]
    assert 0.93 <= covered / studies <= 0.995


@pytest.mark.parametrize(("accuracy", "images"), [(0.5, 100), (0.85, 300), (0.95, 100), (0.99, 100)])
def test_the_interval_of_one_variant_covers_near_the_end_too(accuracy: float, images: int) -> None:
    """Over images and seeds; the percentile bootstrap covered .84 near 100 %."""
    rng, inside = np.random.default_rng(4), 0
    for _ in range(600):
        right = statistics.simulate(rng, np.full(1, 0.3), 3, images, accuracy=accuracy)
        row = single.one_split(right[0], "top1", 0.05)
        assert row["ci_low"] is not None and row["ci_high"] is not None  # noqa: PT018
        inside += row["ci_low"] <= accuracy <= row["ci_high"]
    assert 0.925 <= inside / 600 <= 0.985


def test_a_small_family_of_equal_variants_keeps_its_level() -> None:
    """Five variants, two and three seeds: before, one study in eight had a false difference."""
    rng = np.random.default_rng(14)
    for seeds in (2, 3):
        made = [statistics.decided(statistics.simulate(rng, np.full(5, 1.0), seeds, 300))[1].any() for _ in range(200)]
        assert np.mean(made) <= 0.095  # .05, and chance of 200 studies


def test_two_copies_of_every_image_are_no_more_evidence() -> None:
    right = simulate(np.random.default_rng(6), 1, 3, 150, (0.1, 0.1))
    twice = values.blocks(np.repeat(right, 2, axis=2), [str(i // 2) for i in range(300)])
    (one,), (two,) = compared(right, ["a", "b"]), compared(twice, ["a", "b"])
    assert one == pytest.approx({**two})
    groups = ["a", "a", "b", "c", "c", "c"]
    table = np.random.default_rng(0).integers(0, 2, (2, 3, 6))
    blocks = values.blocks(table, groups)
    assert blocks.shape == (2, 3, 3)
    np.testing.assert_allclose(blocks.mean(axis=2), table.mean(axis=2))


def test_equal_is_not_the_same_as_not_told_apart() -> None:
    """Two one-sided tests, as statsmodels has them, for a pair with images alone; and the three outcomes."""
    from statsmodels.stats.weightstats import ttost_paired

    right = simulate(np.random.default_rng(8), 1, 1, 4000, (0.0, 0.0))
    settings = Aggregate(margin=0.12)
    family = compare.one_split(right, right, settings).family
    theirs = ttost_paired(right[0, 0].astype(float), right[1, 0].astype(float), -0.12, 0.12)[0]
    assert compare._p_equal(family, 0.12)[0] == pytest.approx(theirs, abs=2e-5)
    rng = np.random.default_rng(9)
    outcomes = []
    for ahead, images in ((0.0, 20_000), (0.05, 20_000), (0.0, 200)):
        made = statistics.simulate(rng, np.full(2, 0.1), 5, images, ahead)
        (row,) = compare.rows(compare.one_split(made, made, Aggregate(margin=0.02)), ["a", "b"], Aggregate(margin=0.02))
        outcomes.append(row["verdict"])
    assert outcomes == ["equal", "a better", "undecided"]


def test_a_new_run_is_better_as_often_as_is_said() -> None:
    rng, said, better = np.random.default_rng(10), [], []
    for _ in range(400):
        right = statistics.simulate(rng, np.full(2, 1.0), 4, 300, 0.02)
        (row,) = compared(right[:, :3], ["a", "b"])
        said.append(row["probability_a_better"])
        scores = right[:, 3].mean(axis=1)
        better.append((scores[0] > scores[1]) + 0.5 * (scores[0] == scores[1]))
    assert np.mean(said) == pytest.approx(np.mean(better), abs=0.06)


def test_the_metrics_are_those_of_the_cells() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(12)
    label = rng.choice(list("abc"), 200, p=[0.6, 0.3, 0.1])
    guess = np.where(rng.random(200) < 0.7, label, rng.choice(list("abc"), 200))
    table = pd.DataFrame({"label": label, "predicted": guess, "loss": rng.exponential(size=200)})
    for metric, theirs in (
        ("balanced_accuracy", metrics.balanced_accuracy_score(label, guess)),
        ("macro_f1", metrics.f1_score(label, guess, average="macro")),
        ("nll", table["loss"].mean()),
        ("top1", (label == guess).mean()),
    ):
        each = values.OF_IMAGES[metric](table)
        assert each.mean() == pytest.approx(theirs)
    f1 = values.OF_IMAGES["macro_f1"](table)  # the influence of an image is what leaving it out changes
    without = [metrics.f1_score(np.delete(label, i), np.delete(guess, i), average="macro") for i in range(5)]
    np.testing.assert_allclose(f1[:5] - f1.mean(), 199 * (f1.mean() - np.array(without)), atol=0.05)


def test_no_metric_has_the_values_of_another() -> None:
    """A metric that somebody adds to `aggregate.compare` needs values of its own: there is none to fall back on."""
    named = get_args(Aggregate.model_fields["compare"].annotation)
    assert sorted([*values.OF_IMAGES, *values.OF_CELLS]) == sorted(named)
    assert tuple(values.OF_CELLS) == WHOLE_CELL
    table = pd.DataFrame({"split": "test", "label": list("ab"), "predicted": list("aa"), "loss": [0.1, 0.9]})
    with pytest.raises(KeyError):
        values.of([collect.CellResults("v", 0, {}, {}, [], table)], "no metric")


def test_a_failed_run_of_another_variant_leaves_the_chance_of_a_new_run() -> None:
    """One run of `c` is at chance; `a` and `b` are 13 points apart, and their runs vary by 1."""
    rng = np.random.default_rng(0)
    shares = np.array([[0.86] * 5, [0.73] * 5, [0.9, 0.9, 0.9, 0.9, 0.25]]) + rng.normal(0, 0.01, (3, 5))
    hard = np.sort(rng.random(400))
    rows = compared((hard < shares[:, :, None]).astype(np.int64), ["a", "b", "c"])
    assert rows[0]["probability_a_better"] > 0.99


def test_identical_variants_differ_by_nothing() -> None:
    right = np.random.default_rng(0).integers(0, 2, (1, 3, 50))
    (row,) = compared(np.concatenate([right, right]), ["a", "b"])
    assert (row["difference"], row["p"], row["p_joint"], row["effect_size"]) == (0, None, None, 0)
    assert [row[key] for key in ("ci_low", "ci_high", "joint_ci_low", "joint_ci_high")] == [None] * 4
    assert row["verdict"] == "identical"
    assert row["image_ci_low"] < 0 < row["image_ci_high"]


def test_right_on_the_same_images_is_not_yet_identical() -> None:
    right = np.array([[[1, 1, 0, 0] * 20] * 3] * 2)
    predicted = right.copy()
    predicted[1][right[1] == 0] = 7  # wrong alike, and not in the same way
    (row,) = compare.rows(compare.one_split(right, predicted, Aggregate()), ["a", "b"], Aggregate())
    assert row["difference"] == 0
    assert row["verdict"] != "identical"


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
    assert row["p"] < 1e-50
    assert row["image_ci_low"] > 0
    assert row["verdict"] == "undecided"
    (twice,) = compared(np.repeat(right, 2, axis=1), ["a", "b"])
    assert twice["verdict"] == "refused", "two runs that are one do not show how much a run varies"


@pytest.mark.parametrize("seeds", [2, 3])
def test_seeds_that_vary_unequally_decide_large_differences_pair_by_pair(seeds: int) -> None:
    """By hand: Student's t with the variances of the pair alone, times the number of pairs."""
    luck = np.array([[0.97, 0.98, 0.96], [0.68, 0.75, 0.59], [0.25, 0.25, 0.25]])[:, :seeds]
    draw = np.random.default_rng(seeds)
    right = (draw.random((3, seeds, 400)) < luck[:, :, None]).astype(np.int64)
    pairs = compare.all_pairs(3)
    parts = compare.spread(right, pairs)
    family = joint.family(parts)
    assert family.alone
    assert not family.without_variation.any()
    for index, (a, b) in enumerate(pairs):
        of_seeds = sum(max(parts.seed[v], parts.rest[v]) for v in (a, b))
        total = of_seeds + parts.image[index]
        freedom = 1 if seeds == 2 else 2 * (total / of_seeds) ** 2
        error = np.sqrt(total / (seeds * 400))
        p = 3 * 2 * stats.t.sf(abs(parts.difference[index]) / error, freedom)
        assert family.p()[index] == pytest.approx(min(1, p))
        assert family.half(0.05)[index] == pytest.approx(stats.t.isf(0.05 / 6, freedom) * error)
    assert family.p()[1] < 0.05, "97 % against 25 %"
    assert family.p()[0] > 0.05, "97 % against 59 to 75 %"


def test_one_variant_has_no_pairs() -> None:
    assert compared(np.ones((1, 3, 9), dtype=np.int64), ["a"]) == []


def test_interval_over_seeds_is_students() -> None:
    values = [0.5, 0.7, 0.9]
    row = summary.over_seeds(values, 0.05)
    low, high = stats.t.interval(0.95, 2, 0.7, stats.sem(values))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
    assert summary.over_seeds([0.5], 0.05) == {"n": 1, "mean": 0.5, "sd": None, "ci_low": None, "ci_high": None}
