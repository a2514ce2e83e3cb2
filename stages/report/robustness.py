"""How much top-1 falls when the test images are turned, shifted, blurred and so on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from stages.report.figures import COLOURS, GRID, MUTED
from stages.report.ranking import METRIC
from stages.report.wording import number, plus_minus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

    Floats = NDArray[np.float64]

LINES = 8  # as many variants can be told apart by colour
CLEAN = "none"
DESCENDING = ("jpeg",)  # the larger the number, the weaker the change
UNITS = {
    "rotation": "degrees", "shift": "share of the side", "scale": "factor", "brightness": "factor",
    "blur": "SD, share of the side", "noise": "SD, share of white", "jpeg": "quality",
}  # fmt: skip
FLIPPED = {0.0: "no", 1.0: "yes"}


def build(evidence: Evidence, figures: Figures, order: list[str]) -> dict[str, Any]:
    """A chart for each transform, and a table of every strength; `order` is the ranking."""
    table = evidence.cells("robustness.csv")
    shape = (len(evidence.variants), len(evidence.study.seeds), -1)
    ranked = [evidence.variants.index(variant) for variant in order]
    top1 = table["top1"].to_numpy(dtype=float).reshape(shape)[ranked]  # (variants, seeds, settings)
    changed = table["changed"].to_numpy(dtype=float).reshape(shape).min(axis=(0, 1))
    first = table.iloc[: top1.shape[2]]
    clean = list(first["transform"]).index(CLEAN)
    settings = list(zip(first["transform"], first["strength"], strict=True))
    transforms = list(dict.fromkeys(name for name, _ in settings if name != CLEAN))
    places = {name: _places(settings, name) for name in transforms}
    rows = [
        {
            "transform": _title(name),
            "unit": UNITS.get(name, ""),
            "strength": _strength(name, settings[place][1]),
            "changed": f"{100 * changed[place]:.0f}",
            "cells": [_cell(top1[v, :, place], top1[v, :, clean]) for v in range(len(order))],
        }
        for name in transforms
        for place in places[name]
    ]
    charts = []
    for name in transforms:
        labels = [_strength(name, settings[place][1]) for place in places[name]]
        shown = places[name]
        if changed[shown].all():  # no strength leaves the images as they are: begin with the clean ones
            labels, shown = ["clean", *labels], [clean, *shown]
        charts.append(_chart(name, labels, top1[:, :, shown], order, figures))
    return {
        "variants": order,
        "images": int(first["n"].iloc[0]),
        "few": len(order) <= LINES,
        "legend": [(variant, f"c{i % len(COLOURS) + 1}") for i, variant in enumerate(order[:LINES])],
        "rows": rows,
        "charts": charts,
        "key": _key(order, figures),
    }


def _key(order: list[str], figures: Figures) -> Figure:
    """The colours of the charts, for where they stand without the page."""
    few = len(order) <= LINES
    shown = [(v, COLOURS[i]) for i, v in enumerate(order)] if few else [(order[0], COLOURS[0]), ("the others", GRID)]
    columns = 3 if max(len(name) for name, _ in shown) <= 16 else 1
    canvas = figures.canvas(4.6, 0.2 + 0.2 * math.ceil(len(shown) / columns))
    lines = [Line2D([], [], color=colour, marker="o", ms=2.5, lw=1.2, label=name) for name, colour in shown]
    canvas.legend(handles=lines, ncols=columns, loc="center", fontsize=8)
    return figures.add(
        "robustness", canvas, f"Colours of the variants: {', '.join(name for name, _ in shown)}.", page=False
    )


def _places(settings: list[tuple[str, float]], transform: str) -> list[int]:
    """Where the strengths of a transform stand, weakest number first, or last where that is the weakest change."""
    places = [i for i, (name, _) in enumerate(settings) if name == transform]
    return sorted(places, key=lambda i: settings[i][1], reverse=transform in DESCENDING)


def _title(transform: str) -> str:
    return "JPEG" if transform == "jpeg" else transform.replace("_", " ")


def _strength(transform: str, strength: float) -> str:
    """As it stands on an axis; a flip has no strength."""
    return FLIPPED.get(strength, f"{strength:g}") if transform.endswith("flip") else f"{strength:g}"


def _cell(seeds: Floats, clean: Floats) -> dict[str, Any]:
    drop = seeds - clean
    return {
        "value": number(float(seeds.mean()), METRIC),
        "drop": plus_minus(float(drop.mean()), float(drop.std(ddof=1)) if len(drop) > 1 else None, METRIC),
        "share": round(float(seeds.mean()), 3),
    }


def _chart(transform: str, labels: list[str], top1: Floats, order: list[str], figures: Figures) -> Figure:
    """One line a variant; `top1` is (variants, seeds, strengths)."""
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
        f"Test top-1 under {_title(transform)} at {', '.join(labels)}: the lowest mean of a variant is "
        f"{mean.min():.1f} %, the lowest of {order[0]} {mean[0].min():.1f} %."
    )
    return figures.add(f"robustness_{transform}", canvas, alt)
