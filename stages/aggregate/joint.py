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
DISCOUNT = 0.5  # the shared variance gets the degrees of freedom of this many variants less: few cannot show inequality
# The most that two seeds, or three of variants that may be unequal, may add to the variance of a difference.
OF_SEEDS = 0.3
PERHAPS = 0.5  # level of Bartlett's test: whether, with three seeds, the variants may be unequal
LIKE_ONE = 1.5  # the seeds of a pair get at most the degrees of freedom of so many variants: they may vary unequally
NODES, WEIGHTS = np.polynomial.legendre.leggauss(160)  # of an integral between -1 and 1
MOST_FREEDOM = 1e6
SMALLEST_P = 1e-12  # below it a tail is rounding, which differs between processors


@dataclass(frozen=True)
class Spread:
    """What varies on one split of S `seeds` and N `units` (images, or groups drawn whole).

    `seed` (variants,) is the mean square of the seeds of a variant, `rest` (variants,) the part of it that comes from
    the images alone; both are 0 for a single seed. `image` (pairs,) is what the images add to a `difference` beyond
    that, as a mean square. `equal_groups` is how many groups of one size say as much as the units.
    """

    pairs: Pairs
    seeds: int
    units: int
    equal_groups: float
    difference: Floats
    seed: Floats
    rest: Floats
    image: Floats

    def variance(self) -> tuple[Floats, Floats]:
        """Variance of the difference of each pair by itself and its degrees of freedom, each (pairs,).

        The variance is (seed_a + seed_b + image) / (S N). The degrees of freedom are Satterthwaite's, but the two
        seed variances together have at most those of LIKE_ONE variants.
        """
        a, b = self.of_pairs(self.seed)
        total = a + b + self.image
        if self.seeds == 1:
            return total / self.units, np.full(len(total), self.equal_groups - 1.0)
        squares = np.maximum(a**2 + b**2, (a + b) ** 2 / LIKE_ONE) / (self.seeds - 1)
        squares += self.square_of_images()
        return total / (self.seeds * self.units), _satterthwaite(total, squares, 1e9)

    def of_pairs(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Values (variants,) of the first and of the second variant of each pair, each (pairs,)."""
        first, second = np.array(self.pairs).T
        return values[first], values[second]

    def square_of_images(self) -> Floats:
        """The square of the images' part of the variance by its degrees of freedom, a term of Satterthwaite's."""
        return np.asarray(self.image**2 / max(self.equal_groups - 1.0, 1.0))


@dataclass(frozen=True)
class Family:
    """The joint answer about all pairs: error and degrees of freedom of each.

    Pairs are `without_variation` whose runs do not vary: with one seed, or where the runs of each variant agree to the
    last digit. `alone` says that each pair is judged by the variances of its own two variants.
    """

    variants: int
    difference: Floats
    error: Floats
    freedom: Floats
    without_variation: NDArray[np.bool_]
    run: Floats  # variance of the difference of one new run of each
    freedom_of_run: Floats
    alone: bool = False

    def p(self) -> Floats:
        """P of each pair, adjusted for all pairs."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(self.difference == 0, 0.0, np.abs(self.difference) / self.error)
        p = self.tail(t)
        return np.asarray(np.where(self.without_variation, 1.0, np.where(p < SMALLEST_P, 0.0, p)))

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
    """Judge all pairs of one split together, by shared variances of the seeds or each pair by its own two variants."""
    seeds, units, variants, count = found.seeds, found.units, len(found.seed), len(found.pairs)
    if seeds == 1:
        error, freedom = np.sqrt(found.image / units), np.full(count, max(found.equal_groups - 1.0, 1.0))
        unknown = np.ones(count, dtype=np.bool_)
        return Family(variants, found.difference, error, freedom, unknown, np.zeros(count), np.ones(count))
    moving = np.maximum(found.seed, found.rest) > 0
    used, own = shared(found.seed, found.rest, seeds - 1)
    alone = _must_stand_alone(found, used, moving)
    if alone:
        used = np.where(moving, np.maximum(found.seed, found.rest), used)
        total, freedom = _pair_by_pair(found, used)
    else:
        total, freedom = _pooled(found, used, own, int(moving.sum()))
    error = np.sqrt(total / (seeds * units))
    unknown = np.full(count, not moving.any()) | (error == 0)
    ordinary = moving & ~own
    if ordinary.any() and not alone:  # a variant with a failed run does not make a new run of the others vary
        level = max(float(found.seed[ordinary].mean()), float(found.rest[ordinary].mean()))
        used = np.where(own, used, level)
    a, b = found.of_pairs(used)
    run = (a + b) / units * (1 + 1 / seeds)
    return Family(variants, found.difference, error, freedom, unknown, run, freedom, alone)


def _must_stand_alone(found: Spread, used: Floats, moving: NDArray[np.bool_]) -> bool:
    """Whether two or three seeds differ by too much to share a variance; `used` (variants,) is the shared one."""
    (a, b), (rest_a, rest_b) = found.of_pairs(used), found.of_pairs(found.rest)
    total = a + b + found.image
    with np.errstate(divide="ignore", invalid="ignore"):
        share_of_seeds = np.where(total > 0, (a + b - rest_a - rest_b) / total, 0.0)
    if found.seeds > 3 or not share_of_seeds.max() > OF_SEEDS:
        return False
    # Seeds that agree by more than the images allow agree by chance: that proves no small variance.
    return found.seeds == 2 or unequal(np.maximum(found.seed, found.rest)[moving], found.seeds - 1, PERHAPS)


def _pooled(found: Spread, used: Floats, own: NDArray[np.bool_], moving: int) -> tuple[Floats, Floats]:
    """S N times the variance of each pair and its degrees of freedom, if `moving` variants share that of the seeds."""
    (a, b), (own_a, own_b) = found.of_pairs(used), found.of_pairs(own)
    freedom, total = found.seeds - 1, a + b + found.image
    pooled = np.where(own_a, 0.0, a) + np.where(own_b, 0.0, b)
    squares = pooled**2 / ((max(moving, 1) - DISCOUNT) * freedom)
    squares += np.where(own_a, a**2, 0.0) / freedom + np.where(own_b, b**2, 0.0) / freedom
    squares = np.where(own_a & own_b, (a + b) ** 2 / freedom, squares)
    return total, _satterthwaite(total, squares + found.square_of_images(), MOST_FREEDOM)


def _pair_by_pair(found: Spread, used: Floats) -> tuple[Floats, Floats]:
    """The same, if each pair is judged by the seeds of its own two variants."""
    a, b = found.of_pairs(used)
    total = a + b + found.image
    if found.seeds == 2:  # they give the sum one degree of freedom, whatever the images add
        return total, np.ones(len(total))
    squares = (a + b) ** 2 / (found.seeds - 1) + found.square_of_images()
    return total, _satterthwaite(total, squares, MOST_FREEDOM)


def _satterthwaite(total: Floats, squares: Floats, most: float) -> Floats:
    """Degrees of freedom of variances `total`; `squares` are the sums of their squared terms, each by its own."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.minimum(np.where(squares > 0, total**2 / squares, most), most))


def shared(seed: Floats, rest: Floats, freedom: int) -> tuple[Floats, NDArray[np.bool_]]:
    """The mean square of the seeds that each variant is judged by, and whether it is the variant's own.

    A variant whose runs do not vary is judged by that of the others.
    """
    moving = np.maximum(seed, rest) > 0
    own, count = np.zeros(len(seed), dtype=np.bool_), int(moving.sum())
    if count == 0:
        return np.zeros(len(seed)), own
    some, least = seed[moving], rest[moving]
    pool = max(float(some.mean()), float(least.mean()))
    used = np.full(len(seed), pool)
    if count > 1:
        others = np.maximum((some.sum() - some) / (count - 1), (least.sum() - least) / (count - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            stands_out = fdtrc(freedom, freedom * (count - 1), some / others) < STANDS_OUT
        own[moving] = (stands_out | unequal(some, freedom, UNEQUAL)) & (some > pool)
        used[moving] = np.maximum(np.where(own[moving], some, pool), least)
    return used, own


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
    """The studentized range of `count` means, with degrees of freedom for each value that is asked.

    scipy.stats.studentized_range takes 5 ms for a tail and 90 ms for a limit, one at a time, and a study of 28 variants
    asks for 378 of each. A test compares the two.
    """

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
    return grid, np.where(tail < SMALLEST_P, 0.0, tail)
