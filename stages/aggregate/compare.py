"""Is the difference between two variants real? Paired on the same test images and the same seeds.

A variant is judged by a sample of images and a sample of training runs, so both vary. With D[s, i] the difference in
correctness of seed s on image i, the variance of the mean difference is that of a crossed two-way layout (images x
seeds): Var = (MS_seed + max(MS_image - MS_rest, 0)) / (S N), with the degrees of freedom of Hillis (2007, Statistics
in Medicine 26), as in multi-reader multi-case studies, where readers stand for seeds. The bootstrap over images, each
image carrying all its seeds as one block, gives the narrower interval for these very networks.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import seeding

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

COLUMNS = ["variant_a", "variant_b", "difference", "ci_low", "ci_high", "p", "p_holm", "effect_size"]
COLUMNS += ["image_ci_low", "image_ci_high", "covers", "verdict", "images_needed", "seeds_needed"]
INTERVALS = ["variant", "split", "metric", "images", "mean", "image_ci_low", "image_ci_high"]
MOST = 100_000_000  # images: beyond this, "more images" is no advice
MOST_SEEDS = 1000
POWER = 0.8


@dataclass(frozen=True)
class Spread:
    """Mean squares of the differences of pairs, each (pairs,), with S seeds and N images."""

    seeds: int
    images: int
    difference: Floats
    seed: Floats  # zeros for a single seed: unknown, not absent
    image: Floats
    rest: Floats

    def variance(self, seeds: int | None = None, images: int | None = None) -> tuple[Floats, Floats]:
        """Variance of the mean difference and its degrees of freedom, for this or another number of either."""
        s, n = seeds or self.seeds, images or self.images
        if self.seeds == 1:
            return self.image / n, np.full(len(self.image), float(n - 1))
        ms_seed, by_image = self.seed, np.maximum(self.image - self.rest, 0) / self.seeds
        if n != self.images:  # E[MS_seed] = rest + images * (variance of one seed), which is not below 0
            ms_seed = self.rest + n * np.maximum(self.seed - self.rest, 0) / self.images
        total = ms_seed + s * by_image
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.where(ms_seed > 0, (s - 1) * (total / ms_seed) ** 2, np.inf)
        return total / (s * n), np.minimum(freedom, 1e9)


def spread(right: Ints, pairs: list[tuple[int, int]]) -> Spread:
    """Mean squares of every pair, from sums of whole numbers, so that they come out the same to the bit.

    Args:
        right: 1 or 0, (variants, seeds, images).
        pairs: indices of the variants compared.
    """
    _, seeds, images = right.shape
    columns: list[list[float]] = []
    for first, second in pairs:
        d = right[first] - right[second]
        total, squares = int(d.sum()), int((d**2).sum())
        by_image, by_seed = int((d.sum(axis=0) ** 2).sum()), int((d.sum(axis=1) ** 2).sum())
        middle = total**2 / (seeds * images)
        ss_image, ss_seed = by_image / seeds - middle, by_seed / images - middle
        ss_rest = max(squares - middle - ss_image - ss_seed, 0.0)
        freedom = (images - 1) * (seeds - 1)
        columns.append(
            [
                total / (seeds * images),
                ss_seed / (seeds - 1) if seeds > 1 else 0.0,
                ss_image / (images - 1) if images > 1 else 0.0,
                ss_rest / freedom if freedom else 0.0,
            ]
        )
    table = np.array(columns, dtype=np.float64).reshape(-1, 4)
    return Spread(seeds, images, *table.T)


def bootstrap(right: Ints, samples: int) -> Floats:
    """Accuracies (samples, variants) on images drawn with replacement, one draw for all variants, seeds as blocks."""
    variants, seeds, images = right.shape
    counts = right.sum(axis=1).T.astype(np.float64)  # whole numbers: their sums are exact in any order
    out = np.empty((samples, variants))
    chunk = max(1, 4_000_000 // images)
    for start in range(0, samples, chunk):
        stop = min(start + chunk, samples)
        draw = seeding.generator(0, "bootstrap", start).integers(0, images, (stop - start, images))
        flat = draw + np.arange(stop - start)[:, None] * images
        weights = np.bincount(flat.ravel(), minlength=(stop - start) * images).reshape(stop - start, images)
        out[start:stop] = weights.astype(np.float64) @ counts
    return np.asarray(out / (seeds * images))


def interval(parts: Spread, alpha: float) -> tuple[Floats, Floats, Floats]:
    """Lower and upper limit of the difference and two-sided p, each (pairs,)."""
    from scipy.special import stdtr, stdtrit

    variance, freedom = parts.variance()
    error = np.sqrt(variance)
    half = stdtrit(freedom, 1 - alpha / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(freedom, -np.abs(parts.difference) / error)
    p = np.where(parts.difference == 0, 1.0, np.where(error == 0, 0.0, p))
    return parts.difference - half, parts.difference + half, p


def cohens_h(first: Floats, second: Floats) -> Floats:
    """Cohen's h (1988), the effect size for two proportions: .2 small, .5 medium, .8 large."""
    return np.asarray(2 * np.arcsin(np.sqrt(first)) - 2 * np.arcsin(np.sqrt(second)))


