"""Do the probabilities mean what they say: reliability diagrams, figures before and after scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.cells import evaluate_folder
from stages.core.seeding import generator
from stages.report.evidence import table
from stages.report.figures import COLOURS, MUTED
from stages.report.wording import MISSING, metric_name, number, plus_minus

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

DRAWS = 200
NOTE = (
    "It is above 0 for a perfectly calibrated network, too, since a bin has few images: “ECE if calibrated” is what "
    "these confidences would show then, in the mean. A network is called miscalibrated when its ECE is more "
    "than chance explains."
)
COLUMNS = ("ece", "ece_scaled", "nll", "nll_scaled", "brier", "brier_scaled")


def build(evidence: Evidence, figures: Figures) -> dict[str, Any]:
    """A table of all variants, and a diagram for each with the images of all seeds."""
    counts = evidence.cells("calibration.csv")
    counts = counts[(counts["split"] == "test") & (counts["n"] > 0)]
    bins = round(1 / float((counts["bin_high"] - counts["bin_low"]).iloc[0]))
    rows = [
        {
            "variant": variant,
            "cells": [_figure_of(evidence, variant, "test", metric) for metric in COLUMNS],
            "temperature": _figure_of(evidence, variant, "val", "temperature"),
            **_calibrated(evidence, variant, bins),
        }
        for variant in evidence.variants
    ]
    diagrams = [
        {"name": variant, "figure": _diagram(variant, counts[counts["variant"] == variant], figures)}
        for variant in evidence.variants
    ]
    return {
        "bins": bins,
        "note": NOTE,
        "columns": [metric_name(metric) for metric in COLUMNS],
        "rows": rows,
        "diagrams": diagrams,
    }


def _calibrated(evidence: Evidence, variant: str, bins: int) -> dict[str, str]:
    """The ECE of this variant if its confidences meant what they say, and what that makes of the one it has."""
    found = evidence.summary.get((variant, "test", "ece"))
    tables = [table(evaluate_folder(variant, seed) / "predictions.csv") for seed in evidence.study.seeds]
    draws = [null(one[one["split"] == "test"]["confidence"].to_numpy(dtype=float), bins) for one in tables]
    if found is None:
        return {"null": MISSING, "verdict": MISSING}
    mean = np.mean(draws, axis=0)  # one draw of the images for all seeds, since they share them
    high = found.mean > np.quantile(mean, 1 - evidence.alpha)
    verdict = "miscalibrated" if high else "no sign of miscalibration"
    return {"null": number(float(mean.mean()), "ece"), "verdict": verdict}


def null(confidence: NDArray[np.float64], bins: int, draws: int = DRAWS) -> NDArray[np.float64]:
    """ECE (draws,) of networks that are right exactly as often as they say, on as many images."""
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    order = np.argsort(place, kind="stable")
    _, starts = np.unique(place[order], return_index=True)
    luck = generator(0, "calibration").random((draws, len(confidence)), dtype=np.float32)[:, order]
    gap = np.add.reduceat((luck < confidence[order]) - confidence[order], starts, axis=1)
    return np.asarray(np.abs(gap).sum(axis=1) / len(confidence))


def _figure_of(evidence: Evidence, variant: str, split: str, metric: str) -> str:
    found = evidence.summary.get((variant, split, metric))
    return plus_minus(found.mean, found.sd, metric) if found else MISSING


def _diagram(variant: str, found: pd.DataFrame, figures: Figures) -> Figure:
    """Accuracy against confidence in each bin, over the images of all seeds; the shade is their number."""
    weights = found.assign(c=found["n"] * found["confidence"], a=found["n"] * found["accuracy"])
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
