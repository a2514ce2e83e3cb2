"""The error of all pairs of a study together: which differences are decided, at one level for the whole family.

With two or three seeds a variant's own seeds agree by chance now and then, and its variance vanishes. So the variance
of the seeds is shared between the variants, and is never less than what the images alone would leave between seeds.
A variant counts on its own where the variants differ in this variance (Bartlett's test, taken at a generous level) or
where it stands out (F test), and its own is the larger. A variant whose runs never differ (a class prior, or no error
at all) says nothing about the others, so it counts by their shared variance. All differences of means are judged by the
studentized range (Tukey), with Satterthwaite's degrees of freedom for each pair.

A shared variance would mislead where two seeds differ by clearly more than the images explain, or where three seeds do
and the variants may vary unequally. There each pair is judged by the variances of its own two variants, which count as
one variance of the fewest degrees of freedom (Mickey and Brown 1966), adjusted for all pairs (Bonferroni). It decides
large differences only. `python -m benchmarks.statistics` measures the level and the power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import chdtri, fdtrc, gammaln, ndtr, stdtr, stdtrit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Pairs = list[tuple[int, int]]

UNEQUAL = 0.4  # level of Bartlett's test: an unequal study that is taken for an equal one costs more than the reverse
STANDS_OUT = 0.1  # level of the F test of one variant against all others
DISCOUNT = 0.5  # variants that the shared variance counts less than it has: a small study cannot show inequality
TWO_SEEDS = 0.3  # with two seeds, the most that the seeds may add to the variance of a difference
THREE_SEEDS = 0.3  # the same with three, where the variants may be unequal (Bartlett at the level below)
PERHAPS = 0.5
LIKE_ONE = 1.5  # the seeds of both variants of a pair count as those of so many: few seeds cannot show which one varies
NODES, WEIGHTS = np.polynomial.legendre.leggauss(160)  # of an integral between -1 and 1
MOST_FREEDOM = 1e6
SMALLEST = 1e-12  # below it a tail is rounding, which differs between processors


@dataclass(frozen=True)
class Spread:
    """What varies on one split of S seeds and N images; `seed`, `rest` are 0 for a single seed.

    `seed` (variants,) is the mean square of the seeds of a variant, `rest` (variants,) the part of it that comes from
    the images alone. `image` (pairs,) is what the images add to a `difference` beyond that, as a mean square. `worth`
    is how many images, or groups of one size, say as much.
    """

    pairs: Pairs
    seeds: int
    images: int
    worth: float
    difference: Floats
    seed: Floats
    rest: Floats
    image: Floats

    def variance(self) -> tuple[Floats, Floats]:
        """Variance of the difference of each pair by itself and its degrees of freedom, each (pairs,)."""
        first, second = np.array(self.pairs).T
        a, b = self.seed[first], self.seed[second]
        total = a + b + self.image
        if self.seeds == 1:
            return total / self.images, np.full(len(total), self.worth - 1.0)
        squares = np.maximum(a**2 + b**2, (a + b) ** 2 / LIKE_ONE) / (self.seeds - 1)
        squares += self.image**2 / max(self.worth - 1, 1)
        return total / (self.seeds * self.images), _satterthwaite(total, squares, 1e9)


@dataclass(frozen=True)
class Family:
    """The joint answer about all pairs: error and degrees of freedom of each.

    All pairs are `refused` whose runs do not vary: with one seed, or where the runs of each variant agree to the last
    digit. `alone` says that each pair is judged by the variances of its own two variants.
    """

    variants: int
    difference: Floats
    error: Floats
    freedom: Floats
    refused: NDArray[np.bool_]
    run: Floats  # variance of the difference of one new run of each, without variants that stand out
    freedom_of_run: Floats
    alone: bool = False

    def p(self) -> Floats:
        """P of each pair, adjusted for all pairs."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(self.difference == 0, 0.0, np.abs(self.difference) / self.error)
        p = self.tail(t)
        return np.asarray(np.where(self.refused, 1.0, np.where(p < SMALLEST, 0.0, p)))

    def tail(self, t: Floats) -> Floats:
        """Probability that the difference of any pair is further than `t` errors from the truth."""
        if self.alone:
            return np.asarray(np.minimum(1.0, 2 * len(t) * stdtr(self.freedom, -t)))
        return Range(self.variants, self.freedom).sf(math.sqrt(2) * t)

    def first_is_higher(self) -> Floats:
        """Probability that one new run of the first variant has the higher value than one of the second."""
        with np.errstate(divide="ignore", invalid="ignore"):
            known = stdtr(self.freedom_of_run, self.difference / np.sqrt(self.run))
        certain = np.where(self.difference == 0, 0.5, self.difference > 0)
        return np.asarray(np.where(self.run > 0, known, certain))

    def half(self, alpha: float) -> Floats:
        """Half the width of the simultaneous intervals."""
        if self.alone:
            return np.asarray(stdtrit(self.freedom, 1 - alpha / (2 * len(self.error))) * self.error)
        return Range(self.variants, self.freedom).isf(alpha) / math.sqrt(2) * self.error


