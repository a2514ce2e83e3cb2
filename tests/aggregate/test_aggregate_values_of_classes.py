"""Balanced accuracy has the variance of its classes, and few images of a class stay few."""

import numpy as np
import pandas as pd
import pytest

from stages.aggregate import collect, resampled, single, values
from stages.aggregate.compare import all_pairs


def cells(right: np.ndarray, truth: np.ndarray) -> list[collect.CellResults]:
    """Cells of one variant (seeds, images) of so many right answers."""
    found = []
    for seed, row in enumerate(right):
        guess = np.where(row, truth, 1 - truth).astype(str)
        table = pd.DataFrame({"split": "test", "label": truth.astype(str), "predicted": guess})
        found.append(collect.CellResults("v", seed, {}, {}, [], table))
    return found


def interval(right: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    found = cells(right, truth)
    (table,), (added,) = values.of(found, "balanced_accuracy"), values.two_more(found, "balanced_accuracy")
    row = single.one_split(table, "balanced_accuracy", 0.05, float(added))
    assert row["ci_low"] is not None
    assert row["ci_high"] is not None
    return row["ci_low"], row["ci_high"]


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "recall"), [((300, 100), 0.9), ((300, 30), 0.9), ((200, 40), 0.6)])
def test_the_interval_covers_and_is_no_wider_than_need_be(sizes: tuple[int, int], recall: float) -> None:
    draw, truth = np.random.default_rng(0), np.repeat([0, 1], sizes)
    ends = []
    for _ in range(150):
        latent = draw.random(len(truth)) < recall  # seeds differ by one image in ten
        ends.append(interval(np.array([np.where(draw.random(len(truth)) < 0.1, draw.random(len(truth)) < recall, latent)
                                       for _ in range(3)]), truth))  # fmt: skip
    low, high = np.array(ends).T
    assert 0.92 <= ((low <= recall) & (recall <= high)).mean() <= 0.995
    ideal = 2 * 1.96 * np.sqrt(sum(recall * (1 - recall) / size for size in sizes) / 4)
    assert ideal * 0.8 < (high - low).mean() < ideal * 1.7


def test_three_images_that_are_all_right_promise_little() -> None:
    truth = np.repeat([0, 1], (300, 3))
    low, high = interval(np.ones((3, 303), dtype=bool), truth)
    assert high == 1.0
    assert 0.6 < low < 0.85, "the recall of the small class may be as low as 44 % (Wilson), that of the large is near 1"


def test_two_splits_decide_nothing_between_many() -> None:
    """One variant that varies four times as much as the others would be called better in one study of ten."""
    draw, pairs = np.random.default_rng(0), all_pairs(10)
    table = 0.85 + np.r_[4.0, np.ones(9)][:, None] / 100 * draw.standard_normal((10, 2))
    family = resampled.family(table, pairs, 0.11, np.zeros(len(pairs)), np.zeros(10))
    assert family.alone
    two = resampled.family(table[:2], all_pairs(2), 0.11, np.zeros(1), np.zeros(2))
    assert two.alone  # and with the interval that it had: that of its own differences
    assert two.half(0.05) == pytest.approx(resampled.interval(table[:1] - table[1:2], 0.11, 0.05)[1] - two.difference)
