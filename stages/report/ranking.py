"""The ranking on the test set and its statistical ties."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from stages.core.metrics import LOWER_IS_BETTER
from stages.report.wording import MISSING

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence

METRIC = "top1"
ONE_SEED = "one seed shows nothing about the variation between seeds"
ALONE = "test images alone"
FEW = "so few seeds cannot show how much each variant varies"
AGREE = "runs that agree to the last digit do not show by how much another run would differ"
SAME = 1e-12  # means that differ by less are equal: they were added in another order
MIRRORED = {"a better": "b better", "b better": "a better"}


@dataclass(frozen=True)
class Comparison:
    """A row of comparisons.csv: the metric of `variant_a` minus that of `variant_b`, on the same test images.

    `ci_low` and `ci_high` are of the pair by itself, `joint_ci_low` and `joint_ci_high` hold for all pairs at once and
    decide. What is not known is NaN. `standard_error` is the expected one, not the safe one of the intervals over
    splits.
    """

    variant_a: str
    variant_b: str
    difference: float
    ci_low: float
    ci_high: float
    joint_ci_low: float
    joint_ci_high: float
    p: float
    p_joint: float
    effect_size: float
    probability_a_better: float
    standard_error: float
    covers: str
    verdict: str

    @classmethod
    def of(cls, row: dict[str, str], error: float) -> Comparison:
        """Of a row as it stands in the file."""
        words: dict[str, Any] = {key: row[key] for key in ("variant_a", "variant_b", "covers", "verdict")}
        numbers = {key: float(row[key] or "nan") for key in cls.__annotations__ if key not in words}
        return cls(**words | numbers | {"standard_error": error})

    @property
    def decided(self) -> bool:
        """Whether one of the two is better, after adjustment over all pairs."""
        return self.verdict in MIRRORED

    @property
    def one_seed(self) -> bool:
        """Whether interval and p cover the test images alone, or there are none, so that nothing is decided."""
        return self.covers in ("images", "nothing")

    def turned(self) -> Comparison:
        """The same comparison seen from `variant_b`."""
        return replace(
            self,
            variant_a=self.variant_b,
            variant_b=self.variant_a,
            difference=-self.difference,
            ci_low=-self.ci_high,
            ci_high=-self.ci_low,
            joint_ci_low=-self.joint_ci_high,
            joint_ci_high=-self.joint_ci_low,
            effect_size=-self.effect_size,
            probability_a_better=1 - self.probability_a_better,
            verdict=MIRRORED.get(self.verdict, self.verdict),
        )


@dataclass(frozen=True)
class Ranking:
    """Variants by their mean on the test set, and their statistical ties.

    `tied` holds for each variant the ranks with which it is statistically tied. `silent` is the reason why several
    seeds decide nothing, where there is one; then nothing is called tied. Equal means share a `rank`. `own`: each pair
    is judged by its own few runs, so that variants which are far apart may be undecided; these are not called tied.
    """

    order: list[str]
    pairs: dict[tuple[str, str], Comparison]
    tied: dict[str, str]
    silent: str = ""
    rank: dict[str, int] = field(default_factory=dict)
    own: bool = False

    @property
    def column(self) -> str:
        """Title of the column that `tied` fills."""
        return "Not decided against" if self.own else "Tied with"

    @property
    def alike(self) -> str:
        """In a sentence: two variants of which none is called better `are ...`."""
        return "not decided against each other" if self.own else "statistically tied"

    def every_pair(self) -> list[Comparison]:
        """All pairs in the order of the ranking, seen from the better."""
        return [self.pairs[pair] for pair in combinations(self.order, 2)]

    def split_by_rank(self, variants: list[str]) -> tuple[list[str], list[str]]:
        """Those of the first rank, and the others."""
        first = [v for v in variants if self.rank[v] == 1]
        return first, [v for v in variants if v not in first]

    def like_the_best(self) -> list[str]:
        """The first in the ranking and all variants that are statistically tied with it."""
        best = self.order[0]
        return [best, *(v for v in self.order[1:] if not self.pairs[best, v].decided)]


def ranking(evidence: StudyEvidence) -> Ranking:
    """Rank by the mean of the compared metric on the test set; ties keep the order of params.yaml."""
    means = compared_means(evidence)
    turned = 1 if evidence.metric in LOWER_IS_BETTER else -1
    order = sorted(evidence.variants, key=lambda variant: turned * means[variant])
    rank = {a: 1 + sum(turned * (means[a] - means[b]) > SAME for b in order) for a in order}
    pairs: dict[tuple[str, str], Comparison] = {}
    for row in evidence.comparisons:
        pair = Comparison.of(row, _error(evidence, row))
        pairs[pair.variant_a, pair.variant_b], pairs[pair.variant_b, pair.variant_a] = pair, pair.turned()
    verdicts = {pair.verdict for pair in pairs.values()}
    own = bool(pairs) and evidence.comparisons[0]["variances"] == "own"
    silent = ""
    if "refused" in verdicts and verdicts <= {"refused", "identical"}:
        silent = AGREE
    elif own and verdicts - {"identical"} == {"undecided"}:
        silent = few(evidence)
    ties = dict.fromkeys(order, MISSING) if silent else tied(rank, pairs)
    return Ranking(order, pairs, ties, silent, rank, own and not silent)


def few(evidence: StudyEvidence) -> str:
    """Why few runs decide nothing."""
    return FEW.replace("seeds", "splits") if evidence.several else FEW


def test_means(evidence: StudyEvidence) -> dict[str, float]:
    """Mean test top-1 of each variant."""
    return {variant: evidence.summary[variant, "test", METRIC].mean for variant in evidence.variants}


def compared_means(evidence: StudyEvidence) -> dict[str, float]:
    """Mean of the compared metric of each variant on the test set."""
    return {variant: float(row["mean"] or 0) for variant, row in evidence.intervals.items()}


def luck(ranks: Ranking) -> float:
    """How far the best of the variants that are tied at the top would be above their common mean if they were equal.

    It is the expected largest of as many normal values, times the error of one mean; identical variants are one value.
    What all variants share (how hard the test images are) moves the whole table and no rank. 0 if the first is ahead of
    all others, or identical.
    """
    from scipy import integrate, stats

    best: list[str] = []
    for variant in ranks.like_the_best():
        if not any(ranks.pairs[variant, other].verdict == "identical" for other in best):
            best.append(variant)
    errors = sorted(ranks.pairs[pair].standard_error for pair in combinations(best, 2))
    if not errors:
        return 0.0
    count = len(best)
    largest, _ = integrate.quad(lambda z: z * count * stats.norm.pdf(z) * stats.norm.cdf(z) ** (count - 1), -9, 9)
    return float(largest) * errors[len(errors) // 2] / math.sqrt(2)


def _error(evidence: StudyEvidence, row: dict[str, str]) -> float:
    """The error of a difference as it is expected to be: that of splits is widened for pictures that they share.

    Without this correction (Nadeau and Bengio) it is still no less than what other images would change.
    """
    error, splits = float(row["standard_error"]), evidence.splits
    if len(splits) == 1:
        return error
    plain = error / math.sqrt(1 + len(splits) * evidence.held_out)
    if not row["image_ci_high"]:
        return plain
    of_images = (float(row["image_ci_high"]) - float(row["difference"])) / NormalDist().inv_cdf(1 - evidence.alpha / 2)
    return max(plain, min(error, of_images))


def tied(rank: dict[str, int], pairs: dict[tuple[str, str], Comparison]) -> dict[str, str]:
    """The ranks with which each variant is statistically tied, as ranges: `2-4, 7`."""
    return {a: _ranges(sorted({rank[b] for b in rank if a != b and not pairs[a, b].decided})) for a in rank}


def _ranges(ranks: list[int]) -> str:
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and runs[-1][-1] == rank - 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "none"
