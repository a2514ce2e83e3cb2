"""The intervals of one variant: over images alone, over images and seeds, and of one further run.

An accuracy is no sum of normal values near 100 %, so the first two are Wilson's (1927), with as many independent images
as would give the variance that was found, and Student's t for the few seeds. The variance is the mean of two: the one
that was found, which is 0 if no seed ever errs, and the one after adding two images, of which every run gets one right
and the other wrong. A mean over classes has two images more in every class (`values.two_more`). The interval over
images and seeds needs three seeds: two agree by chance too often for it to cover.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from stages.aggregate import compare, resampled
from stages.core.metrics import WHOLE_CELL, is_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.aggregate.collect import Tested
    from stages.aggregate.values import GroupSizes

    _Interval = tuple[float | None, float | None]

FOUND = ["mean", "image_ci_low", "image_ci_high", "ci_low", "ci_high", "run_low", "run_high"]
COLUMNS = ["variant", "split", "metric", "images", "groups", *FOUND]
NONE = (None, None)  # no interval
FEWEST_SEEDS = 3
ROUNDING = 1e-20  # a variance below it is rounding
SEEDS_COUNT = 0.75  # of their degrees of freedom: few seeds that agree by chance look like many


def rows(tested: list[Tested], names: list[str], metric: str, alpha: float) -> list[dict[str, Any]]:
    """The rows of intervals.csv: the metric of every variant on the test set, with its intervals."""
    about = {
        "split": "test",
        "metric": metric,
        "images": len({image for one in tested for image in one.image_ids}),
        "groups": len({group for one in tested for group in one.groups}),
    }
    if len(tested) == 1:
        every = zip(tested[0].blocks, tested[0].added, strict=True)
        found = [one_split(table, metric, alpha, float(added), tested[0].group_sizes) for table, added in every]
    else:
        found = several_splits(tested, metric, alpha)
    return [{"variant": name, **about, **one} for name, one in zip(names, found, strict=True)]


def one_split(
    table: NDArray[Any], metric: str, alpha: float, added: float = 0.0, sizes: GroupSizes | None = None
) -> dict[str, float | None]:
    """Mean and intervals of one variant on one split.

    Args:
        table: values (seeds, images or groups).
        metric: whose values they are.
        alpha: the intervals cover 1 - alpha.
        added: `values.two_more` of it.
        sizes: what the groups say, if there are some that differ in size.
    """
    seeds = len(table)
    images = float(table.shape[1]) if sizes is None else sizes.equal_groups
    mean = float(table.mean(dtype=np.float64))
    still, _ = _variance(table.mean(axis=0, keepdims=True, dtype=np.float64), sizes)
    variance, freedom = _variance(table, sizes)
    ends = partial(_ends, images=images, metric=metric, alpha=alpha, added=added)
    around = NONE if metric in WHOLE_CELL else ends(mean, still, images - 1.0)
    whole = ends(mean, variance, freedom * SEEDS_COUNT) if seeds >= FEWEST_SEEDS else NONE
    runs = table.mean(axis=1, dtype=np.float64)
    run = _student(mean, float(runs.var(ddof=1)) * (1 + 1 / seeds), seeds - 1.0, alpha) if seeds > 1 else NONE
    return _row(mean, around, whole, run)


def several_splits(tested: list[Tested], metric: str, alpha: float) -> list[dict[str, float | None]]:
    """The same of every variant over several splits, with the correction of Nadeau and Bengio (2003)."""
    table, shares, ratio = resampled.means(tested), resampled.influence(tested), resampled.held_out_ratio(tested)
    splits, images = table.shape[1], resampled.group_sizes(tested).equal_groups
    ids = [one.image_ids for one in tested]
    different = len({image for one in ids for image in one}) / np.mean([len(one) for one in ids])
    hidden = np.mean([one.added for one in tested], axis=0) / different**2
    found = []
    for each, share, of_run, added in zip(
        table, shares, resampled.added_by_a_run(tested), hidden.tolist(), strict=True
    ):
        ends = partial(_ends, images=images, metric=metric, alpha=alpha, added=added)
        mean, still, spread = float(each.mean()), float(share @ share), float(each.var(ddof=1))
        factor = 1 / splits + ratio
        whole = ends(mean, max(factor * spread, still), splits - 1.0)
        around = NONE if metric in WHOLE_CELL else ends(mean, still, images - 1.0)
        run = _student(mean, (1 + factor) * spread + float(of_run), splits - 1.0, alpha)
        found.append(_row(mean, around, whole, run))
    return found


def _row(mean: float, around: _Interval, whole: _Interval, run: _Interval) -> dict[str, float | None]:
    return dict(zip(FOUND, (mean, *around, *whole, *run), strict=True))


def _student(mean: float, variance: float, freedom: float, alpha: float) -> _Interval:
    """Student's interval; none where nothing varies."""
    if variance < ROUNDING:
        return NONE
    half = float(stdtrit(freedom, 1 - alpha / 2)) * math.sqrt(variance)
    return mean - half, mean + half


def _variance(table: NDArray[Any], sizes: GroupSizes | None) -> tuple[float, float]:
    """Variance of the mean over seeds and images, and its degrees of freedom."""
    both = np.stack([table, np.zeros_like(table)])  # the mean is its difference to a variant that is always 0
    variance, freedom = compare.spread(both, [(0, 1)], sizes).variance()
    return float(variance[0]), float(freedom[0])


def _ends(
    mean: float, variance: float, freedom: float, *, images: float, metric: str, alpha: float, added: float
) -> _Interval:
    """Wilson's interval of a share; Student's of another metric, or none where nothing varies."""
    if not is_share(metric):
        return _student(mean, variance, freedom, alpha)
    mean = min(max(mean, 0.0), 1.0)
    if added:  # as many images as would get this variance from two more
        images = max(math.sqrt((mean**2 + (1 - mean) ** 2) / added) - 2, 1.0)
    middle = (images * mean + 1) / (images + 2)
    widened = (images**2 * variance + mean**2 + (1 - mean) ** 2) / (images + 2) ** 2
    per_image = widened / (middle * (1 - middle))
    if variance > 0 and 0 < mean < 1:
        per_image = (per_image + variance / (mean * (1 - mean))) / 2
    else:  # no seed ever errs, or all err alike: nothing is known of the seeds, and the images are what varies
        freedom = images - 1.0
    return wilson(mean, 1 / per_image, float(stdtrit(freedom, 1 - alpha / 2)))


def wilson(share: float, images: float, t: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share of so many independent images."""
    share = min(max(share, 0.0), 1.0)
    weight = t * t / images
    middle = (share + weight / 2) / (1 + weight)
    half = t / (1 + weight) * math.sqrt(share * (1 - share) / images + weight / (4 * images))
    return max(middle - half, 0.0), min(middle + half, 1.0)
