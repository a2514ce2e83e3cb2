"""Variants compared over several splits of the same images (`split.per_seed`, `split.folds`).

All variants of a seed share its split, so a comparison stays paired: one difference a split, the mean over its seeds.
The training sets of two splits overlap, so that their results are not independent and a plain t-test finds too much;
the corrected resampled t-test (Nadeau and Bengio 2003) widens the variance of the mean difference,
Var = (1 / splits + held out / trained on) s^2, with splits - 1 degrees of freedom. What another draw of images changes
is also the least that the variance can be: two or three splits agree by chance now and then, and would leave an
interval of no width. All pairs share the variance of the splits, as `joint` does with that of the seeds; a pair whose
own is larger than chance makes it is judged by its own. Two splits cannot show which variant varies more, nor can three
where the variants may vary unequally (Bartlett's test): then every pair is judged by its own differences alone
(Bonferroni), as `joint` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit
from scipy.stats import f

from stages.aggregate import compare, joint, values
from stages.core.metrics import WHOLE_CELL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.aggregate.collect import Tested
    from stages.aggregate.params import Aggregate

    Floats = NDArray[np.float64]

# Levels of decision 0431; on one split those of 0403 hold (`joint`).
PAIR_STANDS_OUT = 0.2  # of the F test that a pair varies more over the splits than all pairs do
UNEQUAL_OVER_SPLITS = 0.5  # of Bartlett's test: with three splits, whether the variants may vary unequally


def fixed(tested: list[Tested]) -> bool:
    """Whether all splits test the same images: a published test set, and only the rest is split again."""
    return all(set(one.image_ids) == set(tested[0].image_ids) for one in tested)


def held_out_ratio(tested: list[Tested], part: str = "test") -> float:
    """Test images (for figures on `part` val: validation images) for each training image, mean over the splits.

    Where all splits share a test set, they do not vary it, and the validation images stand in for those of the test.
    """
    held_out = "val" if part == "val" or fixed(tested) else "test"
    return float(np.mean([one.split.images(held_out) / one.split.images("train") for one in tested]))


def variance_of_mean(values: Floats, ratio: float, least: float = 0.0) -> Floats:
    """Variance of the mean over splits, values (..., splits), after Nadeau and Bengio (2003).

    `least` is what is known of the variance of one value without the splits: that of its seeds.
    """
    return np.asarray((1 / values.shape[-1] + ratio) * np.maximum(values.var(axis=-1, ddof=1), least))


def means(tested: list[Tested]) -> Floats:
    """The metric of every variant on every split, mean over its seeds: (variants, splits)."""
    return np.array([one.values.mean(axis=(1, 2), dtype=np.float64) for one in tested]).T


def influence(tested: list[Tested]) -> Floats:
    """What every group of images adds to the mean over splits (variants, groups): its squares sum to the variance."""
    names = sorted({group for one in tested for group in one.groups})
    index = {name: place for place, name in enumerate(names)}
    total = np.zeros((len(tested[0].values), len(names)))
    for one in tested:
        each = one.values.mean(axis=1, dtype=np.float64)
        share = (each - each.mean(axis=1, keepdims=True)) / (each.shape[1] * len(tested))
        if each.shape[1] == len(one.groups):  # not for a metric that is one number a cell
            np.add.at(total.T, [index[group] for group in one.groups], share.T)
    return np.asarray(total * np.sqrt(group_sizes(tested).small_sample))


def group_sizes(tested: list[Tested]) -> values.GroupSizes:
    """What the groups of all splits say; one that is tested twice as often counts as one of twice the size."""
    return values.group_sizes(group for one in tested for group in one.groups)


def interval(each: Floats, ratio: float, alpha: float, least: Floats | float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Lower and upper limit of the mean difference and two-sided p, each (pairs,), from differences (pairs, splits).

    `least` (pairs,) is the variance of the mean difference that another draw of images alone gives.
    """
    variance = np.maximum(variance_of_mean(each, ratio), least)
    return compare.interval(each.mean(axis=1), variance, np.full(len(each), each.shape[1] - 1.0), alpha)


