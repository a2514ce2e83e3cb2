"""The ranking on the test set, its statistical ties, and the two sentences of it that open the page."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from stages.core.metrics import LOWER_IS_BETTER
from stages.report import page
from stages.report.page import amount, apart, interval_between, names, plural, spoken

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence

METRIC = "top1"
ONE_SEED = "one seed shows nothing about the variation between seeds"
ALONE = "test images alone"
FEW = "so few seeds cannot show how much each variant varies"
AGREE = "runs that agree to the last digit do not show by how much another run would differ"
SAME = 1e-12  # means that differ by less are equal: only the order of their sums differed
MIRRORED = {"a better": "b better", "b better": "a better"}


@dataclass(frozen=True)
class Comparison:
    """A row of comparisons.csv: the metric of `variant_a` minus that of `variant_b`, on the same test images.

    `ci_low` and `ci_high` are of the pair by itself; `joint_ci_low` and `joint_ci_high` hold for all pairs at once and
    decide. An unknown number is NaN. `standard_error` is the expected one (see `_error`).
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
        """A row of the file; `error` is its expected standard error."""
        words: dict[str, Any] = {key: row[key] for key in ("variant_a", "variant_b", "covers", "verdict")}
        numbers = {key: float(row[key] or "nan") for key in cls.__annotations__ if key not in words}
        return cls(**words | numbers | {"standard_error": error})

    @property
    def decided(self) -> bool:
        """Whether one of the two is better, after adjustment over all pairs."""
        return self.verdict in MIRRORED

    @property
    def one_seed(self) -> bool:
        """Whether interval and p cover the test images alone, or are missing, so that nothing is decided."""
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
        return "No decision against" if self.own else "Tied with"

    def every_pair(self) -> list[Comparison]:
        """All pairs in the order of the ranking, as differences of the better and the worse."""
        return [self.pairs[pair] for pair in combinations(self.order, 2)]

    def split_by_rank(self, variants: list[str]) -> tuple[list[str], list[str]]:
        """The variants of the first rank, and the others."""
        first = [v for v in variants if self.rank[v] == 1]
        return first, [v for v in variants if v not in first]

    def like_the_best(self) -> list[str]:
        """The first in the ranking and all variants that are statistically tied with it."""
        best = self.order[0]
        return [best, *(v for v in self.order[1:] if not self.pairs[best, v].decided)]


def ranking(evidence: StudyEvidence) -> Ranking:
    """Rank by the mean of the compared metric on the test set; ties keep the order of params.yaml."""
    means = evidence.means
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
    ties = dict.fromkeys(order, page.MISSING) if silent else tied(rank, pairs)
    return Ranking(order, pairs, ties, silent, rank, own and not silent)


def few(evidence: StudyEvidence) -> str:
    """The reason why few runs decide nothing."""
    return FEW.replace("seeds", "splits") if evidence.several else FEW


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


def answer(evidence: StudyEvidence, ranks: Ranking) -> list[str]:
    """The study's answer: the two sentences that open the page."""
    means, best = _Means(evidence, spoken(evidence.metric)), ranks.like_the_best()
    where = _where(evidence)
    if len(ranks.order) == 1:
        alone = "It is the only variant, so there is no comparison."
        return [f"{best[0]} reaches {means.mean(best[0])} {means.metric} {where}.", alone]
    if len(evidence.study.seeds) == 1 or ranks.silent:
        why = f"This does not decide between the variants: {ranks.silent or ONE_SEED}."
        return [_undecided(means, ranks, where), why]
    if len(best) == 1:
        return _ahead(means, ranks, where)
    first = _open(means, ranks, where) if ranks.own and means.most(best) > SAME else _tied(means, ranks, where)
    rest = [v for v in ranks.order if v not in best]
    if not rest:
        return [first, "No variant of this study can be called the best."]
    which = names(rest) if len(rest) <= 3 else f"the other {len(rest)} variants"
    gap = means.apart(ranks.pairs[best[0], rest[0]].difference) + ("" if len(rest) == 1 else " or more")
    return [first, f"{best[0]} is ahead of {which} by {gap} (p below {evidence.alpha:g}, adjusted for all pairs)."]


@dataclass(frozen=True)
class _Means:
    """The compared means of a study, and their differences, in words."""

    evidence: StudyEvidence
    metric: str

    def mean(self, variant: str) -> str:
        return amount(self.evidence.means[variant], self.evidence.metric, self.evidence.digits)

    def apart(self, difference: float) -> str:
        return apart(abs(difference), self.evidence.metric, self.evidence.digits)

    def most(self, variants: list[str]) -> float:
        """The largest difference of the first variant from the others."""
        return max(abs(self.evidence.means[variants[0]] - self.evidence.means[v]) for v in variants)

    def lead(self, low: float, high: float) -> str:
        """The interval of the lead of the first of a pair."""
        low, high = (-high, -low) if self.evidence.metric in LOWER_IS_BETTER else (low, high)
        return interval_between(low, high, self.evidence.metric, self.evidence.digits)