def family(found: Spread) -> Family:
    """Judge all pairs of one split together."""
    seeds, images, seed, rest, image = found.seeds, found.images, found.seed, found.rest, found.image
    difference, count = found.difference, len(found.pairs)
    of_worth = max(found.worth - 1.0, 1.0)
    first, second = np.array(found.pairs).T
    if seeds == 1:
        error, refused = np.sqrt(image / images), np.ones(count, dtype=np.bool_)
        return Family(len(seed), difference, error, np.full(count, of_worth), refused, np.zeros(count), np.ones(count))
    freedom = seeds - 1
    used, own = shared(seed, rest, freedom)
    moving = np.maximum(seed, rest) > 0
    sharing = max(int(moving.sum()), 1) - DISCOUNT
    a, b = used[first], used[second]
    total = a + b + image
    pooled = np.where(own[first], 0.0, a) + np.where(own[second], 0.0, b)
    squares = pooled**2 / (sharing * freedom)
    squares += np.where(own[first], a**2, 0.0) / freedom + np.where(own[second], b**2, 0.0) / freedom
    squares = np.where(own[first] & own[second], (a + b) ** 2 / freedom, squares)
    of_images = image**2 / of_worth
    squares += of_images
    freedoms = _satterthwaite(total, squares, MOST_FREEDOM)
    with np.errstate(divide="ignore", invalid="ignore"):
        added = np.where(total > 0, (a + b - rest[first] - rest[second]) / total, 0.0)
    most = float(added.max())
    alone = seeds == 2 and most > TWO_SEEDS
    # Seeds that agree by more than the images allow agree by chance: that proves no small variance.
    alone = alone or (seeds == 3 and most > THREE_SEEDS and unequal(np.maximum(seed, rest)[moving], freedom, PERHAPS))
    if alone:
        alike = np.where(moving, np.maximum(seed, rest), used)
        a, b = alike[first], alike[second]
        total, squares = a + b + image, (a + b) ** 2 / freedom + of_images
        # Two seeds give the sum one degree of freedom, whatever the images add.
        freedoms = np.ones(count) if seeds == 2 else _satterthwaite(total, squares, MOST_FREEDOM)
    error = np.sqrt(total / (seeds * images))
    refused = np.full(count, not moving.any()) | (error == 0)
    ordinary = moving & ~own
    if ordinary.any() and not alone:  # a variant with a failed run does not make a new run of the others vary
        level = max(float(seed[ordinary].mean()), float(rest[ordinary].mean()))
        a, b = (np.where(own, used, level)[place] for place in (first, second))
    run = (a + b) / images * (1 + 1 / seeds)
    return Family(len(seed), difference, error, freedoms, refused, run, freedoms, alone)


