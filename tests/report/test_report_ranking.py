# ruff: noqa: RUF001 - a typographic minus is what is meant
"""The ranking: the luck of the first place, shared ranks, and the sentences that open the page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stages.aggregate import collect, compare, resampled
from stages.aggregate.params import Aggregate
from stages.report import page, ranking, results, training, uncertainty
from tests.report.test_report_sentences import compared, drawn

SPLITS, IMAGES = 5, 120


def of_splits(sizes: list[int], rng: np.random.Generator, variants: int = 8) -> Any:
    """Evidence of equal variants on splits that test other images, and the means (variants,)."""
    tested = []
    for split, size in enumerate(sizes):
        share = 0.7 + rng.normal(0, 0.03, (variants, 1, 1))
        right = (rng.random((variants, 1, size)) < share).astype(int)
        names = [f"{split}-{i}" for i in range(size)]
        counts = {"train": {"a": 3 * size}, "val": {"a": size}, "test": {"a": size}}
        tested.append(
            collect.Tested(collect.SharedSplit([split], counts), names, names, right, right, np.zeros(len(right)))
        )
    known = compared(np.zeros((variants, len(sizes), 9), dtype=int))
    found = resampled.several_splits(tested, Aggregate())
    rows = compare.rows(found, known.variants, Aggregate())
    known.comparisons = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
    known.intervals = {v: {"mean": float(mean)} for v, mean in zip(known.variants, found.means, strict=True)}
    known.split = {"splits": [{"counts": one.split.counts} for one in tested]}
    known.fixed, known.sizes, known.held_out = False, lambda _: sizes, 1 / 3
    return known


@pytest.mark.slow
def test_the_luck_over_splits_is_an_expectation() -> None:
    """Of 8 equal variants, in the mean over studies, as large as the lead that the best of them has."""
    rng = np.random.default_rng(5)
    said, seen = [], []
    for _ in range(120):
        known = of_splits([IMAGES] * SPLITS, rng)
        means = [row["mean"] for row in known.intervals.values()]
        ranks = ranking.ranking(known)
        if len(ranks.like_the_best()) == len(means):
            said.append(uncertainty.luck(ranks))
            seen.append(max(means) - np.mean(means))
    assert len(said) > 100
    assert np.mean(said) == pytest.approx(np.mean(seen), rel=0.15)


def test_identical_variants_have_one_luck() -> None:
    """Eight variants that are three networks: the best of three values, simulated."""
    rng = np.random.default_rng(6)
    three = rng.integers(0, 2, (3, 1, 400))
    known = compared(three[[0, 0, 0, 0, 1, 1, 2, 2]])
    ranks = ranking.ranking(known)
    errors = sorted(ranks.pairs[pair].standard_error for pair in (("a", "e"), ("a", "g"), ("e", "g")))
    best = rng.normal(0, errors[1] / np.sqrt(2), (40_000, 3)).max(axis=1).mean()
    assert uncertainty.luck(ranks) == pytest.approx(best, rel=0.03)
    assert uncertainty.luck(ranking.ranking(compared(three[[0, 0]]))) == 0


def test_the_sizes_of_the_test_sets_are_not_rounded_to_one() -> None:
    rng = np.random.default_rng(7)
    known = of_splits([20, 21, 20, 21, 21], rng, variants=3)
    text = " ".join(ranking.answer(known, ranking.ranking(known)))
    assert "over 5 splits of these images (20 to 21 test images in each, 5 seeds)" in text
    same = of_splits([1200] * 2, rng, variants=2)
    assert "(1,200 test images in each, 2 seeds)" in " ".join(ranking.answer(same, ranking.ranking(same)))


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_lead_in_a_loss_has_an_interval_of_its_sign(seeds: int) -> None:
    """The lower loss is ahead by 0.2, and the interval is that of the lead: by hand from the table."""
    rng = np.random.default_rng(8)
    loss = rng.normal(0.4, 0.02, (2, seeds, 300)) + np.array([0.0, 0.2])[:, None, None]
    known = compared(loss, "nll")
    (row,) = known.comparisons
    low, high = sorted(
        -float(row[key]) for key in (("joint_" if seeds > 1 else "") + f"ci_{e}" for e in ("low", "high"))
    )
    text = ranking.answer(known, ranking.ranking(known))[0]
    assert "ahead of b" in text
    assert f"{low:.3f} to {high:.3f}" in text
    assert "−" not in text


def test_identical_variants_end_no_silence() -> None:
    """Two seeds 40 points apart decide nothing, whether or not a variant is there twice: so nothing is called tied."""
    known = compared(drawn([[0.9, 0.5], [0.5, 0.3], [0.5, 0.3]]))
    assert {(row["verdict"], row["variances"]) for row in known.comparisons} == {
        ("undecided", "own"), ("identical", "own"),
    }  # fmt: skip
    ranks = ranking.ranking(known)
    assert ranks.silent == ranking.FEW
    assert set(ranks.tied.values()) == {page.MISSING}
    assert "tied" not in " ".join(ranking.answer(known, ranks))


def test_equal_means_share_a_rank() -> None:
    rng = np.random.default_rng(9)
    right = np.array([[rng.permutation(300) < 150 for _ in range(3)] for _ in range(4)]).astype(int)
    right[3, :, :120] = 1
    ranks = ranking.ranking(compared(right))
    assert ranks.order == ["d", "a", "b", "c"]
    assert ranks.rank == {"d": 1, "a": 2, "b": 2, "c": 2}
    assert ranks.tied == {"d": "none", "a": "2", "b": "2", "c": "2"}


def test_nothing_is_called_tied_where_nothing_is_compared() -> None:
    part = {"name": "test", "split": "test", "images": 9, "rows": []}
    built = {"columns": [], "splits": [part], "pairs": [], "metric": "top-1", "difference": "", "column": "Tied with"}
    assert "tied" not in results._tables({"results": built | {"tied": " Tied"}, "spread": "one seed"})[0].caption
    assert "tied" not in training.COST_NOTE
