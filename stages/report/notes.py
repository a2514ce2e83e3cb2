"""What stands below the results: what every interval covers, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.report import ranking, variance, wording

if TYPE_CHECKING:
    from stages.report.evidence import Evidence

POWER = "Needed numbers: for 80 % power, were the difference to stay as it is."


def means(evidence: Evidence) -> str:
    """Of the results table."""
    seeds, level = len(evidence.study.seeds), ranking.confidence(evidence)
    covered = variance.over_seeds(evidence)
    text = (
        f"Mean ± sample SD over {seeds} seeds. In small print: the {level} t-interval of the mean over seeds; it "
        f"covers {covered}."
        if covered
        else "One seed: no SD and no interval over seeds."
    )
    text += (
        f" “Over images”: the {level} bootstrap interval of top-1; it covers what another draw of test images would "
        "change for these very networks, no other seed."
    )
    if len(evidence.variants) == 1:
        return text
    text += (
        " “Not told apart from”: the ranks that a variant is not told apart from (paired comparison of test top-1 at "
        f"the level {evidence.alpha:g} after Holm)"
    )
    return f"{text}; here all others, since {ranking.ONE_SEED}." if seeds == 1 else f"{text}."


def marks(evidence: Evidence) -> str:
    """Of the picture of the ranking."""
    level = ranking.confidence(evidence)
    if len(evidence.study.seeds) == 1:
        return f"Test set: the one seed (square) and its {level} bootstrap interval over images (band)."
    return (
        f"Test set: mean (square), {level} t-interval over seeds (line), {level} bootstrap interval over images "
        "(band), every seed (circle)."
    )


def pairs(evidence: Evidence) -> str:
    """Of the paired comparisons; empty where there are none."""
    if not evidence.comparisons:
        return ""
    alone = covers(evidence) == ranking.ALONE
    text = (
        f"The intervals of the differences cover {covers(evidence)}: "
        f"{variance.COVERED[evidence.comparisons[0]['covers']]}. “Over images” is the paired bootstrap over the test "
        "images, each with all its seeds as one block. p is two-sided; Holm adjusts it over "
        f"{wording.plural(len(evidence.comparisons), 'pair')}."
    )
    rule = (
        f"No variant is called better: {ranking.ONE_SEED}."
        if alone
        else f"A variant is called better when the adjusted p is below {evidence.alpha:g} and the bootstrap over these "
        "test images alone excludes 0 too."
    )
    return f"{text} {rule} {POWER}"


def covers(evidence: Evidence) -> str:
    """What the intervals of the paired comparisons cover, in a few words."""
    if not evidence.comparisons:
        return ""
    found = evidence.comparisons[0]["covers"]
    return ranking.ALONE if found == "images" else found