def _satterthwaite(total: Floats, squares: Floats, most: float) -> Floats:
    """Degrees of freedom of variances `total`; `squares` are the sums of their squared terms, each by its own."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.minimum(np.where(squares > 0, total**2 / squares, most), most))


def shared(seed: Floats, rest: Floats, freedom: int) -> tuple[Floats, NDArray[np.bool_]]:
    """The mean square of the seeds that each variant is judged by, and whether it is its own alone."""
    moving = np.maximum(seed, rest) > 0
    if moving.any() and not moving.all():
        pool, own = max(float(seed[moving].mean()), float(rest[moving].mean())), np.zeros(len(seed), dtype=np.bool_)
        used = np.full(len(seed), pool)
        used[moving], own[moving] = shared(seed[moving], rest[moving], freedom)
        return used, own
    count = len(seed)
    pool = max(float(seed.mean()), float(rest.mean()))
    if count == 1 or pool == 0:
        return np.maximum(seed, rest), np.zeros(count, dtype=np.bool_)
    others = np.maximum((seed.sum() - seed) / (count - 1), (rest.sum() - rest) / (count - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = fdtrc(freedom, freedom * (count - 1), seed / others) < STANDS_OUT
    own = (alone | unequal(seed, freedom, UNEQUAL)) & (seed > pool)
    return np.maximum(np.where(own, seed, pool), rest), own


def unequal(squares: Floats, freedom: int, level: float) -> bool:
    """Bartlett's test: whether mean squares of `freedom` degrees of freedom each differ by more than chance."""
    count = len(squares)
    mean = float(squares.mean())
    if mean == 0:
        return False
    ratio = -freedom * float(np.log(np.maximum(squares / mean, 1e-300)).sum())
    correction = 1 + (count + 1) / (3 * count * freedom)
    return bool(ratio / correction > chdtri(count - 1, level))


class Range:
    """The studentized range of `count` means, with degrees of freedom for each value that is asked."""

    def __init__(self, count: int, freedom: Floats) -> None:
        distinct, self.place = np.unique(freedom, return_inverse=True)
        half = distinct[:, None] / 2
        # s is the estimate of the SD; s^(2/3) is nearly normal (Wilson and Hilferty 1931), so that is where nodes lie.
        middle, width = 1 - 1 / (9 * half), 9 * np.sqrt(1 / (9 * half))
        low, high = np.maximum(middle - width, 0.0), middle + width
        y = low + (high - low) * (NODES + 1) / 2
        self.scale = y**1.5
        density = math.log(2) + half * np.log(half) - gammaln(half) + (2 * half - 1) * np.log(self.scale)
        each = np.exp(density - half * self.scale**2) * 1.5 * np.sqrt(y) * WEIGHTS * (high - low) / 2
        self.weights = each / each.sum(axis=1, keepdims=True)
        self.grid, self.tail = _range(count)

    def sf(self, q: Any) -> Floats:
        """Probability of more than `q`."""
        asked = np.asarray(q, dtype=np.float64)[:, None] * self.scale[self.place]
        tail = np.interp(np.minimum(asked, self.grid[-1]), self.grid, self.tail)
        return np.asarray(np.clip((tail * self.weights[self.place]).sum(axis=1), 0.0, 1.0))

    def isf(self, alpha: float) -> Floats:
        """The value that is exceeded with probability `alpha`, by bisection."""
        low, high = np.zeros(len(self.place)), np.full(len(self.place), 2.0)
        for _ in range(60):
            short = self.sf(high) > alpha
            if not short.any():
                break
            high = np.where(short, 2 * high, high)
        for _ in range(50):
            middle = (low + high) / 2
            more = self.sf(middle) > alpha
            low, high = np.where(more, middle, low), np.where(more, high, middle)
        return np.asarray((low + high) / 2)


@cache
def _range(count: int) -> tuple[Floats, Floats]:
    """The tail of the range of `count` standard normal values, on a grid."""
    grid = np.linspace(0, 16, 3201)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    z, weights = nodes * 9, weights * 9
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    inside = (ndtr(z[None, :] + grid[:, None]) - ndtr(z)[None, :]) ** (count - 1)
    below: Floats = count * (inside * density) @ weights
    tail = np.clip(1 - below, 0.0, 1.0)
    return grid, np.where(tail < SMALLEST, 0.0, tail)
