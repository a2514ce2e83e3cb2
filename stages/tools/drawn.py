"""Studies as they would come out, without their images: `plan` judges them before anything is trained.

The decision of a study rests on mean squares and on differences of means. For normal values the mean squares are
scaled chi-squares (of seeds) and of Wishart's distribution (of images, in pairs that share variants), and the
differences are normal and independent of them. So the mean squares are drawn, `stages.aggregate.joint` judges each
draw, and the power for a difference is known without drawing the difference itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from stages.aggregate import compare, joint
from stages.core.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POWER = 0.8
# Studies that are drawn, by variants: with more variants a study has more pairs.
DRAWS, FEWEST_DRAWS = {2: 600, 5: 400}, 300


@dataclass(frozen=True)
class Parts:
    """Variances of one answer: `seed` of a run as a whole, `rest` of a run on an image, `image` of a difference.

    `share` is the level of the variants where the metric is a share of the images: its variance depends on it. `group`
    is how many images are drawn together, in the mean; an answer is that of a group then.
    """

    seed: float
    rest: float
    image: float
    share: float | None = None
    group: float = 1.0


class Draws:
    """Mean squares of studies, as they vary from study to study: scaled chi-squares and, of pairs, Wishart's."""

    def __init__(self, variants: int, seeds: int, images: int) -> None:
        count = DRAWS.get(variants, FEWEST_DRAWS)
        rng = generator(0, "plan")
        self.size, self.pairs = (seeds, images), compare.all_pairs(variants)
        self.seed = rng.chisquare(seeds - 1, (count, variants)) / (seeds - 1)
        self.image = _factors(rng, count, variants + 1, images - 1)
        self.rest = _factors(rng, count, variants, (seeds - 1) * (images - 1))

    def needed(self, parts: Parts, ahead: float, alpha: float) -> float:
        """The difference that is decided with 80 % power if the variances are those of a first variant so far ahead."""
        seeds, images = self.size
        first, second = np.array(self.pairs).T
        own, rest = (np.full(self.seed.shape[1], value) for value in (parts.image / 2, parts.rest))
        common = np.zeros(len(first))
        if parts.share is not None:
            own[0], rest[0], common[: len(own) - 1] = _at(parts, min(max(parts.share + ahead, 0.0), 1.0))
        spread = np.sqrt(own + rest / seeds)
        half = np.empty((len(self.seed), len(own) - 1))
        for place, (chi, of_image, of_rest) in enumerate(zip(self.seed, self.image, self.rest, strict=True)):
            left = of_rest * np.sqrt(rest)[:, None]
            each = of_image[:-1] * spread[:, None]
            each = each[first] - each[second] + common[:, None] * of_image[-1]
            between = seeds * (each**2).sum(axis=1) - ((left[first] - left[second]) ** 2).sum(axis=1)
            squares = ((images * parts.seed + rest) * chi, (left**2).sum(axis=1), np.maximum(between, 0.0))
            judged = joint.family(joint.Spread(self.pairs, seeds, images, images, np.zeros(len(first)), *squares))
            half[place] = reach(judged, alpha)[: len(own) - 1]
        error = math.sqrt(2 * parts.seed / seeds + (spread[0] ** 2 + spread[1] ** 2 + common[0] ** 2) / images)
        return _least(float(half.max() + 9 * error), lambda gap: ndtr((gap - half) / error).mean() >= POWER)


def _least(most: float, enough: Callable[[float], bool]) -> float:
    """The least value between 0 and `most` that is enough, by bisection; `most` where none is."""
    low, high = 0.0, most
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _at(parts: Parts, level: float) -> tuple[float, float, float]:
    """For a share at another level: variance of a variant on an image, of a run on it, SD of what the levels cause.

    An answer is right when skill and luck add up to more than 0, all of them normal. What two variants, or two runs of
    one, have in common is set so that the variances at the level of the others are those that are known.
    """
    share = float(parts.share or 0)
    one = share * (1 - share)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights /= weights.sum()

    def expected(alike: float, where: float) -> Floats:
        """Share of right answers where what is in common has these values."""
        return np.asarray(ndtr((ndtri(where) + math.sqrt(alike) * nodes) / math.sqrt(1 - alike)))

    def found(variance: float) -> float:
        return _least(0.999, lambda alike: bool(weights @ expected(alike, share) ** 2 - share**2 >= variance))

    variants, seeds = found(one - parts.rest - parts.image / 2), found(one - parts.rest)
    ours, theirs = expected(variants, level), expected(variants, share)
    of_run = float(weights @ expected(seeds, level) ** 2) - level**2
    of_variant = float(weights @ ours**2) - level**2
    apart = float(weights @ (ours - theirs) ** 2) - (level - share) ** 2
    return max(of_run - of_variant, 0.0), max(level * (1 - level) - of_run, 0.0), math.sqrt(max(apart, 0.0))


def reach(judged: joint.Family, alpha: float) -> Floats:
    """`Family.half`, from a table of the studentized range: thousands of studies are judged."""
    if judged.alone:
        return judged.half(alpha)
    freedom, range_ = _quantiles(judged.variants, alpha)
    return np.asarray(np.exp(np.interp(np.log(judged.freedom), freedom, range_)) / math.sqrt(2) * judged.error)


@cache
def _quantiles(variants: int, alpha: float) -> tuple[Floats, Floats]:
    freedom = np.geomspace(0.5, joint.MOST_FREEDOM, 200)
    return np.log(freedom), np.log(joint.Range(variants, freedom).isf(alpha))


def _factors(rng: np.random.Generator, count: int, size: int, freedom: int) -> Floats:
    """Matrices whose product with their transpose is a mean of squares of `freedom` normal vectors (Bartlett 1933)."""
    found = np.tril(rng.standard_normal((count, size, size)), -1)
    place = np.arange(size)
    found[:, place, place] = np.sqrt(rng.chisquare(np.maximum(freedom - place, 1), (count, size)))
    return np.asarray(found / math.sqrt(freedom))
