"""Do the probabilities mean what they say: reliability diagrams, figures before and after scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report.figures import COLOURS, MUTED
from stages.report.wording import MISSING, metric_name, number, plus_minus

if TYPE_CHECKING:
    import pandas as pd

    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

COLUMNS = ("ece", "ece_scaled", "nll", "nll_scaled", "brier", "brier_scaled")


def build(evidence: Evidence, figures: Figures) -> dict[str, Any]:
    """A table of all variants, and a diagram for each with the images of all seeds."""
    table = evidence.cells("calibration.csv")
    table = table[(table["split"] == "test") & (table["n"] > 0)]
    bins = round(1 / float((table["bin_high"] - table["bin_low"]).iloc[0]))
    rows = [
        {
            "variant": variant,
            "cells": [_figure_of(evidence, variant, "test", metric) for metric in COLUMNS],
            "temperature": _figure_of(evidence, variant, "val", "temperature"),
        }
        for variant in evidence.variants
    ]
    diagrams = [
        {"name": variant, "figure": _diagram(variant, table[table["variant"] == variant], figures)}
        for variant in evidence.variants
    ]
    return {"bins": bins, "columns": [metric_name(metric) for metric in COLUMNS], "rows": rows, "diagrams": diagrams}


def _figure_of(evidence: Evidence, variant: str, split: str, metric: str) -> str:
    found = evidence.summary.get((variant, split, metric))
    return plus_minus(found.mean, found.sd, metric) if found else MISSING


def _diagram(variant: str, table: pd.DataFrame, figures: Figures) -> Figure:
    """Accuracy against confidence in each bin, over the images of all seeds; the shade is their number."""
    weights = table.assign(c=table["n"] * table["confidence"], a=table["n"] * table["accuracy"])
    bins = weights.groupby(["bin_low", "bin_high"], as_index=False)[["n", "c", "a"]].sum()
    width = bins["bin_high"] - bins["bin_low"]
    centre, accuracy = bins["bin_low"] + width / 2, bins["a"] / bins["n"]
    canvas = figures.canvas(2.6, 2.5)
    axes = canvas.subplots()
    axes.bar(centre, bins["n"] / bins["n"].sum(), width=width * 0.9, color=COLOURS[7], alpha=0.25)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.plot(bins["c"] / bins["n"], accuracy, "o-", color=COLOURS[0], lw=1.2, ms=3.5)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    over = float((bins["c"] - bins["a"]).sum() / bins["n"].sum())
    lean = "too sure of itself" if over > 0 else "not sure enough"
    alt = (
        f"Reliability of {variant} on the test set: on average {lean} by {number(abs(over), 'ece')} points; bars are "
        "the share of images in each bin."
    )
    return figures.add(f"reliability_{variant}", canvas, alt)
