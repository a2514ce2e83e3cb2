"""Sentences on what every interval and verdict of the page covers."""

from __future__ import annotations

import math
from itertools import combinations, permutations
from statistics import mean
from typing import TYPE_CHECKING

from stages.core.metrics import WHOLE_CELL, is_share
from stages.report import findings, page, ranking
from stages.report.page import apart, plural

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence

COVERED = {
    "images": "the effect of other test images on these trained networks, but not the effect of another seed",
    "images and seeds": "the effect of other test images and other seeds",
    "seeds": "the effect of other seeds on this split and these test images",
    "images, seeds and splits": "the effect of other images of this kind, split anew, with other seeds",
    "seeds and splits": "the effect, on this test set, of other training images of this kind, split anew, with other "
    "seeds",
}
IDENTICAL = (
    "Identical predictions: both variants gave the same answer to each of these test images in every run. They may "
    "differ on other images, so there is no interval."
)
OF_IMAGES = ("images", "images and seeds", "images, seeds and splits")
POPULATION = {
    "images and seeds": "new seeds and new test images, with this split and the same training images",
    "seeds": "new seeds, with this split and these test images",
    "images, seeds and splits": "new images of this kind, new splits and new seeds",
    "seeds and splits": "new training images of this kind, new splits and new seeds, on this test set",
}


def spread(evidence: StudyEvidence, *, small_print: bool) -> str:
    """Explains the SD beside a mean, and the t-interval, which report.md leaves to a file."""
    seeds = len(evidence.study.seeds)
    if seeds == 1:
        return "There is one seed, so there is no SD and no interval over seeds."
    where = f"Small print: the {evidence.confidence} t-interval of the mean over seeds"
    if not small_print:
        where = f"`reports/summary.csv` has the {evidence.confidence} t-interval of each mean over seeds"
    same = any(found.sd == 0 for found in evidence.summary.values())
    return (
        f"Mean ± sample SD over {seeds} seeds. {where}{', where the seeds differ' if same else ''}. "
        f"It covers {over_seeds(evidence)}."
    )


def means(evidence: StudyEvidence, ranks: ranking.Ranking) -> str:
    """Explains the columns of the interval and of the ties in the results table."""
    level, metric = evidence.confidence, page.spoken(evidence.metric)
    text = f"Column “{metric}, {level}”: {whole(evidence)}."
    if len(evidence.variants) == 1:
        return text
    if ranks.silent:
        return f"{text} Column “{ranks.column}” is empty: {ranks.silent}."
    which = "against which there is no decision" if ranks.own else "with which a variant is statistically tied"
    text += (
        f" Column “{ranks.column}”: the ranks {which} (paired comparison of test {metric}, error rate "
        f"{evidence.alpha:g} for all pairs of the study together)"
    )
    one = len(evidence.study.seeds) == 1
    return f"{text}. Here these are the ranks of all other variants: {ranking.ONE_SEED}." if one else f"{text}."


def whole(evidence: StudyEvidence) -> str:
    """What the interval of a single variant covers."""
    seeds, kind = len(evidence.study.seeds), covered(evidence)
    name = "Wilson's" if is_share(evidence.metric) else "Student's"
    if kind == "nothing":
        return "left empty, because one run gives one number"
    if seeds == 1:
        alone = f"{name} interval over the test images, for this trained network alone"
        return f"{alone}{_conditions(evidence)}{_groups(evidence)}"
    if evidence.several:
        least = ", and at least as wide as other test images alone would make it" if evidence.fixed else ""
        return f"the interval for {population(evidence)}{least}{_groups(evidence)}"
    if seeds == 2:
        return f"left empty, because two seeds agree by chance too often for an interval over {kind}"
    how = "over the seeds" if kind == "seeds" else "widened by the variation between seeds"
    return f"the interval for {population(evidence)} ({name} interval, {how}){_groups(evidence)}"


def _groups(evidence: StudyEvidence) -> str:
    found = next(iter(evidence.intervals.values()))
    images, groups = int(found["images"] or 0), int(found["groups"] or 0)
    if images == groups or evidence.metric in WHOLE_CELL:
        return ""
    many = page.plural(images, "image")
    whole = page.belonging(evidence.named)
    return f"; a group of {whole} counts as one unit of the sample ({many} in {page.plural(groups, 'group')})"


