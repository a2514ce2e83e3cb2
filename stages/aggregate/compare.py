"""Is the difference between two variants real? On the same test images, over the seeds of both.

A variant is judged by a sample of images and a sample of training runs, so both vary. The variance of a mean difference
has three parts: of the seeds of either variant, each on its own as Welch (1947) has it, since nothing says that two
architectures vary alike; and of the images, paired, as the images x seeds layout of the differences gives it: Var =
(MS_seed_a + MS_seed_b + f max(MS_image - MS_rest, 0)) / (S N), where f is 1, or a little more where groups of images
differ in size (`GroupSizes.small_sample`). `Spread.variance` has the degrees of freedom. That is the interval of a pair
by itself. What is decided comes from `joint`, which judges all pairs of the study at one level: a variant is better
when the simultaneous interval excludes 0, two are equal when the simultaneous interval of two one-sided tests lies
within the margin, and all else is undecided. With one seed nothing is known of the variation between seeds: the
intervals then cover the images alone, and nothing is decided. Where the runs of every variant agree to the last digit,
they show no variation: the verdict is "refused". Two variants that answer every image alike are "identical" on these
images, and others may still tell them apart. No pair of these kinds has a figure that rests on the variation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from stages.aggregate import joint
from stages.aggregate.values import GroupSizes
from stages.core.metrics import LOWER_IS_BETTER, WHOLE_CELL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.aggregate.params import Aggregate

    Floats = NDArray[np.float64]
    Pairs = list[tuple[int, int]]

COLUMNS = ["variant_a", "variant_b", "metric", "difference", "ci_low", "ci_high", "p"]
COLUMNS += ["joint_ci_low", "joint_ci_high", "p_joint", "p_equal", "effect_size", "image_ci_low", "image_ci_high"]
COLUMNS += ["probability_a_better", "standard_error", "variances", "covers", "verdict"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is known about all pairs of a study: (variants,) or (pairs,), in the order of `pairs`.

    `low`, `high` and `p` are of a pair by itself; `half_over_images` is the half width that another draw of the images
    alone gives, nan where it is not known. `same` says that both variants answer every image alike, `covers` what the
    intervals are for (the column of comparisons.csv). `family` is the joint answer.
    """

    means: Floats
    pairs: Pairs
    low: Floats
    high: Floats
    p: Floats
    half_over_images: Floats
    same: NDArray[np.bool_]
    covers: str
    family: joint.Family
    one_seed: bool = False


def all_pairs(variants: int) -> Pairs:
    """Indices of the variants of every pair."""
    return list(itertools.combinations(range(variants), 2))


def spread(values: NDArray[Any], pairs: Pairs, sizes: GroupSizes | None = None) -> joint.Spread:
    """What varies between the variants; of whole numbers to the bit, since their sums are exact.

    Args:
        values: (variants, seeds, images), see `values`.
        pairs: indices of the variants compared.
        sizes: what the groups say, if the images are groups that differ in size.
    """
    _, seeds, images = values.shape
    sizes = sizes or GroupSizes.alike(images)
    table = values.astype(np.float64)
    sums = table.sum(axis=(1, 2))
    seed, rest = _mean_squares(table)
    first, second = np.array(pairs).reshape(-1, 2).T
    tables = (sums[:, None], table.sum(axis=2), table.sum(axis=1), table.reshape(len(table), -1))
    mean, of_seeds, of_images, every = (_between(one, first, second) for one in tables)  # sums of squares
    mean = mean / (seeds * images)
    of_seeds = np.maximum(of_seeds / images - mean, 0.0)
    of_images = np.maximum(of_images / seeds - mean, 0.0)
    left = np.maximum(every - mean - of_seeds - of_images, 0.0) / max((seeds - 1) * (images - 1), 1)
    left = left if seeds > 1 else np.zeros(len(first))
    image = np.maximum(of_images / max(images - 1, 1) - left, 0.0)
    image = image * (sizes.small_sample / GroupSizes.alike(images).small_sample)
    difference = (sums[first] - sums[second]) / (seeds * images)
    return joint.Spread(pairs, seeds, images, sizes.equal_groups, difference, seed, rest, image)


