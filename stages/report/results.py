"""The results table, the ranking, the paired comparisons, and how much the seeds and the splits vary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.report import caveats, page, uncertainty
from stages.report import ranking as ranks
from stages.report.evidence import REPORTS
from stages.report.figures import COLOURS, MUTED, name_rows
from stages.report.page import PaperTable, Section, interval, interval_between, metric_name, number, p_value, signed

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures

SPLITS = ("test", "val", "train")
PARTS = ("initialisation", "split", "total")  # the parts of the variance
MOST_SD = 0.5  # the largest SD of a share


def build(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """The study's answer, the tables of results and of paired comparisons, and the forest plot of test top-1."""
    ranking = ranks.ranking(evidence)
    note = uncertainty.means(evidence, ranking)
    which = "against which there is no decision" if ranking.own else "of variants that are statistically tied"
    return {
        "answer": [_unbroken(s) for s in ranks.answer(evidence, ranking)],
        "columns": _columns(evidence),
        "column": ranking.column,
        "tied": f" {ranking.column}: ranks {which} (paired comparison on the test set).",
        "splits": [_split_table(evidence, ranking, split) for split in SPLITS],
        "every": _every(evidence, ranking),
        "pairs": _pair_rows(evidence, ranking),
        "forest": _forest(evidence, ranking, figures),
        "confidence": evidence.confidence,
        "note": f"{uncertainty.spread(evidence, small_print=True)} {note}",
        "text_note": f"{uncertainty.spread(evidence, small_print=False)} {note}",
        "marks": uncertainty.marks(evidence),
        "difference": uncertainty.difference(evidence),
        "metric": page.spoken(evidence.metric),
        "pairs_note": uncertainty.pairs(evidence, ranking, "Small print"),
        "pairs_text_note": uncertainty.pairs(evidence, ranking, "Interval"),
    }