def marks(evidence: StudyEvidence) -> str:
    """Explains the marks in the figure of the ranking, which shows top-1 whatever the variants are ranked by."""
    level, seeds = evidence.confidence, len(evidence.study.seeds)
    if evidence.metric != ranking.METRIC:
        every = f"mean (square), {level} t-interval over seeds (line), every seed (circle)"
        return f"Top-1 on the test set: {'the one seed (square)' if seeds == 1 else every}."
    if seeds == 1:
        return f"Test set: the one seed (square) and its {level} interval over images (line)."
    if seeds == 2 and not evidence.several:
        return "Test set: mean (square) and both seeds (circles)."
    return f"Test set: mean (square), {level} interval over {covered(evidence)} (line), every seed (circle)."


def difference(evidence: StudyEvidence) -> str:
    """Title of the table of the paired comparisons."""
    if covered(evidence) == "nothing":
        return "difference, without an interval"
    return f"difference with its {evidence.confidence} interval over {_covers(evidence)}"


def pairs(evidence: StudyEvidence, ranks: ranking.Ranking, own: str) -> str:
    """Explains the paired comparisons; empty if there are none. `own` names the place of a pair's own interval."""
    if not evidence.comparisons:
        return ""
    what, best = covered(evidence), first(evidence, ranks)
    if what == "nothing":
        metric = page.spoken(evidence.metric)
        none = f"One run gives one {metric}, so there is no interval and no p."
        return f"{none} No variant is called better: {ranking.ONE_SEED}."
    verdicts = {row["verdict"] for row in evidence.comparisons}
    if verdicts == {"identical"}:
        return _joined(IDENTICAL, best)
    identical = IDENTICAL if "identical" in verdicts else ""
    covers = f"The intervals cover {_covers(evidence)}: {COVERED[what]}{_conditions(evidence)}."
    text = _joined(identical, covers, f"{own}: the interval of the pair by itself.")
    if ranks.silent == ranking.AGREE:
        none = f"No verdict is given here, and no interval for all pairs at once: {ranks.silent}. Add seeds."
        return _joined(text, none, best)
    if what == "images":
        return _joined(text, f"No variant is called better: {ranking.ONE_SEED}.", best)
    every = "Every other verdict" if identical else "Every verdict"
    return _joined(f"{every} is for {population(evidence)}.", text, *_decisions(evidence, ranks), best)


def _decisions(evidence: StudyEvidence, ranks: ranking.Ranking) -> list[str]:
    """Explains "All pairs at once" and the verdicts."""
    alone = evidence.comparisons[0]["variances"] == "own"
    count, method = plural(len(evidence.comparisons), "pair"), "Bonferroni" if alone else "studentized range"
    runs, where = ("splits", "on a new split") if evidence.several else ("seeds", "on these test images")
    margin = page.apart(evidence.margin, evidence.metric)
    if len(evidence.comparisons) == 1:
        found = [f"“All pairs at once”: the interval that decides ({method}).", _wider(evidence)]
    else:
        decide = (
            "Each of these intervals decides its pair: if it includes 0, neither of the two variants is called better, "
            "even if the interval of the pair by itself excludes 0."
        )
        found = [f"“All pairs at once”: intervals that hold together for all {count} ({method}).", decide]
    found.append(_reverse(ranks))
    if alone:
        found.append(
            f"So few {runs} cannot show how much each variant varies. Therefore each pair is judged by its own two "
            f"variants alone, which can decide large differences only. More {runs} can decide smaller ones."
        )
    found.append(
        f"Better: the interval for all pairs excludes 0 (adjusted p below {evidence.alpha:g}). Equal: two one-sided "
        f"tests over all pairs show that the difference is less than {margin} (`aggregate.margin`). Not decided: "
        "neither of these, which does not mean that the two are equal. “New run %”: the probability that "
        f"one new run of the first variant is better than one new run of the second {where}."
    )
    return found


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _wider(evidence: StudyEvidence) -> str:
    """Why the deciding interval of the only pair is wider than the interval of the pair by itself; empty if not."""
    (row,) = evidence.comparisons
    ends = [float(row[key] or "nan") for key in ("ci_low", "ci_high", "joint_ci_low", "joint_ci_high")]
    low, high, wide_low, wide_high = ends
    if not wide_high - wide_low > (high - low) * (1 + 1e-6):
        return ""
    own = " It also has fewer degrees of freedom." if row["variances"] == "own" else ""
    return (
        "It is wider than the interval of the pair by itself: few seeds may agree by chance, so it assumes at least as "
        f"much variation between seeds as the test images alone would cause.{own}"
    )


