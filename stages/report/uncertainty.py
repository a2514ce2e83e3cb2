"""What the seeds vary, and what every interval and verdict of the page covers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.report import ranking, wording
from stages.report.evidence import REPORTS
from stages.report.section import PaperTable, Section
from stages.report.wording import MISSING, apart, interval, number, plural

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures

PARTS = ("initialisation", "split", "total")
METRIC = ("test", "top1")
COVERED = {
    "images": "the effect of other test images on these trained networks, but not the effect of another seed",
    "images and seeds": "the effect of other test images and other seeds",
    "seeds": "the effect of other seeds on this split and these test images",
    "images, seeds and splits": "the effect of another split of these images with other seeds",
    "seeds and splits": "the effect, on the published test set, of another split of the remaining images with other "
    "seeds",
}
CORRECTED = (
    "Splits share most of their training images, so the intervals are those of the corrected resampled t-test (Nadeau "
    "and Bengio 2003)"
)


def means(evidence: StudyEvidence) -> str:
    """Of the results table."""
    seeds, level, metric = len(evidence.study.seeds), ranking.confidence(evidence), wording.spoken(evidence.metric)
    covered = over_seeds(evidence)
    text = (
        f"Mean ± sample SD over {seeds} seeds. Small print: the {level} t-interval of the mean over seeds. It covers "
        f"{covered}."
        if covered
        else "There is one seed, so there is no SD and no interval over seeds."
    )
    text += f" Column “{metric}, {level}”: {whole(evidence)}."
    if len(evidence.variants) == 1:
        return text
    text += (
        f" Column “Tied with”: the ranks with which a variant is statistically tied (paired comparison of test "
        f"{metric}, error rate {evidence.alpha:g} for all pairs of the study together)"
    )
    return f"{text}. These are all other variants here: {ranking.ONE_SEED}." if seeds == 1 else f"{text}."


def whole(evidence: StudyEvidence) -> str:
    """What the interval of a single variant covers."""
    seeds, groups = len(evidence.study.seeds), _groups(evidence)
    if seeds == 1:
        return f"Wilson's interval over the test images, for this trained network alone{groups}"
    if several(evidence):
        return f"the interval for {population(evidence)}{groups}"
    if seeds == 2:
        return "left empty, because two seeds agree by chance too often for an interval over seeds and images"
    return (
        f"the interval for {population(evidence)} (Wilson's interval, widened by the variation between seeds){groups}"
    )


def _groups(evidence: StudyEvidence) -> str:
    found = next(iter(evidence.intervals.values()))
    images, groups = int(found["images"] or 0), int(found["groups"] or 0)
    return (
        ""
        if images == groups
        else f"; a group of copies and similar pictures counts once ({images:,} images in {groups:,} groups)"
    )


def marks(evidence: StudyEvidence) -> str:
    """Of the picture of the ranking."""
    level = ranking.confidence(evidence)
    if len(evidence.study.seeds) == 1:
        return f"Test set: the one seed (square) and its {level} interval over images (line)."
    if len(evidence.study.seeds) == 2 and not several(evidence):
        return "Test set: mean (square) and both seeds (circles)."
    return f"Test set: mean (square), {level} interval over seeds and images (line), every seed (circle)."


def pairs(evidence: StudyEvidence) -> str:
    """Of the paired comparisons; empty where there are none."""
    if not evidence.comparisons:
        return ""
    count = wording.plural(len(evidence.comparisons), "pair")
    text = (
        f"Every verdict is for {population(evidence)}. The intervals cover {covers(evidence)}: "
        f"{COVERED[evidence.comparisons[0]['covers']]}. Small print: the interval of the pair by itself. "
        f"“All pairs at once”: intervals that hold together for all {count} (studentized range). They decide: if the "
        "interval of a pair by itself excludes 0 and the interval for all pairs does not, the pair is not decided."
    )
    if covers(evidence) == ranking.ALONE:
        return f"{text} No variant is called better: {ranking.ONE_SEED}."
    margin = apart(evidence.margin, evidence.metric, 1)
    text += (
        f" Better: the interval for all pairs excludes 0 (adjusted p below {evidence.alpha:g}). Equal: two one-sided "
        f"tests over all pairs show that the difference is less than {margin} (`aggregate.margin`). All other pairs "
        "are not decided, which does not mean that they are equal. “New run %”: the probability that "
        "one new run of the first variant is better than one new run of the second."
    )
    if refused(evidence):
        text += (
            " No verdict is given here. The seeds of a variant differ by more than the images explain, and there are "
            "too few seeds to show by how much. Add seeds; `make plan` says how many."
        )
    return f"{text} {first(evidence)}"


def refused(evidence: StudyEvidence) -> bool:
    """Whether the comparison gives no verdict at all, however large a difference is."""
    return 1 < len(evidence.study.seeds) <= 3 and all(float(row["p_joint"]) == 1 for row in evidence.comparisons)


def first(evidence: StudyEvidence) -> str:
    """How much luck the first place contains."""
    found = ranking.luck(evidence)
    if found is None:
        return ""
    places = 2 if evidence.images("test") >= 1000 else 1
    return (
        "The variants are ranked by their test results, so the result of the first variant is too good. Among "
        f"{len(evidence.variants)} equal variants, the best would be {apart(found, evidence.metric, places)} ahead of "
        "their common mean by luck alone."
    )


def population(evidence: StudyEvidence) -> str:
    """For what a verdict of this study holds."""
    if len(evidence.study.seeds) == 1:
        return "these trained networks and new test images"
    if not several(evidence):
        return "new seeds and new test images, with this split and the same training images"
    if evidence.comparisons and evidence.comparisons[0]["covers"] == "seeds and splits":
        return "new splits of these images and new seeds, on this test set"
    return "new splits of these images and new seeds"


def covers(evidence: StudyEvidence) -> str:
    """What the intervals of the paired comparisons cover, in a few words."""
    if not evidence.comparisons:
        return ""
    found = evidence.comparisons[0]["covers"]
    return ranking.ALONE if found == "images" else found


def build(evidence: StudyEvidence, _: Figures) -> dict[str, Any] | None:
    """Standard deviations of test top-1 by what varied; None where all seeds share one split, or there is one seed."""
    rows = [r for r in files.read_rows(REPORTS / "variance.csv") if (r["split"], r["metric"]) == METRIC]
    if not several(evidence) or not rows:
        return None
    shown = [part for part in PARTS if any(row["part"] == part for row in rows)]
    found = {(row["variant"], row["part"]): row for row in rows}
    return {
        "parts": shown,
        "rows": [
            {
                "variant": variant,
                "cells": [_cell(found[variant, part], evidence.digits) for part in shown],
                "share": _share(found, variant) if "split" in shown else "",
            }
            for variant in evidence.variants
        ],
        "how": _how(evidence, shown),
        "n": {part: found[evidence.variants[0], part]["n"] for part in shown},
    }


def several(evidence: StudyEvidence) -> bool:
    """Whether seeds have splits of their own."""
    return len(evidence.split["splits"]) > 1


def over_seeds(evidence: StudyEvidence) -> str:
    """What the interval over seeds covers, to follow "it covers"; empty with one seed, which gives none."""
    if len(evidence.study.seeds) == 1:
        return ""
    if not several(evidence):
        return "the effect of a new seed on this split and this test set"
    return f"the effect of another split of these images with a new seed. {CORRECTED}"


def _cell(row: dict[str, str], digits: int) -> dict[str, str]:
    low, high = float(row["sd_low"]), float(row["sd_high"])
    return {
        "value": number(float(row["sd"]), METRIC[1], digits + 1),
        "interval": interval(low, high, METRIC[1], digits + 1),
    }


def _share(found: dict[tuple[str, str], dict[str, str]], variant: str) -> str:
    """Percent of the variance that is the split's."""
    split, total = (float(found[variant, part]["sd"]) ** 2 for part in ("split", "total"))
    return f"{100 * split / total:.0f}" if total else MISSING


