"""The study's answer: the two sentences that open the page."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from stages.core.metrics import LOWER_IS_BETTER
from stages.report.ranking import ALONE, ONE_SEED, SAME, Ranking, compared_means, few
from stages.report.wording import amount, apart, between, exactly, interval, names, p_value, plural, span, spoken

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence


def sentences(evidence: StudyEvidence, ranks: Ranking, digits: int) -> list[str]:
    """The study's answer in two sentences."""
    said = _Figures(evidence, digits, compared_means(evidence))
    where, best = _where(evidence), ranks.like_the_best()
    if len(ranks.order) == 1:
        alone = "It is the only variant, so there is no comparison."
        return [f"{best[0]} reaches {said.mean(best[0])} {said.metric} {where}.", alone]
    if len(evidence.study.seeds) == 1 or ranks.silent:
        why = f"This does not decide between the variants: {ranks.silent or ONE_SEED}."
        return [_undecided(said, ranks, where), why]
    if len(best) == 1:
        return [_ahead(said, ranks, where), _others(said, ranks)]
    first = _open(said, ranks, where) if ranks.own and said.most(best) > SAME else _tied(said, ranks, where)
    rest = [v for v in ranks.order if v not in best]
    if not rest:
        return [first, "No variant of this study can be called the best."]
    which = names(rest) if len(rest) <= 3 else f"the other {len(rest)} variants"
    least = min(abs(said.means[best[0]] - said.means[v]) for v in rest)
    gap = said.apart(least) + ("" if len(rest) == 1 else " or more")
    return [first, f"{best[0]} is ahead of {which} by {gap} (p below {evidence.alpha:g}, adjusted for all pairs)."]


@dataclass(frozen=True)
class _Figures:
    """The compared means of a study in words."""

    evidence: StudyEvidence
    digits: int
    means: dict[str, float]

    @property
    def metric(self) -> str:
        return spoken(self.evidence.metric)

    def mean(self, variant: str) -> str:
        return amount(self.means[variant], self.evidence.metric, self.digits)

    def apart(self, difference: float) -> str:
        return apart(abs(difference), self.evidence.metric, self.digits)

    def most(self, variants: list[str]) -> float:
        """How far the first is from any of the others."""
        return max(abs(self.means[variants[0]] - self.means[v]) for v in variants)

    def lead(self, low: float, high: float) -> str:
        """The interval of what the first of a pair is ahead by."""
        low, high = (-high, -low) if self.evidence.metric in LOWER_IS_BETTER else (low, high)
        return interval(*between(low, high, self.evidence.metric), self.evidence.metric, self.digits)


def _where(evidence: StudyEvidence) -> str:
    seeds, splits = plural(len(evidence.study.seeds), "seed"), len(evidence.splits)
    if not evidence.several:
        return f"on this test set (n = {evidence.images('test'):,}, {seeds})"
    if evidence.fixed:
        return f"over {splits} splits of the training images ({evidence.images('test'):,} test images, {seeds})"
    return f"over {splits} splits of these images ({span(evidence.sizes('test'), 'test image')} in each, {seeds})"


def _tied(said: _Figures, ranks: Ranking, where: str) -> str:
    """The variants that are tied at the top, by how much they differ."""
    best, spread = ranks.like_the_best(), said.apart(said.most(ranks.like_the_best()))
    if said.most(best) <= SAME:
        return f"{names(best)} share the best mean of {said.metric} {where}: {said.mean(best[0])}."
    if len(best) == 2:
        equal = ranks.pairs[best[0], best[1]].verdict == "equal"
        margin = exactly(said.evidence.margin, said.evidence.metric)
        verdict = f"are equal within {margin}" if equal else "are statistically tied"
        return f"{names(best)} {verdict} {where}: their means of {said.metric} differ by {spread}."
    top, behind = ranks.split_by_rank(best)
    others = names(behind) if len(best) <= 4 else plural(len(behind), "other variant")
    verb, whose, s = ("is", "its mean", "s") if len(behind) == 1 else ("are", "their means", "")
    which = f"shares the best mean with {names(top[1:])}" if len(top) > 1 else "has the best mean"
    return (
        f"{others} {verb} statistically tied with {best[0]}, which {which}, {where}: {whose} of {said.metric} "
        f"differ{s} from that of {best[0]} by at most {spread}."
    )


def _open(said: _Figures, ranks: Ranking, where: str) -> str:
    """The best variant and those not decided against it, where each pair is judged by its own few runs.

    These may be far behind, so nothing is called tied.
    """
    top, behind = ranks.split_by_rank(ranks.like_the_best())
    others = names(behind) if len(behind) <= 3 else plural(len(behind), "other variant")
    verb, mean = ("is", "its mean is") if len(behind) == 1 else ("are", "their means are up to")
    gap = said.apart(said.most([top[0], *behind]))
    return (
        f"{names(top)} {'has' if len(top) == 1 else 'share'} the best mean of {said.metric} {where}: "
        f"{said.mean(top[0])}. {others} {verb} not decided against it: {mean} {gap} away, but {few(said.evidence)}."
    )


def _undecided(said: _Figures, ranks: Ranking, where: str) -> str:
    """Which variant has the best result, where one seed, or too few, decide nothing."""
    top, rest = ranks.split_by_rank(ranks.order)
    has = "has" if len(top) == 1 else "share"
    text = f"{names(top)} {has} the best {said.metric} {where}: {said.mean(top[0])}"
    if rest:
        pair = ranks.pairs[top[0], rest[0]]
        text += f", {said.apart(pair.difference)} ahead of {rest[0]}"
        if pair.covers == "images":
            ends = said.lead(pair.ci_low, pair.ci_high)
            text += f" ({said.evidence.confidence} interval over {ALONE} {ends})"
    return f"{text}."


def _ahead(said: _Figures, ranks: Ranking, where: str) -> str:
    best, second = ranks.order[:2]
    pair = ranks.pairs[best, second]
    ends, p = said.lead(pair.joint_ci_low, pair.joint_ci_high), p_value(pair.p_joint)
    return (
        f"{best} is ahead {where}: {said.mean(best)} {said.metric}, {said.apart(pair.difference)} ahead of {second} "
        f"({said.evidence.confidence} interval for all pairs at once {ends}, "
        f"adjusted p {p if p[0] in '<>' else f'= {p}'})."
    )


def _others(said: _Figures, ranks: Ranking) -> str:
    """How far the last variant is behind the best, and which of the others are tied with each other."""
    best, *rest = ranks.order
    if len(rest) == 1:
        return "There are no other variants in this study."
    alike = [pair for pair in combinations(rest, 2) if not ranks.pairs[pair].decided]
    tail = f"{len(alike)} pairs among the others are {ranks.alike}"
    if len(alike) <= 1:
        tail = f"{names(alike[0])} are {ranks.alike}" if alike else "all other pairs differ, too"
    gap = said.apart(ranks.pairs[best, rest[-1]].difference)
    return f"The last variant, {rest[-1]}, is {gap} behind {best}; {tail}."