def _unbroken(sentence: str) -> str:
    """Keep a number and its unit on one line."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%").replace("= ", "=\N{NO-BREAK SPACE}")


def _columns(evidence: StudyEvidence) -> list[tuple[str, str]]:
    present = {metric for _, _, metric in evidence.summary}
    asked = dict.fromkeys([*evidence.settings.metrics, evidence.metric])
    return [(metric, metric_name(metric)) for metric in asked if metric in present]


def _split_table(evidence: StudyEvidence, ranking: ranks.Ranking, split: str) -> dict[str, Any]:
    rows = [
        {
            "variant": variant,
            "rank": ranking.rank[variant],
            "tied": ranking.tied[variant],
            "whole": _whole(evidence, variant) if split == "test" else "",
            "cells": [evidence.shown(variant, split, metric) for metric, _ in _columns(evidence)],
        }
        for variant in ranking.order
    ]
    images = page.span(evidence.sizes(split), "image")
    return {"split": split, "name": page.SPLIT_NAMES[split], "images": images, "rows": rows}


def _every(evidence: StudyEvidence, ranking: ranks.Ranking) -> list[dict[str, Any]]:
    """A row for each metric, with all variants on test, validation and train."""
    columns = [(variant, split) for split in SPLITS for variant in ranking.order]
    return [
        {"metric": metric_name(metric), "cells": [evidence.shown(*column, metric)["value"] for column in columns]}
        for metric in dict.fromkeys(metric for _, _, metric in evidence.summary)
    ]


def _whole(evidence: StudyEvidence, variant: str) -> str:
    """The interval of the compared metric that decides, in words (see `whole`)."""
    metric = evidence.metric
    ends = interval(*page.within(*whole(evidence, variant), metric), metric, evidence.digits)
    return ends or page.MISSING


def whole(evidence: StudyEvidence, variant: str) -> tuple[float | None, float | None]:
    """The interval over images and seeds; with one seed over the images alone; with two seeds there is none."""
    found = evidence.intervals[variant]
    kind = "image_ci" if len(evidence.study.seeds) == 1 else "ci"
    return found[f"{kind}_low"], found[f"{kind}_high"]


def _pair_rows(evidence: StudyEvidence, ranking: ranks.Ranking) -> list[dict[str, Any]]:
    metric, places = evidence.metric, evidence.digits
    return [
        {
            "a": pair.variant_a,
            "b": pair.variant_b,
            "verdict": _verdict(evidence, pair),
            "difference": signed(pair.difference, metric, places),
            "interval": interval_between(pair.ci_low, pair.ci_high, metric, places),
            "wide": interval_between(pair.joint_ci_low, pair.joint_ci_high, metric, places) or page.MISSING,
            "chance": page.chance(pair.probability_a_better),
            "p": p_value(pair.p),
            "p_adjusted": p_value(pair.p_joint),
            "effect": number(pair.effect_size, digits=0),
        }
        for pair in ranking.every_pair()
    ]


def _verdict(evidence: StudyEvidence, pair: ranks.Comparison) -> str:
    if pair.verdict == "identical":
        return "identical predictions"
    margin = page.apart(evidence.margin, evidence.metric)
    if pair.decided:
        within = max(abs(pair.joint_ci_low), abs(pair.joint_ci_high)) < evidence.margin
        better = pair.variant_a if pair.verdict == "a better" else pair.variant_b
        return f"{better} is better{', by less than ' + margin if within else ''}"
    if pair.verdict == "equal":
        return f"equal within {margin}"
    if pair.one_seed:
        return "not decided (one seed)"
    return f"not decided{' (runs agree to the last digit)' if pair.verdict == 'refused' else ''}"


def _forest(evidence: StudyEvidence, ranking: ranks.Ranking, figures: Figures) -> Figure:
    """Mean with its interval, and every seed as a dot."""
    runs = evidence.runs.query("split == 'test' and metric == @ranks.METRIC")
    canvas = figures.canvas(4.6, 0.7 + 0.28 * len(ranking.order))
    axes = canvas.subplots()
    for y, variant in enumerate(ranking.order):
        found = evidence.summary[variant, "test", ranks.METRIC]
        seeds = 100 * runs[runs["variant"] == variant]["value"].to_numpy()
        low, high = whole(evidence, variant) if evidence.metric == ranks.METRIC else (found.low, found.high)
        axes.plot(seeds, [y] * len(seeds), "o", color=COLOURS[1], ms=4, mfc="none", mew=1)
        if low is not None and high is not None:
            axes.plot([100 * low, 100 * high], [y, y], color=COLOURS[0], lw=1.6)
        axes.plot(100 * found.mean, y, "s", color=COLOURS[0], ms=5)
    name_rows(axes, [page.short(f"{ranking.rank[v]}  {v}", 30) for v in ranking.order])
    left, right = axes.get_xlim()
    axes.set_xlim(max(left, -2), min(right, 102))
    axes.set_xlabel("test top-1 %", color=MUTED)
    best = ranking.order[0]
    mean = number(evidence.summary[best, "test", ranks.METRIC].mean, ranks.METRIC, evidence.digits)
    alt = (
        f"Test top-1 accuracy of {page.plural(len(ranking.order), 'variant')}, "
        f"{'best first' if evidence.metric == ranks.METRIC else f'in the order of {page.spoken(evidence.metric)}'}: "
        f"{best} with {mean} %. The table has the numbers."
    )
    return figures.add("ranking", canvas, alt)


def _tables(context: dict[str, Any]) -> list[PaperTable]:
    results = context["results"]
    titles = [title for _, title in results["columns"]]
    found = [
        PaperTable(
            f"results_{part['split']}",
            ["Rank", "Variant", results["column"], *titles],
            [
                [row["rank"], row["variant"], row["tied"], *(cell["value"] for cell in row["cells"])]
                for row in part["rows"]
            ],
            (
                f"{part['name'].capitalize()} set ({part['images']}), {context['spread']}."
                f"{results['tied'] if results['pairs'] else ''}"
            ),
        )
        for part in results["splits"]
    ]
    if results["pairs"]:
        columns = {
            "A": "a", "B": "b", "Difference": "difference", "Interval": "interval", "All pairs at once": "wide",
            "p": "p", "p (adjusted)": "p_adjusted", "New run %": "chance", "Cohen's h": "effect", "Verdict": "verdict",
        }  # fmt: skip
        caption = f"Paired comparisons of test {results['metric']}: {results['difference']}."
        found.append(PaperTable.of("comparisons", results["pairs"], columns, caption))
    return found


def variance(evidence: StudyEvidence, _: Figures) -> dict[str, Any] | None:
    """Standard deviations of test top-1 by what varied; None where all seeds share one split, or there is one seed."""
    rows = [r for r in files.read_rows(REPORTS / "variance.csv") if (r["split"], r["metric"]) == ("test", ranks.METRIC)]
    if not evidence.several or not rows:
        return None
    shown = [part for part in PARTS if any(row["part"] == part for row in rows)]
    found = {(row["variant"], row["part"]): row for row in rows}
    return {
        "parts": shown,
        "rows": [
            {
                "variant": variant,
                "cells": [_sd(found[variant, part], evidence.digits) for part in shown],
                "share": _share(found, variant) if "split" in shown else "",
            }
            for variant in evidence.variants
        ],
        "how": _design(evidence, shown),
        "n": {part: found[evidence.variants[0], part]["n"] for part in shown},
    }


def _sd(row: dict[str, str], digits: int) -> dict[str, str]:
    low, high = (float(row[end]) if row[end] else None for end in ("sd_low", "sd_high"))
    return {
        "value": number(float(row["sd"]), ranks.METRIC, digits + 1),
        "interval": interval(low, high and min(high, MOST_SD), ranks.METRIC, digits + 1) or page.MISSING,
    }


def _share(found: dict[tuple[str, str], dict[str, str]], variant: str) -> str:
    """The split's share of the variance, in percent."""
    split, total = (float(found[variant, part]["sd"]) ** 2 for part in ("split", "total"))
    return f"{100 * split / total:.0f}" if total else page.MISSING