def _how(evidence: StudyEvidence, shown: list[str]) -> list[str]:
    """The design in words, and what to keep in mind."""
    splits, each = len(evidence.split["splits"]), len(evidence.split["splits"][0]["seeds"])
    text = [f"The study was split {splits} times, and every variant was trained with {plural(each, 'seed')} on each."]
    if "split" in shown:
        text.append(
            "“Initialisation” is the variation between seeds on one split: initial weights, order of the images, "
            "augmentation and dropout. “Split” is the additional variation from another choice of training and test "
            "images. A nested analysis of variance separates the two (Searle, Casella and McCulloch 1992). “Total” is "
            "the variation of one run on a split of its own."
        )
    else:
        text.append(
            "Split and initialisation changed together, so the SD covers both. To separate them, set "
            "`split.seeds_per_split` to 2 or more and give as many times more seeds."
        )
    text.append(
        "Splits of one data set share images, so a new data set would vary more. An SD from only "
        f"{splits} splits is itself uncertain; see its interval."
    )
    return text


def _tables(context: dict[str, Any]) -> list[PaperTable]:
    if context["variance"] is None:
        return []
    parts = [part.capitalize() for part in context["variance"]["parts"]]
    rows = [
        [row["variant"], *(f"{cell['value']} ({cell['interval']})" for cell in row["cells"])]
        for row in context["variance"]["rows"]
    ]
    level = context["results"]["confidence"]
    caption = f"Standard deviation of test top-1 in points by what varied, with its {level} interval."
    return [PaperTable("variance", ["Variant", *parts], rows, caption)]


SECTION = Section("variance", "Variation between seeds", build, _tables)
