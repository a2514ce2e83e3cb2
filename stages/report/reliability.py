"""Calibration of the networks' confidence, and their robustness to changed images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.cells import evaluate_folder
from stages.core.seeding import generator
from stages.report.evidence import table
from stages.report.figures import COLOURS, GRID, MUTED
from stages.report.page import Section, belonging, metric_name, number, spread_of
from stages.report.ranking import METRIC, ranking

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures

    Floats = NDArray[np.float64]

DRAWS = 200
ROUNDING = (
    1e-4  # of an ECE: the files hold rounded confidences, and confidences near 1 give an ECE that is only rounding
)
LINES = 8  # the largest number of variants that colours can distinguish
CLEAN = "none"
DESCENDING = ("jpeg",)  # the larger the number, the weaker the change
UNITS = {
    "rotation": "degrees", "shift": "share of the side", "scale": "factor", "brightness": "factor",
    "blur": "SD, share of the side", "noise": "SD, share of white", "jpeg": "quality",
}  # fmt: skip
FLIPPED = {0.0: "no", 1.0: "yes"}
COLUMNS = ("ece", "ece_scaled", "nll", "nll_scaled", "brier", "brier_scaled")


def calibration(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """A table of all variants, and a diagram for each with the images of all seeds."""
    counts = evidence.cells("calibration.csv")
    counts = counts[(counts["split"] == "test") & (counts["n"] > 0)]
    bins = round(1 / float((counts["bin_high"] - counts["bin_low"]).iloc[0]))
    rows = [
        {
            "variant": variant,
            "cells": [evidence.shown(variant, "test", metric, 1)["value"] for metric in COLUMNS],
            "temperature": evidence.shown(variant, "val", "temperature", 1)["value"],
            **_calibrated(evidence, variant, bins),
        }
        for variant in evidence.variants
    ]
    diagrams = {v: _diagram(v, counts[counts["variant"] == v], figures) for v in evidence.variants}
    return {
        "bins": bins,
        "note": note(evidence),
        "columns": [metric_name(metric) for metric in COLUMNS],
        "rows": rows,
        "diagrams": diagrams,
    }


def note(evidence: StudyEvidence) -> str:
    """How to read an ECE and the verdict on it."""
    alike = f", and if {belonging(evidence.named)} were right or wrong together"
    bound = " Pictures of one named group are rarely right or wrong all together, so this is an upper bound, and a "
    bound += "smaller miscalibration may go unseen."
    return (
        "Even a perfectly calibrated network has an ECE above 0, because each bin holds few images. “ECE if "
        "calibrated” is the mean ECE that these confidences would give if they were perfectly calibrated"
        f"{'' if evidence.few_groups else alike}.{bound if evidence.named and not evidence.few_groups else ''} "
        "A network is called miscalibrated if its ECE is "
        f"larger than chance explains: at most about {100 * evidence.alpha:g} % of calibrated networks are called so, "
        "each judged by itself."
    )


def _calibrated(evidence: StudyEvidence, variant: str, bins: int) -> dict[str, str]:
    """The mean ECE of this variant if its confidences were calibrated, and the verdict on its own ECE."""
    tables = [table(evaluate_folder(variant, seed) / "predictions.parquet") for seed in evidence.study.seeds]
    tests = [one[one["split"] == "test"] for one in tables]
    group = {} if evidence.few_groups else evidence.group_of  # too few groups are not drawn as one, as in aggregate
    runs = [([group.get(i, i) for i in one["image_id"]], one["confidence"].to_numpy(dtype=float)) for one in tests]
    mean = null(runs, bins)
    high = evidence.summary[variant, "test", "ece"].mean > np.quantile(mean, 1 - evidence.alpha) + ROUNDING
    verdict = "miscalibrated" if high else "no sign of miscalibration"
    return {"null": number(float(mean.mean()), "ece"), "verdict": verdict}


def null(runs: list[tuple[list[str], Floats]], bins: int) -> Floats:
    """Mean ECE (draws,) of runs, groups of the images and confidences of each, that are right as often as they say.

    A group has one draw for all its images and all runs that test it: copies are right or wrong together.
    """
    every = {group: place for place, group in enumerate(dict.fromkeys(group for groups, _ in runs for group in groups))}
    luck = generator(0, "calibration").random((DRAWS, len(every)), dtype=np.float32)
    shares = [_null(confidence, bins, luck[:, [every[group] for group in groups]]) for groups, confidence in runs]
    return np.asarray(np.mean(shares, axis=0))


def _null(confidence: Floats, bins: int, luck: NDArray[np.float32]) -> Floats:
    """ECE (draws,) of one run; an image is right where its `luck` (draws, images) is below its confidence (images,)."""
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    order = np.argsort(place, kind="stable")
    _, starts = np.unique(place[order], return_index=True)
    luck = luck[:, order]
    gap = np.add.reduceat((luck < confidence[order]) - confidence[order], starts, axis=1)
    return np.asarray(np.abs(gap).sum(axis=1) / len(confidence))


def _diagram(variant: str, found: pd.DataFrame, figures: Figures) -> Figure:
    """Accuracy against confidence in each bin, over the images of all seeds; bars show the share of the images."""
    weights = found.assign(c=found["n"] * found["confidence"], a=found["n"] * found["accuracy"])
    bins = weights.groupby(["bin_low", "bin_high"], as_index=False)[["n", "c", "a"]].sum()
    width = bins["bin_high"] - bins["bin_low"]
    centre, accuracy = bins["bin_low"] + width / 2, bins["a"] / bins["n"]
    canvas = figures.canvas(2.6, 2.5)
    axes = canvas.subplots()
    axes.bar(centre, bins["n"] / bins["n"].sum(), width=width * 0.9, color=COLOURS[7], alpha=0.25)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.plot(bins["c"] / bins["n"], accuracy, "o-", color=COLOURS[0], lw=1.2, ms=3.5)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    over = float((bins["c"] - bins["a"]).sum() / bins["n"].sum())
    lean = "overconfident" if over > 0 else "underconfident"
    alt = (
        f"Reliability of {variant} on the test set: on average {lean} by {number(abs(over), 'ece')} points; bars "
        "show the share of images in each bin."
    )
    return figures.add(f"reliability_{variant}", canvas, alt)


def robustness(evidence: StudyEvidence, figures: Figures) -> dict[str, Any] | None:
    """A chart for each transform, and a table of every strength; None where nothing is transformed."""
    order, cells = ranking(evidence).order, evidence.cells("robustness.csv")
    shape = (len(evidence.variants), len(evidence.study.seeds), -1)
    ranked = [evidence.variants.index(variant) for variant in order]
    top1 = cells["top1"].to_numpy(dtype=float).reshape(shape)[ranked]  # (variants, seeds, settings)
    changed = cells["changed"].to_numpy(dtype=float).reshape(shape).min(axis=(0, 1))
    first = cells.iloc[: top1.shape[2]]
    sizes = [
        f"{n:,}" for n in sorted({int(cells["n"].min()), int(cells["n"].max())})
    ]  # the splits may test different numbers of images
    clean = list(first["transform"]).index(CLEAN)
    settings = list(zip(first["transform"], first["strength"], strict=True))
    rows, charts = [], []
    for name in dict.fromkeys(name for name, _ in settings if name != CLEAN):
        places = _places(settings, name)
        labels = [_strength(name, settings[place][1]) for place in places]
        rows += [
            {
                "transform": _title(name),
                "unit": UNITS.get(name, ""),
                "strength": label,
                "changed": f"{100 * changed[place]:.0f}",
                "cells": [_cell(top1[v, :, place], top1[v, :, clean]) for v in range(len(order))],
            }
            for place, label in zip(places, labels, strict=True)
        ]
        if changed[places].all():  # no strength leaves the images unchanged: begin with the clean images
            labels, places = ["clean", *labels], [clean, *places]
        charts.append(_chart(name, labels, top1[:, :, places], order, figures))
    if not charts:
        return None
    return {
        "variants": order,
        "few": len(order) <= LINES,
        "rows": rows,
        "charts": charts,
        "key": _key(order, figures),
        "note": (
            f"Top-1 % of all variants on {' to '.join(sizes)} test images that are transformed before "
            f"normalisation; {'mean over seeds, bars show ± SD' if top1.shape[1] > 1 else 'one seed'}. A network that "
            "was trained with an augmentation has already seen that kind of change."
        ),
    }


def _key(order: list[str], figures: Figures) -> Figure:
    """The legend of the charts as a figure of its own, for report.md."""
    few = len(order) <= LINES
    shown = [(v, COLOURS[i]) for i, v in enumerate(order)] if few else [(order[0], COLOURS[0]), ("the others", GRID)]
    columns = 3 if max(len(name) for name, _ in shown) <= 16 else 1
    from matplotlib.lines import Line2D

    canvas = figures.canvas(4.6, 0.2 + 0.2 * math.ceil(len(shown) / columns))
    lines = [Line2D([], [], color=colour, marker="o", ms=2.5, lw=1.2, label=name) for name, colour in shown]
    canvas.legend(handles=lines, ncols=columns, loc="center", fontsize=8)
    return figures.add(
        "robustness", canvas, f"Colours of the variants: {', '.join(name for name, _ in shown)}.", page=False
    )


def _places(settings: list[tuple[str, float]], transform: str) -> list[int]:
    """The rows of the strengths of a transform, from the weakest change to the strongest."""
    places = [i for i, (name, _) in enumerate(settings) if name == transform]
    return sorted(places, key=lambda i: settings[i][1], reverse=transform in DESCENDING)


def _title(transform: str) -> str:
    return "JPEG" if transform == "jpeg" else transform.replace("_", " ")


def _strength(transform: str, strength: float) -> str:
    """A strength as the axis shows it; a flip has no strength."""
    return FLIPPED.get(strength, f"{strength:g}") if transform.endswith("flip") else f"{strength:g}"


def _cell(seeds: Floats, clean: Floats) -> dict[str, Any]:
    return {
        "value": number(float(seeds.mean()), METRIC),
        "drop": spread_of(seeds - clean, METRIC),
        "share": round(float(seeds.mean()), 3),
    }


def _chart(transform: str, labels: list[str], top1: Floats, order: list[str], figures: Figures) -> Figure:
    """A line for each variant; `top1` is (variants, seeds, strengths)."""
    canvas = figures.canvas(2.6, 2.3)
    axes = canvas.subplots()
    where = np.arange(len(labels))
    mean = 100 * top1.mean(axis=1)
    sd = 100 * top1.std(axis=1, ddof=1) if top1.shape[1] > 1 else np.zeros_like(mean)
    for rank in reversed(range(len(order))):
        bright = rank < LINES if len(order) <= LINES else rank == 0
        colour = COLOURS[rank % len(COLOURS)] if bright else GRID
        axes.plot(where, mean[rank], color=colour, lw=1.2, marker="o", ms=2.5)
        if bright:
            axes.vlines(where, mean[rank] - sd[rank], mean[rank] + sd[rank], color=colour, lw=0.8)
    axes.set_xticks(where, labels)
    axes.set_ylim(0, 102)
    axes.set_title(_title(transform))
    axes.set_xlabel(UNITS.get(transform, "flipped"), color=MUTED)
    axes.set_ylabel("test top-1 %", color=MUTED)
    alt = (
        f"Test top-1 under {_title(transform)} at {', '.join(labels)}: the lowest mean of any variant is "
        f"{mean.min():.1f} %, the lowest mean of {order[0]} is {mean[0].min():.1f} %."
    )
    return figures.add(f"robustness_{transform}", canvas, alt)


CALIBRATION = Section("calibration", "Calibration", calibration)
ROBUSTNESS = Section("robustness", "Robustness", robustness)