def accuracies(draws: Floats, right: Ints, names: list[str], alpha: float) -> list[dict[str, Any]]:
    """The rows of intervals.csv: top-1 on the test set and its bootstrap interval over the images.

    It covers another draw of test images for these very networks; the t-interval of summary.csv covers other seeds.
    """
    means = right.mean(axis=(1, 2))
    ends = np.quantile(draws, [alpha / 2, 1 - alpha / 2], axis=0)
    return [
        {
            "variant": name,
            "split": "test",
            "metric": "top1",
            "images": right.shape[2],
            "mean": float(means[index]),
            "image_ci_low": float(ends[0, index]),
            "image_ci_high": float(ends[1, index]),
        }
        for index, name in enumerate(names)
    ]


def compare(right: Ints, names: list[str], draws: Floats, alpha: float) -> list[dict[str, Any]]:
    """The rows of comparisons.csv: all pairs of variants by top-1 on the test set.

    Args:
        right: 1 or 0, (variants, seeds, images).
        names: of the variants.
        draws: of `bootstrap`.
        alpha: level of the intervals and of the decision after Holm's adjustment.
    """
    pairs = list(itertools.combinations(range(len(names)), 2))
    if not pairs:
        return []
    from statsmodels.stats.multitest import multipletests

    parts = spread(right, pairs)
    low, high, p = interval(parts, alpha)
    adjusted = multipletests(p, alpha=alpha, method="holm")[1]
    a, b = np.array(pairs).T
    means = right.mean(axis=(1, 2))
    effect = cohens_h(means[a], means[b])
    rows = []
    for index, (first, second) in enumerate(pairs):
        ends = np.quantile(draws[:, first] - draws[:, second], [alpha / 2, 1 - alpha / 2])
        same = bool((right[first] == right[second]).all())
        decided = bool(adjusted[index] < alpha)
        images, seeds = (None, None) if decided or same else needed(parts, index, alpha / len(pairs))
        rows.append(
            {
                "variant_a": names[first],
                "variant_b": names[second],
                "difference": float(parts.difference[index]),
                "ci_low": float(low[index]),
                "ci_high": float(high[index]),
                "p": float(p[index]),
                "p_holm": float(adjusted[index]),
                "effect_size": float(effect[index]),
                "image_ci_low": float(ends[0]),
                "image_ci_high": float(ends[1]),
                "covers": "images and seeds" if parts.seeds > 1 else "images",
                "verdict": _verdict(parts.difference[index], decided=decided, same=same),
                "images_needed": images,
                "seeds_needed": seeds,
            }
        )
    return rows


def needed(parts: Spread, index: int, alpha: float) -> tuple[int | None, int | None]:
    """How many more images (with these seeds), or seeds (with these images), would decide a difference of this size.

    At 80 % power and level `alpha`, if the difference and its spread stay as they are. None where no number would do,
    or where the difference is 0.
    """
    from scipy.special import stdtrit

    one = Spread(parts.seeds, parts.images, *(column[index : index + 1] for column in _columns(parts)))

    def enough(seeds: int, images: int) -> bool:
        variance, freedom = one.variance(seeds, images)
        reach = stdtrit(freedom, 1 - alpha / 2) + stdtrit(freedom, POWER)
        return bool(abs(one.difference[0]) >= reach[0] * np.sqrt(variance[0]))

    if one.difference[0] == 0:
        return None, None
    images = _least(lambda n: enough(parts.seeds, n), parts.images, MOST)
    seeds = _least(lambda s: enough(s, parts.images), parts.seeds, MOST_SEEDS) if parts.seeds > 1 else None
    return images, seeds


def _columns(parts: Spread) -> tuple[Floats, Floats, Floats, Floats]:
    return parts.difference, parts.seed, parts.image, parts.rest


def _least(enough: Callable[[int], bool], have: int, most: int) -> int | None:
    """How many more than `have` are enough, by doubling and bisection."""
    low, high = have, have
    while not enough(high):
        low, high = high, high * 2
        if low >= most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - have


def _verdict(difference: float, *, decided: bool, same: bool) -> str:
    if same:
        return "identical"
    if not decided:
        return "undecided"
    return "a better" if difference > 0 else "b better"
