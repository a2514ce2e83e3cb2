"""Variants compared over several splits of the same images (`split.per_seed`).

All variants of a seed share its split, so a comparison stays paired: one difference a split, the mean over its seeds.
The training sets of two splits overlap, so that their results are not independent and a plain t-test finds too much;
the corrected resampled t-test (Nadeau and Bengio 2003) widens the variance of the mean difference,
Var = (1 / splits + held out / trained on) s^2, with splits - 1 degrees of freedom. The bootstrap draws images from all
that are tested in some split; each carries all its cells as one block. What another draw of images changes is also the
least that the variance can be: two or three splits agree by chance now and then, and would leave an interval of no
width.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.aggregate import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stages.aggregate.collect import Tested

    Floats = NDArray[np.float64]


def fixed(tested: list[Tested]) -> bool:
    """Whether all splits test the same images: a published test set, and only the rest is split again."""
    return all(set(one.images) == set(tested[0].images) for one in tested)


def ratio(tested: list[Tested], part: str = "test") -> float:
    """Images held out of training for each image trained on, in the mean over the splits.

    Args:
        tested: of the splits.
        part: whose figures are meant, `train`, `val` or `test`; a published test set that is the same in all splits is
            not what they vary, and gives way to the validation set.
    """
    held_out = "val" if part == "val" or fixed(tested) else "test"
    return float(np.mean([one.split.images(held_out) / one.split.images("train") for one in tested]))


def variance_of_mean(values: Floats, ratio: float, least: float = 0.0) -> Floats:
    """Variance of the mean over splits, values (..., splits), after Nadeau and Bengio (2003).

    `least` is what is known of the variance of one value without the splits: that of its seeds.
    """
    return np.asarray((1 / values.shape[-1] + ratio) * np.maximum(values.var(axis=-1, ddof=1), least))


def bootstrap(tested: list[Tested], samples: int) -> Floats:
    """Accuracies (samples, variants) on images drawn with replacement, the mean over the splits that test them."""
    images = sorted({image for one in tested for image in one.images})
    index = {image: place for place, image in enumerate(images)}
    places = [np.array([index[image] for image in one.images]) for one in tested]
    counts = [one.right.mean(axis=1).T.astype(np.float64) for one in tested]
    chunks = []
    for weights in compare.redraws(len(images), samples):
        drawn = [weights[:, place] for place in places]
        with np.errstate(invalid="ignore"):  # a small split may have no image in a draw: it does not count there
            each = [w @ right / w.sum(axis=1, keepdims=True) for w, right in zip(drawn, counts, strict=True)]
        chunks.append(np.nanmean(each, axis=0))
    return np.concatenate(chunks)


def differences(tested: list[Tested], pairs: Sequence[tuple[int, int]]) -> Floats:
    """Difference of the accuracies in each split, mean over its seeds: (pairs, splits)."""
    accuracy = np.array([one.right.mean(axis=(1, 2)) for one in tested])
    first, second = np.array(pairs).T
    return np.asarray((accuracy[:, first] - accuracy[:, second]).T)


def compared(tested: list[Tested], names: list[str], draws: Floats, alpha: float) -> list[dict[str, Any]]:
    """The rows of comparisons.csv, as `compare.compare` gives them for one split."""
    pairs = list(itertools.combinations(range(len(names)), 2))
    if not pairs:
        return []
    each = differences(tested, pairs)
    held_out = ratio(tested)
    first, second = np.array(pairs).T
    low, high, p = interval(each, held_out, alpha, (draws[:, first] - draws[:, second]).var(axis=0, ddof=1))
    estimate = compare.Estimate(
        means(tested),
        each.mean(axis=1), low, high, p,
        np.array([all((one.right[a] == one.right[b]).all() for one in tested) for a, b in pairs]),
        "seeds and splits" if fixed(tested) else "images, seeds and splits",
        lambda index, level: (None, needed(each[index], held_out, level, len(tested[0].split.seeds))),
    )  # fmt: skip
    return compare.rows(estimate, pairs, names, draws, alpha)


def means(tested: list[Tested]) -> Floats:
    """Accuracy of the variants (variants,), every split counting the same."""
    return np.asarray(np.mean([one.right.mean(axis=(1, 2)) for one in tested], axis=0))


def interval(each: Floats, ratio: float, alpha: float, least: Floats | float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Lower and upper limit of the mean difference and two-sided p, each (pairs,), from differences (pairs, splits).

    `least` (pairs,) is the variance of the mean difference that another draw of images alone gives.
    """
    from scipy.special import stdtr, stdtrit

    difference, freedom = each.mean(axis=1), each.shape[1] - 1
    error = np.sqrt(np.maximum(variance_of_mean(each, ratio), least))
    half = stdtrit(freedom, 1 - alpha / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(freedom, -np.abs(difference) / error)
    p = np.where(difference == 0, 1.0, np.where(error == 0, 0.0, p))
    return difference - half, difference + half, p


def needed(each: Floats, ratio: float, alpha: float, seeds_per_split: int) -> int | None:
    """How many more seeds, on splits of their own, would decide a difference of this size with 80 % power.

    None where no number would do: overlapping training sets leave a variance that more splits do not shrink.
    """
    from scipy.special import stdtrit

    size, variance = abs(float(each.mean())), float(each.var(ddof=1))

    def enough(splits: int) -> bool:
        reach = float(stdtrit(splits - 1, 1 - alpha / 2) + stdtrit(splits - 1, compare.POWER))
        return size >= reach * math.sqrt((1 / splits + ratio) * variance)

    if size == 0:
        return None
    splits = compare.least(enough, each.shape[0], compare.MOST_SEEDS)
    return splits * seeds_per_split if splits else None
