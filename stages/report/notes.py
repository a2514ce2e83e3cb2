"""What stands below the results: what every interval covers, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.report import ranking, variance, wording
from stages.report.wording import apart

if TYPE_CHECKING:
    from stages.report.evidence import Evidence


def means(evidence: Evidence) -> str:
    """Of the results table."""
    seeds, level, metric = len(evidence.study.seeds), ranking.confidence(evidence), wording.spoken(evidence.metric)
    covered = variance.over_seeds(evidence)
    text = (
        f"Mean ± sample SD over {seeds} seeds. In small print: the {level} t-interval of the mean over seeds; it "
        f"covers {covered}."
        if covered
        else "One seed: no SD and no interval over seeds."
    )
    text += f" “{metric}, {level}”: {whole(evidence)}."
    if len(evidence.variants) == 1:
        return text
    text += (
        " “Not told apart from”: the ranks that a variant is not told apart from (paired comparison of test "
        f"{metric}, an error of {evidence.alpha:g} for all pairs of the study together)"
    )
    return f"{text}; here all others, since {ranking.ONE_SEED}." if seeds == 1 else f"{text}."


def whole(evidence: Evidence) -> str:
    """What the interval of a single variant covers."""
    seeds, groups = len(evidence.study.seeds), _groups(evidence)
    if seeds == 1:
        return f"Wilson's interval over the test images, for this very network{groups}"
    if variance.several(evidence):
        return f"the interval for {population(evidence)}{groups}"
    if seeds == 2:
        return "left out, since two seeds agree by chance too often for an interval over seeds and images"
    return f"the interval for {population(evidence)} (Wilson's, widened by what the seeds vary){groups}"


def _groups(evidence: Evidence) -> str:
    found = next(iter(evidence.intervals.values()))
    images, groups = int(found["images"] or 0), int(found["groups"] or 0)
    return "" if images == groups else f"; copies and look-alikes count as one ({groups:,} groups of {images:,} images)"


def marks(evidence: Evidence) -> str:
    """Of the picture of the ranking."""
    level = ranking.confidence(evidence)
    if len(evidence.study.seeds) == 1:
        return f"Test set: the one seed (square) and its {level} interval over images (line)."
    if len(evidence.study.seeds) == 2 and not variance.several(evidence):
        return "Test set: mean (square) and both seeds (circles)."
    return f"Test set: mean (square), {level} interval over seeds and images (line), every seed (circle)."


def pairs(evidence: Evidence) -> str:
    """Of the paired comparisons; empty where there are none."""
    if not evidence.comparisons:
        return ""
    count = wording.plural(len(evidence.comparisons), "pair")
    text = (
        f"Every verdict is for {population(evidence)}. The intervals cover {covers(evidence)}: "
        f"{variance.COVERED[evidence.comparisons[0]['covers']]}. In small print: the interval of the pair by itself. "
        f"“All pairs at once”: these hold together for all {count} (studentized range), and they decide; where "
        "the interval of a pair excludes 0 and this one does not, nothing is decided."
    )
    if covers(evidence) == ranking.ALONE:
        return f"{text} No variant is called better: {ranking.ONE_SEED}."
    margin = apart(evidence.margin, evidence.metric, 1)
    text += (
        f" Better: the interval for all pairs excludes 0 (adjusted p below {evidence.alpha:g}). Equal: two one-sided "
        f"tests for all pairs find the difference to be less than {margin} (`aggregate.margin`). All else is not "
        "decided, which is not the same as equal. “New run”: the probability, in percent, that one new run of the "
        "first is better than one new run of the second."
    )
    if refused(evidence):
        text += (
            " No verdict is given here: the seeds of a variant differ by more than the images explain, and so few "
            "cannot show by how much; add seeds (`make plan` says how many)."
        )
    return f"{text} {first(evidence)}"


def refused(evidence: Evidence) -> bool:
    """Whether the comparison gives no verdict at all, however large a difference is."""
    return 1 < len(evidence.study.seeds) <= 3 and all(float(row["p_joint"]) == 1 for row in evidence.comparisons)


def first(evidence: Evidence) -> str:
    """How much of the first place is luck."""
    found = ranking.luck(evidence)
    if found is None:
        return ""
    places = 2 if evidence.images("test") >= 1000 else 1
    return (
        "The variants are ranked by their test figures, so the figure of the first is too good: of "
        f"{len(evidence.variants)} equal variants the best would stand {apart(found, evidence.metric, places)} ahead "
        "of their common figure by luck."
    )


def population(evidence: Evidence) -> str:
    """For what a verdict of this study holds."""
    if len(evidence.study.seeds) == 1:
        return "these very networks and new test images"
    if not variance.several(evidence):
        return "this split: new seeds and new test images, the same images to train on"
    if evidence.comparisons and evidence.comparisons[0]["covers"] == "seeds and splits":
        return "new splits and seeds of these images, on this test set"
    return "new splits and seeds of these images"


def covers(evidence: Evidence) -> str:
    """What the intervals of the paired comparisons cover, in a few words."""
    if not evidence.comparisons:
        return ""
    found = evidence.comparisons[0]["covers"]
    return ranking.ALONE if found == "images" else found
