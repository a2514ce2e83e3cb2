"""The study's answer: the two sentences that open the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.core.metrics import LOWER_IS_BETTER
from stages.report.ranking import ALONE, FEW, ONE_SEED, SAME, Ranking, compared_means, confidence
from stages.report.wording import amount, apart, between, exactly, interval, names, p_value, plural, span, spoken

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence


def sentences(evidence: StudyEvidence, ranks: Ranking, digits: int) -> list[str]:
    """The study's answer in two sentences."""
    means, metric = compared_means(evidence), evidence.metric
    seeds = plural(len(evidence.study.seeds), "seed")
    splits = len(evidence.split["splits"])
    if splits == 1:
        where = f"on this test set (n = {evidence.images('test'):,}, {seeds})"
    elif evidence.fixed:
        where = f"over {splits} splits of the training images ({evidence.images('test'):,} test images, {seeds})"
    else:
        where = f"over {splits} splits of these images ({span(evidence.sizes('test'), 'test image')} in each, {seeds})"
    best = ranks.like_the_best()
    if len(ranks.order) == 1:
        value = amount(means[best[0]], metric, digits)
        return [
            f"{best[0]} reaches {value} {spoken(metric)} {where}.",
            "It is the only variant, so there is no comparison.",
        ]
    if len(evidence.study.seeds) == 1 or ranks.silent:
        return _undecided(evidence, ranks, means, where, digits)
    rest = [v for v in ranks.order if v not in best]
    if len(best) == 1:
        return [_ahead(evidence, ranks, means, where, digits), _others(evidence, ranks, best[0], digits)]
    most = max(abs(means[best[0]] - means[v]) for v in best)
    spread = apart(most, metric, digits)
    if most <= SAME:
        first = (
            f"{names(best)} share the best mean of {spoken(metric)} {where}: {amount(means[best[0]], metric, digits)}."
        )
    elif ranks.own:
        first = _open(evidence, ranks, means, where, digits)
    elif len(best) == 2:
        equal = ranks.pairs[best[0], best[1]].verdict == "equal"
        verdict = f"are equal within {exactly(evidence.margin, metric)}" if equal else "are statistically tied"
        first = f"{names(best)} {verdict} {where}: their means of {spoken(metric)} differ by {spread}."
    else:
        top = [v for v in best if ranks.rank[v] == 1]
        others = names(best[len(top) :]) if len(best) <= 4 else plural(len(best) - len(top), "other variant")
        verb, whose, s = ("is", "its mean", "s") if len(best) - len(top) == 1 else ("are", "their means", "")
        which = f"shares the best mean with {names(top[1:])}" if len(top) > 1 else "has the best mean"
        first = (
            f"{others} {verb} statistically tied with {best[0]}, which {which}, {where}: {whose} of {spoken(metric)} "
            f"differ{s} from that of {best[0]} by at most {spread}."
        )
    if not rest:
        return [first, "No variant of this study can be called the best."]
    least = apart(min(abs(means[best[0]] - means[v]) for v in rest), metric, digits)
    which = names(rest) if len(rest) <= 3 else f"the other {len(rest)} variants"
    gap = least + ("" if len(rest) == 1 else " or more")
    return [first, f"{best[0]} is ahead of {which} by {gap} (p below {evidence.alpha:g}, adjusted for all pairs)."]


def _open(evidence: StudyEvidence, ranks: Ranking, means: dict[str, float], where: str, digits: int) -> str:
    """The best variant and those not decided against it, where each pair is judged by its own few runs.

    These may be far behind, so nothing is called tied.
    """
    metric, best = evidence.metric, ranks.like_the_best()
    top = [v for v in best if ranks.rank[v] == 1]
    behind = best[len(top) :]
    others = names(behind) if len(behind) <= 3 else plural(len(behind), "other variant")
    verb, mean = ("is", "its mean is") if len(behind) == 1 else ("are", "their means are up to")
    gap = apart(max(abs(means[best[0]] - means[v]) for v in behind), metric, digits)
    few = FEW.replace("seeds", "splits") if len(evidence.split["splits"]) > 1 else FEW
    return (
        f"{names(top)} {'has' if len(top) == 1 else 'share'} the best mean of {spoken(metric)} {where}: "
        f"{amount(means[best[0]], metric, digits)}. {others} {verb} not decided against it: {mean} {gap} "
        f"away, but {few}."
    )


def _undecided(evidence: StudyEvidence, ranks: Ranking, means: dict[str, float], where: str, digits: int) -> list[str]:
    """Which variant has the best result, and why this decides nothing: one seed, or too few."""
    metric = evidence.metric
    first, rest = ([v for v in ranks.order if (ranks.rank[v] == 1) == top] for top in (True, False))
    has = "has" if len(first) == 1 else "share"
    text = f"{names(first)} {has} the best {spoken(metric)} {where}: {amount(means[first[0]], metric, digits)}"
    if rest:
        pair = ranks.pairs[first[0], rest[0]]
        text += f", {apart(abs(pair.difference), metric, digits)} ahead of {rest[0]}"
        if pair.covers == "images":
            pair = pair.turned() if metric in LOWER_IS_BETTER else pair
            ends = interval(*between(pair.low, pair.high, metric), metric, digits)
            text += f" ({confidence(evidence)} interval over {ALONE} {ends})"
    return [f"{text}.", f"This does not decide between the variants: {ranks.silent or ONE_SEED}."]


def _ahead(evidence: StudyEvidence, ranks: Ranking, means: dict[str, float], where: str, digits: int) -> str:
    best, second = ranks.order[:2]
    pair = ranks.pairs[best, second]
    metric = evidence.metric
    mean, gap = amount(means[best], metric, digits), apart(abs(pair.difference), metric, digits)
    if metric in LOWER_IS_BETTER:  # the interval of what it is ahead by
        pair = pair.turned()
    ends = interval(*between(pair.wide_low, pair.wide_high, metric), metric, digits)
    return (
        f"{best} is ahead {where}: {mean} {spoken(metric)}, {gap} ahead of {second} "
        f"({confidence(evidence)} interval for all pairs at once {ends}, adjusted p {_p(pair.p_adjusted)})."
    )


def _others(evidence: StudyEvidence, ranks: Ranking, best: str, digits: int) -> str:
    rest = [v for v in ranks.order if v != best]
    if len(rest) == 1:
        return "There are no other variants in this study."
    last = ranks.pairs[best, rest[-1]]
    alike = [(a, b) for i, a in enumerate(rest) for b in rest[i + 1 :] if not ranks.pairs[a, b].decided]
    if not alike:
        tail = "all other pairs differ, too"
    elif len(alike) == 1:
        tail = f"{names(alike[0])} are {ranks.alike}"
    else:
        tail = f"{len(alike)} pairs among the others are {ranks.alike}"
    gap = apart(abs(last.difference), evidence.metric, digits)
    return f"The last variant, {rest[-1]}, is {gap} behind {best}; {tail}."


def _p(p: float) -> str:
    return text if (text := p_value(p))[0] in "<>" else f"= {text}"
