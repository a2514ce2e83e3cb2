"""Who is ahead, and who cannot be told apart: the ranking on the test set and the sentences that open the page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stages.report.wording import interval, names, number, p_value, plural

if TYPE_CHECKING:
    from stages.report.evidence import Evidence

METRIC = "top1"
ONE_SEED = "with one seed nothing is known of the variation between seeds"
ALONE = "test images alone"
MIRRORED = {"a better": "b better", "b better": "a better"}


@dataclass(frozen=True)
class Pair:
    """A row of comparisons.csv: test top-1 of `a` minus that of `b`, on the same images."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    effect: float
    images_low: float
    images_high: float
    covers: str
    verdict: str
    images_needed: int | None
    seeds_needed: int | None

    @property
    def decided(self) -> bool:
        """Told apart, after adjustment over all pairs."""
        return self.verdict in MIRRORED

    @property
    def one_seed(self) -> bool:
        """Whether interval and p cover the test images alone, so that nothing is decided."""
        return self.covers == "images"

    def turned(self) -> Pair:
        """The same comparison seen from `b`."""
        return replace(
            self,
            a=self.b,
            b=self.a,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            effect=-self.effect,
            images_low=-self.images_high,
            images_high=-self.images_low,
            verdict=MIRRORED.get(self.verdict, self.verdict),
        )


@dataclass(frozen=True)
class Ranking:
    """Variants by their mean on the test set, and which of them cannot be told apart.

    `tied` holds for each variant the ranks that it was not told apart from.
    """

    order: list[str]
    pairs: dict[tuple[str, str], Pair]
    tied: dict[str, str]

    def like_the_best(self) -> list[str]:
        """The first in the ranking and all that cannot be told apart from it."""
        best = self.order[0]
        return [best, *(v for v in self.order[1:] if not self.pairs[best, v].decided)]


def ranking(evidence: Evidence) -> Ranking:
    """Rank by mean test top-1; ties keep the order of params.yaml."""
    means = test_means(evidence)
    order = sorted(evidence.variants, key=lambda variant: -means[variant])
    pairs: dict[tuple[str, str], Pair] = {}
    for row in evidence.comparisons:
        pair = _pair(row)
        pairs[pair.a, pair.b], pairs[pair.b, pair.a] = pair, pair.turned()
    return Ranking(order, pairs, tied(order, pairs))


def test_means(evidence: Evidence) -> dict[str, float]:
    """Mean test top-1 of each variant."""
    return {variant: evidence.summary[variant, "test", METRIC].mean for variant in evidence.variants}


def confidence(evidence: Evidence) -> str:
    """The level of all intervals: "95 %"."""
    return f"{100 * (1 - evidence.alpha):g} %"


def tied(order: list[str], pairs: dict[tuple[str, str], Pair]) -> dict[str, str]:
    """The ranks, counted from 1, that each variant cannot be told apart from, as ranges: `2-4, 7`."""
    return {a: _ranges([rank for rank, b in enumerate(order, 1) if a != b and not pairs[a, b].decided]) for a in order}


def _ranges(ranks: list[int]) -> str:
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and runs[-1][-1] == rank - 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "none"


