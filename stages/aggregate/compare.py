"""Is the difference between two variants real? On the same test images, over the seeds of both.

A variant is judged by a sample of images and a sample of training runs, so both vary. The variance of a mean difference
has three parts: of the seeds of either variant, each on its own as Welch (1947) has it, since nothing says that two
architectures vary alike; and of the images, paired, as the images x seeds layout of the differences gives it:
Var = (MS_seed_a + MS_seed_b + max(MS_image - MS_rest, 0)) / (S N), with Satterthwaite's degrees of freedom. The
bootstrap over images, each image carrying all its seeds as one block, gives the interval for these very networks. A
difference is decided when p says so after Holm's adjustment and those images alone exclude 0 too. With one seed nothing
is known of the variation between seeds: interval and p then cover the images alone, and nothing is decided.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import seeding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

COLUMNS = ["variant_a", "variant_b", "difference", "ci_low", "ci_high", "p", "p_holm", "effect_size"]
COLUMNS += ["image_ci_low", "image_ci_high", "covers", "verdict", "images_needed", "seeds_needed"]
INTERVALS = ["variant", "split", "metric", "images", "mean", "image_ci_low", "image_ci_high"]
MOST = 100_000_000  # images: beyond this, "more images" is no advice
MOST_SEEDS = 1000
FEW_SEEDS = 3  # two give an interval too, but one that is between two and three times as wide
IMAGES_ALONE = "images"
POWER = 0.8


@dataclass(frozen=True)
class Spread:
    """What varies, each (pairs,), with S seeds and N images; all but `difference` and `image` are 0 for a single seed.

    `seed_*` is the mean square of the seeds of either variant, `rest_*` the part of it that more images would shrink,
    `image` the mean square of the images in the differences, less its own `rest`.
    """

    seeds: int
    images: int
    difference: Floats
    seed_a: Floats
    seed_b: Floats
    rest_a: Floats
    rest_b: Floats
    image: Floats
    rest: Floats

    def variance(self) -> tuple[Floats, Floats]:
        """Variance of the mean difference and its degrees of freedom."""
        return self._of(self.seed_a, self.seed_b, self.seeds, self.images)

    def projected(self, index: int, seeds: int, images: int) -> tuple[float, float]:
        """The same of one pair for another number of seeds and images, if what varies stays as it is."""
        one = Spread(self.seeds, self.images, *(column[index : index + 1] for column in self._columns()))
        a, b = (
            rest + images * np.maximum(seed - rest, 0) / self.images
            for seed, rest in ((one.seed_a, one.rest_a), (one.seed_b, one.rest_b))
        )
        variance, freedom = one._of(a, b, seeds, images)
        return float(variance[0]), float(freedom[0])

    def _of(self, a: Floats, b: Floats, seeds: int, images: int) -> tuple[Floats, Floats]:
        total = a + b + seeds * self.image / self.seeds
        if self.seeds == 1:
            return total / images, np.full(len(total), float(images - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.where(a + b > 0, (seeds - 1) * total**2 / (a**2 + b**2), np.inf)
        return total / (seeds * images), np.minimum(freedom, 1e9)

    def _columns(self) -> list[Floats]:
        return [self.difference, self.seed_a, self.seed_b, self.rest_a, self.rest_b, self.image, self.rest]


def spread(right: Ints, pairs: list[tuple[int, int]]) -> Spread:
    """What varies between the variants of every pair, from sums of whole numbers, so that they are the same to the bit.

    Args:
        right: 1 or 0, (variants, seeds, images).
        pairs: indices of the variants compared.
    """
    alone = [_mean_squares(table) for table in right]
    columns: list[list[float]] = []
    for first, second in pairs:
        difference = right[first] - right[second]
        _, image, rest = _mean_squares(difference)
        mean = int(difference.sum()) / difference.size
        a, b = alone[first], alone[second]
        columns.append([mean, a[0], b[0], a[2], b[2], max(image - rest, 0.0), rest])
    return Spread(right.shape[1], right.shape[2], *np.array(columns, dtype=np.float64).reshape(-1, 7).T)


def _mean_squares(table: Ints) -> tuple[float, float, float]:
    """Mean squares of seeds, of images and of what is left, of whole numbers (seeds, images); 0 where undefined."""
    seeds, images = table.shape
    middle = int(table.sum()) ** 2 / (seeds * images)
    of_seeds = int((table.sum(axis=1) ** 2).sum()) / images - middle
    of_images = int((table.sum(axis=0) ** 2).sum()) / seeds - middle
    rest = max(int((table**2).sum()) - middle - of_seeds - of_images, 0.0)
    freedom = (seeds - 1) * (images - 1)
    return (
        of_seeds / (seeds - 1) if seeds > 1 else 0.0,
        of_images / (images - 1) if images > 1 else 0.0,
        rest / freedom if freedom else 0.0,
    )


def bootstrap(right: Ints, samples: int) -> Floats:
    """Accuracies (samples, variants) on images drawn with replacement, one draw for all variants, seeds as blocks."""
    _, seeds, images = right.shape
    counts = right.sum(axis=1).T.astype(np.float64)  # whole numbers: their sums are exact in any order
    return np.asarray(np.concatenate([w @ counts for w in redraws(images, samples)]) / (seeds * images))


def redraws(images: int, samples: int) -> Iterator[Floats]:
    """How often each image is drawn: (some samples, images), until there are `samples`."""
    chunk = max(1, 4_000_000 // images)
    for start in range(0, samples, chunk):
        stop = min(start + chunk, samples)
        draw = seeding.generator(0, "bootstrap", start).integers(0, images, (stop - start, images))
        flat = draw + np.arange(stop - start)[:, None] * images
        weights = np.bincount(flat.ravel(), minlength=(stop - start) * images).reshape(stop - start, images)
        yield weights.astype(np.float64)


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


def accuracies(draws: Floats, means: NDArray[Any], images: int, names: list[str], alpha: float) -> list[dict[str, Any]]:
    """The rows of intervals.csv: top-1 on the test set and its bootstrap interval over the images.

    It covers another draw of test images for these very networks; the t-interval of summary.csv covers other seeds.
    """
    ends = np.quantile(draws, [alpha / 2, 1 - alpha / 2], axis=0)
    return [
        {
            "variant": name,
            "split": "test",
            "metric": "top1",
            "images": images,
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
    parts = spread(right, pairs)
    low, high, p = interval(parts, alpha)
    estimate = Estimate(
        right.mean(axis=(1, 2)),
        parts.difference, low, high, p,
        np.array([bool((right[a] == right[b]).all()) for a, b in pairs]),
        "images and seeds" if parts.seeds > 1 else IMAGES_ALONE,
        lambda index, level: needed(parts, index, level),
    )  # fmt: skip
    return rows(estimate, pairs, names, draws, alpha)


@dataclass(frozen=True)
class Estimate:
    """What is known about the pairs before the images alone are asked.

    `means` is (variants,), the rest (pairs,); `same` says that two variants are right on the same images, cell by cell;
    `needed` gives the images and the seeds that would decide the pair of an index at a level.
    """

    means: NDArray[Any]
    difference: Floats
    low: Floats
    high: Floats
    p: Floats
    same: NDArray[np.bool_]
    covers: str
    needed: Callable[[int, float], tuple[int | None, int | None]]


def rows(
    known: Estimate, pairs: list[tuple[int, int]], names: list[str], draws: Floats, alpha: float
) -> list[dict[str, Any]]:
    """The rows of comparisons.csv: adjusted over all pairs, and decided where the images alone agree."""
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests(known.p, alpha=alpha, method="holm")[1]
    a, b = np.array(pairs).T
    effect = cohens_h(known.means[a], known.means[b])
    table = []
    for index, (first, second) in enumerate(pairs):
        ends = np.quantile(draws[:, first] - draws[:, second], [alpha / 2, 1 - alpha / 2])
        same = bool(known.same[index])
        low, high = (0.0, 0.0) if same else (float(known.low[index]), float(known.high[index]))
        apart = bool(adjusted[index] < alpha) and not ends[0] <= 0 <= ends[1]
        decided = apart and known.covers != IMAGES_ALONE
        images, seeds = (None, None) if decided or same else known.needed(index, alpha / len(pairs))
        table.append(
            {
                "variant_a": names[first],
                "variant_b": names[second],
                "difference": float(known.difference[index]),
                "ci_low": low,
                "ci_high": high,
                "p": float(known.p[index]),
                "p_holm": float(adjusted[index]),
                "effect_size": float(effect[index]),
                "image_ci_low": float(ends[0]),
                "image_ci_high": float(ends[1]),
                "covers": known.covers,
                "verdict": _verdict(known.difference[index], decided=decided, same=same),
                "images_needed": None if apart else images,
                "seeds_needed": seeds,
            }
        )
    return table


def needed(parts: Spread, index: int, alpha: float) -> tuple[int | None, int | None]:
    """How many more images (with these seeds), or seeds (with these images), would decide a difference of this size.

    At 80 % power and level `alpha`, if the difference and its spread stay as they are. None where no number would do,
    or where the difference is 0. With one seed the seeds are the fewest that are worth having, and images are needed
    too where these do not tell the two networks apart.
    """
    from scipy.special import stdtrit

    size = abs(float(parts.difference[index]))

    def enough(seeds: int, images: int) -> bool:
        of_images = float(parts.rest[index] + seeds * parts.image[index] / parts.seeds) / (seeds * images)
        both = [parts.projected(index, seeds, images), (of_images, images - 1.0)]
        reach = [float(stdtrit(f, 1 - alpha / 2) + stdtrit(f, POWER)) * math.sqrt(v) for v, f in both]
        return size >= max(reach)

    images = least(lambda n: enough(parts.seeds, n), parts.images, MOST) if size else None
    if parts.seeds == 1:
        return images, FEW_SEEDS - 1
    return images, least(lambda s: enough(s, parts.images), parts.seeds, MOST_SEEDS) if size else None


def least(enough: Callable[[int], bool], have: int, most: int) -> int | None:
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