def _reverse(ranks: ranking.Ranking) -> str:
    """How many pairs are decided although the interval of the pair by itself includes 0, and why; empty for none."""
    found = ranks.every_pair()
    decided = [pair for pair in found if pair.decided]
    reverse = sum(pair.ci_low <= 0 <= pair.ci_high for pair in decided)
    if not reverse:
        return ""
    if len(found) == 1:
        return (
            "The interval of the pair by itself includes 0. The pair counts as decided all the same: both variants "
            "together show the variation between runs more precisely than each alone."
        )
    return (
        f"A pair counts as decided also if only its interval by itself includes 0 (here {reverse} of "
        f"{plural(len(decided), 'decided pair')}): all variants together may show a smaller variation between runs "
        "than the two variants of a pair do, or show it more precisely."
    )


def first(evidence: StudyEvidence, ranks: ranking.Ranking) -> str:
    """How much of the first place may be luck; empty if the first variant is ahead of all others."""
    ranked = "The variants are ranked by their test results, so the result of the first may be too good"
    if ranks.silent == ranking.AGREE:
        return f"{ranked}; the runs do not show by how much."
    found, best = luck(ranks), len(ranks.like_the_best())
    if not found:
        return ""
    every = "both variants" if best == 2 else f"all {best} variants"
    tied = every if best == len(ranks.order) else f"the {best} variants that are tied at the top"
    one = len(evidence.study.seeds) == 1
    by = "by the luck of the test images alone; the luck of the seed comes on top" if one else "by luck alone"
    lead = f"{apart(found, evidence.metric, evidence.digits)} ahead of their common mean"
    return f"{ranked}. If {tied} were equal, the best of them would be {lead} {by}."


def luck(ranks: ranking.Ranking) -> float:
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


def population(evidence: StudyEvidence) -> str:
    """The images, splits and seeds for which a verdict of this study holds."""
    return POPULATION[covered(evidence)] + _conditions(evidence)


def _conditions(evidence: StudyEvidence) -> str:
    """Conditions on other test images: that they come from the same few groups, and have as many copies in training."""
    if covered(evidence) not in OF_IMAGES:
        return ""
    text = ""
    if groups := evidence.few_groups:
        which, why = "group", "one group does not show"
        if groups > 1:
            which, why = f"{groups} groups", "too few, or too unequal in size, to show"
        text = f", if the test images come from the same {which} ({why} how another would differ)"
    if findings.leaking(evidence):
        text += f"{' and' if text else ','} if as many of the images as here have copies outside the test set"
    return text


def covered(evidence: StudyEvidence) -> str:
    """What the intervals cover, in the terms of comparisons.csv; a study of one variant has no row in that file."""
    whole_cell = evidence.metric in WHOLE_CELL
    if len(evidence.study.seeds) == 1:
        return "nothing" if whole_cell else "images"
    if evidence.several:
        return "seeds and splits" if evidence.fixed else "images, seeds and splits"
    return "seeds" if whole_cell else "images and seeds"


def _covers(evidence: StudyEvidence) -> str:
    """What the intervals cover, as words of a sentence."""
    found = covered(evidence)
    return ranking.ALONE if found == "images" else found


def over_seeds(evidence: StudyEvidence) -> str:
    """What the interval over seeds covers: the end of a sentence that begins with "It covers"."""
    if not evidence.several:
        return "the effect of a new seed on this split and this test set"
    return f"{COVERED[covered(evidence)]}{_conditions(evidence)}. {_corrected(evidence)}"


def _corrected(evidence: StudyEvidence) -> str:
    """The method of the intervals over splits, and the mean share of training images that two splits share."""
    trained = [set(parts["image_id"][parts["split"] == "train"]) for parts in evidence.parts]
    shared = round(100 * mean(len(a & b) / len(a) for a, b in permutations(trained, 2)))
    why = f"Splits share training images (here {shared} % on average), so the" if shared else "The"
    return f"{why} intervals are those of the corrected resampled t-test (Nadeau and Bengio 2003)"