def several_splits(tested: list[Tested], settings: Aggregate) -> compare.Estimate:
    """Compare all pairs over the splits of a study, as `compare.one_split` does on one."""
    table, whole = means(tested), settings.compare in WHOLE_CELL
    pairs = compare.all_pairs(len(table))
    first, second = np.array(pairs).T
    each, ratio = table[first] - table[second], held_out_ratio(tested)
    shares = influence(tested)
    least = ((shares[first] - shares[second]) ** 2).sum(axis=1)
    low, high, p = interval(each, ratio, settings.alpha, least)
    scale = max(float(one.values.max() - one.values.min()) for one in tested)
    images, seeds = group_sizes(tested).equal_groups, tested[0].values.shape[1]
    around = np.sqrt(least + 2 * scale**2 / seeds / images**2) * stdtrit(images - 1.0, 1 - settings.alpha / 2)
    same = np.all([compare.alike(one.values, one.predicted, pairs) for one in tested], axis=0)
    repeated = set(second[same].tolist())
    judged = family(table, pairs, ratio, least, added_by_a_run(tested), [v not in repeated for v in range(len(table))])
    covers = "seeds and splits" if fixed(tested) else "images, seeds and splits"
    return compare.Estimate(
        means=table.mean(axis=1), pairs=pairs, low=low, high=high, p=p, same=same, covers=covers, family=judged,
        half_over_images=np.full(len(pairs), np.nan) if whole else around,
    )  # fmt: skip


def family(
    table: Floats, pairs: compare.Pairs, ratio: float, least: Floats, single: Floats, distinct: list[bool] | None = None
) -> joint.Family:
    """Judge all pairs of several splits together.

    Args:
        table: the metric (variants, splits).
        pairs: indices of the variants.
        ratio: images held out for each image trained on.
        least: variance of each mean difference that another draw of images alone gives (pairs,).
        single: what a single run varies by beyond the mean of a split (variants,), a variance.
        distinct: which variants are no copies of another one; copies say nothing about how much variants vary.
    """
    variants, splits = table.shape
    first, second = np.array(pairs).T
    each = table[first] - table[second]
    own = each.var(axis=1, ddof=1)
    some = table[distinct] if distinct and sum(distinct) > 1 else table
    residual = some - some.mean(axis=1, keepdims=True) - some.mean(axis=0) + some.mean()
    shared = (len(some) - 1) * (splits - 1)
    pool = 2 * float((residual**2).sum()) / shared
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = (own > pool) & (f.sf(own / pool, splits - 1, shared) < PAIR_STANDS_OUT)
    squares = (residual**2).sum(axis=1) / (splits - 1)
    few = splits == 2 or (splits == 3 and len(some) > 2 and joint.unequal(squares, splits - 1, UNEQUAL_OVER_SPLITS))
    alone |= few
    used = np.where(alone, own, pool)
    freedom = np.where(alone, splits - 1.0, float(shared))
    factor = 1 / splits + ratio
    error = np.sqrt(np.maximum(factor * used, least))
    run = (1 + factor) * own + single[first] + single[second]  # of the pair itself: another variant may have failed
    difference = each.mean(axis=1)
    return joint.Family(variants, difference, error, freedom, error == 0, run, np.full(len(run), splits - 1.0), few)


def added_by_a_run(tested: list[Tested]) -> Floats:
    """What a single run adds to the variance of the mean of its split (variants,): s^2 (1 - 1 / seeds)."""
    seeds = tested[0].values.shape[1]
    if seeds == 1:
        return np.zeros(len(tested[0].values))
    spread = [one.values.mean(axis=2, dtype=np.float64).var(axis=1, ddof=1) for one in tested]
    return np.asarray(np.mean(spread, axis=0) * (1 - 1 / seeds))