def answer(evidence: Evidence, ranks: Ranking, digits: int) -> list[str]:
    """The study's answer in two sentences."""
    means = test_means(evidence)
    seeds = plural(len(evidence.study.seeds), "seed")
    splits, images = len(evidence.split["splits"]), evidence.images("test")
    where = (
        f"over {splits} splits of these images ({images:,} test images in each, {seeds})"
        if splits > 1
        else f"on this test set (n = {images:,}, {seeds})"
    )
    best = ranks.like_the_best()
    if len(ranks.order) == 1:
        value = number(means[best[0]], METRIC, digits)
        return [
            f"{best[0]} reaches {value} % top-1 {where}.",
            "It is the only variant: there is nothing to compare it with.",
        ]
    if len(evidence.study.seeds) == 1:
        return _one_seed(evidence, ranks, means, where, digits)
    rest = [v for v in ranks.order if v not in best]
    if len(best) == 1:
        return [_ahead(evidence, ranks, means, where, digits), _others(ranks, best[0], digits)]
    spread = number(means[best[0]] - min(means[v] for v in best), METRIC, digits)
    if len(best) == 2:
        first = f"{names(best)} cannot be told apart {where}: their mean top-1 differs by {spread} points."
    else:
        others = names(best[1:]) if len(best) <= 4 else f"{len(best) - 1} other variants"
        first = (
            f"{others} cannot be told apart from {best[0]}, the first by its mean, {where}: their mean top-1 is "
            f"at most {spread} points lower."
        )
    if not rest:
        return [first, "So no variant of this study can be called the best."]
    least = number(min(means[best[0]] - means[v] for v in rest), METRIC, digits)
    which = names(rest) if len(rest) <= 3 else f"the other {len(rest)} variants"
    gap = f"{least} points" + ("" if len(rest) == 1 else " or more")
    return [first, f"{best[0]} is ahead of {which} by {gap} (p below {evidence.alpha:g} after Holm)."]


def _one_seed(evidence: Evidence, ranks: Ranking, means: dict[str, float], where: str, digits: int) -> list[str]:
    """What stands first, of these very networks, and that nothing follows for their recipes."""
    first = [v for v in ranks.order if means[v] == means[ranks.order[0]]]
    rest = ranks.order[len(first) :]
    has = "has" if len(first) == 1 else "share"
    text = f"{names(first)} {has} the highest top-1 {where}: {number(means[first[0]], METRIC, digits)} %"
    if rest:
        pair = ranks.pairs[first[0], rest[0]]
        text += (
            f", {number(pair.difference, METRIC, digits)} points above {rest[0]} ({confidence(evidence)} interval over "
            f"{ALONE} {interval(pair.low, pair.high, METRIC, digits)})"
        )
    seeds = max((pair.seeds_needed or 0 for pair in ranks.pairs.values()), default=0)
    more = f"; at least {seeds} more seeds would be needed" if seeds else ""
    return [f"{text}.", f"That decides nothing between the variants: {ONE_SEED}{more}."]


def _ahead(evidence: Evidence, ranks: Ranking, means: dict[str, float], where: str, digits: int) -> str:
    best, second = ranks.order[:2]
    pair = ranks.pairs[best, second]
    mean, gap = number(means[best], METRIC, digits), number(pair.difference, METRIC, digits)
    between = interval(pair.low, pair.high, METRIC, digits)
    return (
        f"{best} is ahead {where}: {mean} % top-1, {gap} points above {second} "
        f"({confidence(evidence)} interval {between}, adjusted p {_p(pair.p_adjusted)})."
    )


def _others(ranks: Ranking, best: str, digits: int) -> str:
    rest = [v for v in ranks.order if v != best]
    if len(rest) == 1:
        return "There are no other variants in this study."
    last = ranks.pairs[best, rest[-1]]
    alike = [(a, b) for i, a in enumerate(rest) for b in rest[i + 1 :] if not ranks.pairs[a, b].decided]
    if not alike:
        tail = "all other pairs can be told apart too"
    elif len(alike) == 1:
        tail = f"{names(alike[0])} cannot be told apart"
    else:
        tail = f"{len(alike)} pairs among the others cannot be told apart"
    return f"The last, {rest[-1]}, is {number(last.difference, METRIC, digits)} points behind it; {tail}."


def _p(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _pair(row: dict[str, str]) -> Pair:
    return Pair(
        a=row["variant_a"],
        b=row["variant_b"],
        difference=float(row["difference"]),
        low=float(row["ci_low"]),
        high=float(row["ci_high"]),
        p=float(row["p"]),
        p_adjusted=float(row["p_holm"]),
        effect=float(row["effect_size"]),
        images_low=float(row["image_ci_low"]),
        images_high=float(row["image_ci_high"]),
        covers=row["covers"],
        verdict=row["verdict"],
        images_needed=int(row["images_needed"]) if row["images_needed"] else None,
        seeds_needed=int(row["seeds_needed"]) if row["seeds_needed"] else None,
    )