def _design(evidence: StudyEvidence, shown: list[str]) -> list[str]:
    """The design in words, and its limits."""
    splits, each = len(evidence.splits), len(evidence.splits[0]["seeds"])
    chosen = "training and validation" if evidence.fixed else "training and test"
    who, seeds = caveats.every(evidence, "every"), page.plural(each, "seed")
    text = [f"The images were split {splits} times, and {who} was trained with {seeds} on each split."]
    if "split" in shown:
        text.append(
            f"“Initialisation” is the variation between seeds on one split: "
            f"{page.names(caveats.changed(evidence))}. “Split” is the additional variation from another choice of "
            f"{chosen} images. A nested analysis of variance separates the two (Searle, Casella and McCulloch 1992). "
            "“Total” is the variation of one run on a split of its own."
        )
    else:
        text.append(
            "Split and initialisation changed together, so the SD covers both. To separate them, set "
            "`split.seeds_per_split` to 2 or more and give that many seeds for each split."
        )
    text.append(
        "Splits of one data set share images, so results would vary more between data sets. An SD from "
        f"only {splits} splits is itself uncertain; see its interval."
    )
    return text


def _variance_tables(context: dict[str, Any]) -> list[PaperTable]:
    parts = [part.capitalize() for part in context["variance"]["parts"]]
    table = context["variance"]["rows"]
    rows = [[row["variant"], *(f"{cell['value']} ({cell['interval']})" for cell in row["cells"])] for row in table]
    level = context["results"]["confidence"]
    caption = f"Standard deviation of test top-1 in points by what varied, with its {level} interval."
    return [PaperTable("variance", ["Variant", *parts], rows, caption)]


RESULTS = Section("results", "Results", build, _tables)
VARIANCE = Section("variance", "Variation between seeds", variance, _variance_tables)
