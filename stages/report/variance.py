"""What the seeds vary: the initialisation alone, or the split with it, and how much of the spread is either's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.report.evidence import REPORTS
from stages.report.wording import MISSING, interval, number, plural

if TYPE_CHECKING:
    from stages.report.evidence import Evidence

PARTS = ("initialisation", "split", "total")
METRIC = ("test", "top1")
COVERED = {
    "images": "what another draw of the test images would change for these very networks, not another seed",
    "images and seeds": "what another draw of the test images or other seeds would change",
    "seeds": "what other seeds would change on this split and these test images",
    "images, seeds and splits": "what another split of these images, with other seeds, would change",
    "seeds and splits": "what another split of the images outside of the published test set, with other seeds, would "
    "change on that test set",
}
CORRECTED = (
    "Splits share most of their training images, so the intervals are those of the corrected resampled t-test (Nadeau "
    "and Bengio 2003)"
)


def build(evidence: Evidence, digits: int) -> dict[str, Any] | None:
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
                "cells": [_cell(found[variant, part], digits) for part in shown],
                "share": _share(found, variant) if "split" in shown else "",
            }
            for variant in evidence.variants
        ],
        "how": _how(evidence, shown),
        "n": {part: found[evidence.variants[0], part]["n"] for part in shown},
    }


def several(evidence: Evidence) -> bool:
    """Whether seeds have splits of their own."""
    return len(evidence.split["splits"]) > 1


def over_seeds(evidence: Evidence) -> str:
    """What the interval over seeds covers, to follow "it covers"; empty with one seed, which gives none."""
    if len(evidence.study.seeds) == 1:
        return ""
    if not several(evidence):
        return "what a new seed would change on this split and this test set"
    return f"what another split of these images and a new seed would change. {CORRECTED}"


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


def _how(evidence: Evidence, shown: list[str]) -> list[str]:
    """The design in words, and what to keep in mind."""
    splits, each = len(evidence.split["splits"]), len(evidence.split["splits"][0]["seeds"])
    text = [f"The study was split {splits} times, and every variant was trained with {plural(each, 'seed')} on each."]
    if "split" in shown:
        text.append(
            "“Initialisation” is what seeds on one split change: initial weights, order of the images, augmentation "
            "and dropout. “Split” is what another choice of the images to train on and to test on changes beyond that, "
            "told apart by a nested analysis of variance (Searle, Casella and McCulloch 1992). “Total” is what one run "
            "on a split of its own has."
        )
    else:
        text.append(
            "Split and initialisation changed together, so the SD covers both: “split.seeds_per_split: 2” or more, "
            "with as many times the seeds, tells them apart."
        )
    text.append(
        "Splits of one data set share images, so that a new data set would vary by more. An SD from so few "
        f"splits ({splits}) is itself uncertain: see its interval."
    )
    return text