def _where(evidence: StudyEvidence) -> str:
    seeds, splits = plural(len(evidence.study.seeds), "seed"), len(evidence.splits)
    if not evidence.several:
        return f"on this test set (n = {evidence.images('test'):,}, {seeds})"
    if evidence.fixed:
        return f"over {splits} splits of the training images ({evidence.images('test'):,} test images, {seeds})"
    return f"over {splits} splits of these images ({page.span(evidence.sizes('test'), 'test image')} in each, {seeds})"


def _tied(means: _Means, ranks: Ranking, where: str) -> str:
    """The variants that are tied at the top, and how much they differ."""
    best, spread = ranks.like_the_best(), means.apart(means.most(ranks.like_the_best()))
    if means.most(best) <= SAME:
        return f"{names(best)} share the best mean of {means.metric} {where}: {means.mean(best[0])}."
    if len(best) == 2:
        equal = ranks.pairs[best[0], best[1]].verdict == "equal"
        margin = page.apart(means.evidence.margin, means.evidence.metric)
        verdict = f"are equal within {margin}" if equal else "are statistically tied"
        return f"{names(best)} {verdict} {where}: their means of {means.metric} differ by {spread}."
    top, behind = ranks.split_by_rank(best)
    others = names(behind) if len(best) <= 4 else plural(len(behind), "other variant")
    verb, whose, s = ("is", "its mean", "s") if len(behind) == 1 else ("are", "their means", "")
    which = f"shares the best mean with {names(top[1:])}" if len(top) > 1 else "has the best mean"
    return (
        f"{others} {verb} statistically tied with {best[0]}, which {which}, {where}: {whose} of {means.metric} "
        f"differ{s} from that of {best[0]} by at most {spread}."
    )


def _open(means: _Means, ranks: Ranking, where: str) -> str:
    """The best variant and those not decided against it by their own few runs; they may be far behind, so not tied."""
    top, behind = ranks.split_by_rank(ranks.like_the_best())
    others = names(behind) if len(behind) <= 3 else plural(len(behind), "other variant")
    not_decided = f"comparisons of {top[0]} with {others} are not decided: their means are up to"
    if len(behind) == 1:
        not_decided = f"comparison of {top[0]} with {others} is not decided: the mean of {others} is"
    gap = means.apart(means.most([top[0], *behind]))
    return (
        f"{names(top)} {'has' if len(top) == 1 else 'share'} the best mean of {means.metric} {where}: "
        f"{means.mean(top[0])}. The {not_decided} {gap} away, but {few(means.evidence)}."
    )


def _undecided(means: _Means, ranks: Ranking, where: str) -> str:
    """Which variant has the best result, in a study whose few seeds decide nothing."""
    top, rest = ranks.split_by_rank(ranks.order)
    text = f"{names(top)} {'has' if len(top) == 1 else 'share'} the best {means.metric} {where}: {means.mean(top[0])}"
    if rest:
        pair = ranks.pairs[top[0], rest[0]]
        text += f", {means.apart(pair.difference)} ahead of {rest[0]}"
        if pair.covers == "images":
            ends = means.lead(pair.ci_low, pair.ci_high)
            text += f" ({means.evidence.confidence} interval over {ALONE} {ends})"
    return f"{text}."


def _ahead(means: _Means, ranks: Ranking, where: str) -> list[str]:
    """How far the best variant is ahead of the second and of the last, and which of the others are tied."""
    best, *rest = ranks.order
    pair = ranks.pairs[best, rest[0]]
    ends, p = means.lead(pair.joint_ci_low, pair.joint_ci_high), page.p_value(pair.p_joint)
    first = (
        f"{best} is ahead {where}: {means.mean(best)} {means.metric}, {means.apart(pair.difference)} ahead of "
        f"{rest[0]} ({means.evidence.confidence} interval for all pairs at once {ends}, "
        f"adjusted p {p if p[0] in '<>' else f'= {p}'})."
    )
    if len(rest) == 1:
        return [first, "There are no other variants in this study."]
    alike = [pair for pair in combinations(rest, 2) if not ranks.pairs[pair].decided]
    tail = f"{len(alike)} pairs among the others are {'not decided' if ranks.own else 'statistically tied'}"
    if not alike:
        tail = "all other pairs differ, too"
    elif len(alike) == 1:
        pair_of = names(alike[0])
        tail = f"the pair of {pair_of} is not decided" if ranks.own else f"{pair_of} are statistically tied"
    gap = means.apart(ranks.pairs[best, rest[-1]].difference)
    return [first, f"The last variant, {rest[-1]}, is {gap} behind {best}; {tail}."]