def _between(rows: Floats, first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    """Squared distance of the rows of every pair, from one product of matrices."""
    products = rows @ rows.T
    return np.asarray(products[first, first] + products[second, second] - 2 * products[first, second])


def _mean_squares(table: Floats) -> tuple[Floats, Floats]:
    """Mean squares of seeds and of what is left, of tables (variants, seeds, images); 0 where undefined."""
    count, seeds, images = table.shape
    middle = table.sum(axis=(1, 2)) ** 2 / (seeds * images)
    of_seeds = np.maximum((table.sum(axis=2) ** 2).sum(axis=1) / images - middle, 0.0)
    of_images = np.maximum((table.sum(axis=1) ** 2).sum(axis=1) / seeds - middle, 0.0)
    rest = np.maximum((table**2).sum(axis=(1, 2)) - middle - of_seeds - of_images, 0.0)
    freedom, none = (seeds - 1) * (images - 1), np.zeros(count)
    return of_seeds / (seeds - 1) if seeds > 1 else none, rest / freedom if freedom else none


def interval(difference: Floats, variance: Floats, freedom: Floats, alpha: float) -> tuple[Floats, Floats, Floats]:
    """Lower and upper limit of the difference and two-sided p, each (pairs,)."""
    error = np.sqrt(variance)
    half = stdtrit(freedom, 1 - alpha / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(freedom, -np.abs(difference) / error)
    p = np.where(difference == 0, 1.0, np.where(error == 0, 0.0, p))
    return difference - half, difference + half, p


def over_images(values: NDArray[Any], pairs: Pairs, alpha: float, sizes: GroupSizes | None = None) -> Floats:
    """Half the width of the interval of every difference over the images alone, for these very networks.

    Two images are added on which one variant of a pair, and then the other, does better by as much as one seed of it
    can (Bonett and Price 2012): near 100 % a few images decide, and the plain interval is too narrow.
    """
    seeds, images = values.shape[1:]
    sizes = sizes or GroupSizes.alike(images)
    scale = float(values.max() - values.min()) if values.size else 0.0
    mean = values.mean(axis=1, dtype=np.float64)
    first, second = np.array(pairs).T
    squares = _between(mean - mean.mean(axis=1, keepdims=True), first, second)
    squares = squares * (sizes.small_sample / GroupSizes.alike(images).small_sample)
    variance = (squares + 2 * scale**2 / seeds) / images**2
    return np.asarray(stdtrit(sizes.equal_groups - 1.0, 1 - alpha / 2) * np.sqrt(variance))


def cohens_h(first: Floats, second: Floats) -> Floats:
    """Cohen's h (1988), the effect size for two proportions: .2 small, .5 medium, .8 large."""
    angle = np.arcsin(np.sqrt(np.clip([first, second], 0, 1)))
    return np.asarray(2 * angle[0] - 2 * angle[1])


def one_split(
    values: NDArray[Any], predicted: NDArray[Any], settings: Aggregate, sizes: GroupSizes | None = None
) -> Estimate:
    """Compare all pairs on the one split of a study.

    Args:
        values: (variants, seeds, images or groups of them), see `values`.
        predicted: what the cells call every image (variants, seeds, images).
        settings: the section `aggregate`.
        sizes: what the groups say, if there are some that differ in size.
    """
    pairs = all_pairs(len(values))
    parts = spread(values, pairs, sizes)
    low, high, p = interval(parts.difference, *parts.variance(), settings.alpha)
    whole, one_seed, unknown = settings.compare in WHOLE_CELL, parts.seeds == 1, np.full(len(pairs), np.nan)
    if whole and one_seed:  # one number from one run
        covers, low, high, p = "nothing", unknown, unknown, unknown
    elif whole:
        covers = "seeds"
    else:
        covers = "images" if one_seed else "images and seeds"
    return Estimate(
        means=values.mean(axis=(1, 2), dtype=np.float64), pairs=pairs, low=low, high=high, p=p, covers=covers,
        half_over_images=unknown if whole else over_images(values, pairs, settings.alpha, sizes),
        same=alike(values, predicted, pairs), family=joint.family(parts), one_seed=one_seed,
    )  # fmt: skip


def alike(values: NDArray[Any], predicted: NDArray[Any], pairs: Pairs) -> NDArray[np.bool_]:
    """Whether the variants of every pair answer every image alike, in every run."""
    return np.array([(predicted[a] == predicted[b]).all() and (values[a] == values[b]).all() for a, b in pairs])


def verdicts(known: Estimate, settings: Aggregate) -> NDArray[np.str_]:
    """The verdict on each pair (pairs,), a word of those in docs/architecture.md."""
    if known.one_seed:
        return np.where(known.same, "identical", "undecided")
    family, difference = known.family, known.family.difference
    better = np.abs(difference) > family.half(settings.alpha)
    a_better = better & ((difference < 0) if settings.compare in LOWER_IS_BETTER else (difference > 0))
    equal = np.abs(difference) + family.half(2 * settings.alpha) < settings.margin
    # The first that holds is the verdict, so the order decides: "b better" is what is better and not a.
    conditions = [known.same, family.without_variation, a_better, better, equal]
    return np.select(conditions, ["identical", "refused", "a better", "b better", "equal"], "undecided")


def rows(known: Estimate, names: list[str], settings: Aggregate) -> list[dict[str, Any]]:
    """The rows of comparisons.csv; None stands where a figure would rest on variation that is not known."""
    family, verdict = known.family, verdicts(known, settings)
    own = ~np.isin(verdict, ("refused", "identical"))  # the interval of the pair by itself rests on the same variation
    judged = own & (not known.one_seed)
    difference, half = family.difference, family.half(settings.alpha)
    lower_is_better, higher = settings.compare in LOWER_IS_BETTER, family.first_is_higher()
    first, second = np.array(known.pairs).T
    table = pd.DataFrame(
        {
            "variant_a": [names[a] for a in first],
            "variant_b": [names[b] for b in second],
            "metric": settings.compare,
            "difference": difference,
            "ci_low": _only(own, known.low),
            "ci_high": _only(own, known.high),
            "p": _only(own, known.p),
            "joint_ci_low": _only(judged, difference - half),
            "joint_ci_high": _only(judged, difference + half),
            "p_joint": _only(judged, family.p()),
            "p_equal": _only(judged, _p_equal(family, settings.margin)),
            "effect_size": cohens_h(known.means[first], known.means[second]) if settings.compare == "top1" else np.nan,
            "image_ci_low": difference - known.half_over_images,
            "image_ci_high": difference + known.half_over_images,
            "probability_a_better": _only(judged, 1 - higher if lower_is_better else higher),
            "standard_error": family.error,
            "variances": "own" if family.alone else "shared",
            "covers": known.covers,
            "verdict": verdict,
        }
    )
    found: list[Any] = table.astype(object).where(table.notna(), None).to_dict("records")
    return found


def _only(where: NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(where, values, np.nan)


def _p_equal(family: joint.Family, margin: float) -> Floats:
    """The larger p of two one-sided tests that a difference lies within the margin, adjusted for all pairs."""
    inside = margin - np.abs(family.difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(family.error > 0, np.abs(inside) / family.error, np.inf)
    half = family.tail(np.minimum(t, 1e6)) / 2
    return np.where(inside > 0, half, 1 - half)
