"""The section of a study whose seeds have splits of their own: how much the seeds vary, and how much the splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.report import caveats, wording
from stages.report.evidence import REPORTS
from stages.report.section import PaperTable, Section
from stages.report.wording import MISSING, interval, number, plural

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures

PARTS = ("initialisation", "split", "total")
METRIC = ("test", "top1")
MOST = 0.5  # the SD of a share


def build(evidence: StudyEvidence, _: Figures) -> dict[str, Any] | None:
    """Standard deviations of test top-1 by what varied; None where all seeds share one split, or there is one seed."""
    rows = [r for r in files.read_rows(REPORTS / "variance.csv") if (r["split"], r["metric"]) == METRIC]
    if not evidence.several or not rows:
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


def _cell(row: dict[str, str], digits: int) -> dict[str, str]:
    low, high = (float(row[end]) if row[end] else None for end in ("sd_low", "sd_high"))
    return {
        "value": number(float(row["sd"]), METRIC[1], digits + 1),
        "interval": interval(low, high and min(high, MOST), METRIC[1], digits + 1) or MISSING,
    }


def _share(found: dict[tuple[str, str], dict[str, str]], variant: str) -> str:
    """Percent of the variance that is the split's."""
    split, total = (float(found[variant, part]["sd"]) ** 2 for part in ("split", "total"))
    return f"{100 * split / total:.0f}" if total else MISSING


def _how(evidence: StudyEvidence, shown: list[str]) -> list[str]:
    """The design in words, and what to keep in mind."""
    splits, each = len(evidence.splits), len(evidence.splits[0]["seeds"])
    chosen = "training and validation" if evidence.fixed else "training and test"
    who, seeds = caveats.every(evidence, "every"), plural(each, "seed")
    text = [f"The study was split {splits} times, and {who} was trained with {seeds} on each."]
    if "split" in shown:
        text.append(
            f"“Initialisation” is the variation between seeds on one split: "
            f"{wording.names(caveats.changed(evidence))}. “Split” is the additional variation from another choice of "
            f"{chosen} images. A nested analysis of variance separates the two (Searle, Casella and McCulloch 1992). "
            "“Total” is the variation of one run on a split of its own."
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
    parts = [part.capitalize() for part in context["variance"]["parts"]]
    table = context["variance"]["rows"]
    rows = [[row["variant"], *(f"{cell['value']} ({cell['interval']})" for cell in row["cells"])] for row in table]
    level = context["results"]["confidence"]
    caption = f"Standard deviation of test top-1 in points by what varied, with its {level} interval."
    return [PaperTable("variance", ["Variant", *parts], rows, caption)]


SECTION = Section("variance", "Variation between seeds", build, _tables)
