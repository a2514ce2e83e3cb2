"""How much top-1 falls when the test images are turned, shifted, blurred and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report.figures import COLOURS, GRID, MUTED
from stages.report.ranking import METRIC
from stages.report.wording import number, plus_minus

if TYPE_CHECKING:
    import pandas as pd

    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

LINES = 8  # as many variants can be told apart by colour
CLEAN = "none"
ONE_SIDED = ("jpeg",)  # the larger the number, the weaker the change


def build(evidence: Evidence, figures: Figures, order: list[str]) -> dict[str, Any]:
    """A chart for each transform, and a table of every strength; `order` is the ranking."""
    table = evidence.cells("robustness.csv")
    clean = table[table["transform"] == CLEAN].set_index(["variant", "seed"])["top1"]
    table = table[table["transform"] != CLEAN]
    table = table.assign(drop=table["top1"] - clean.loc[list(zip(table["variant"], table["seed"]))].to_numpy())  # noqa: B905
    transforms = list(dict.fromkeys(table["transform"]))
    settings = [key for name in transforms for key in _settings(table, name)]
    by_setting: Any = table.groupby(["transform", "strength", "variant"], sort=False)
    means, drops, sds = by_setting["top1"].mean(), by_setting["drop"].mean(), by_setting["drop"].std(ddof=1)
    changed: Any = table.groupby(["transform", "strength"])["changed"].min()
    rows = [
        {
            "transform": transform.replace("_", " "),
            "strength": f"{strength:g}",
            "changed": f"{100 * changed[transform, strength]:.0f}",
            "cells": [
                {
                    "value": number(means[transform, strength, v], METRIC),
                    "drop": plus_minus(drops[transform, strength, v], sds[transform, strength, v], METRIC),
                    "share": round(float(means[transform, strength, v]), 3),
                }
                for v in order
            ],
        }
        for transform, strength in settings
    ]
    return {
        "variants": order,
        "images": int(table["n"].iloc[0]) if len(table) else 0,
        "few": len(order) <= LINES,
        "legend": [(variant, f"c{i % len(COLOURS) + 1}") for i, variant in enumerate(order[:LINES])],
        "rows": rows,
        "charts": [_chart(name, table[table["transform"] == name], clean, order, figures) for name in transforms],
    }


def _settings(table: pd.DataFrame, transform: str) -> list[tuple[str, float]]:
    strengths = sorted(set(table[table["transform"] == transform]["strength"]), reverse=transform in ONE_SIDED)
    return [(transform, strength) for strength in strengths]


def _chart(transform: str, table: pd.DataFrame, clean: Any, order: list[str], figures: Figures) -> Figure:
    canvas = figures.canvas(2.6, 2.1)
    axes = canvas.subplots()
    strengths = [strength for _, strength in _settings(table, transform)]
    names = [f"{s:g}" for s in strengths]
    if transform in ONE_SIDED:
        names.insert(0, "clean")
    lowest = []
    for rank, variant in reversed(list(enumerate(order))):
        cells = table[table["variant"] == variant].pivot_table(index="strength", columns="seed", values="top1")
        values = [cells.loc[s].to_numpy() for s in strengths]
        if transform in ONE_SIDED:
            values.insert(0, clean.loc[variant].to_numpy())
        mean = [100 * v.mean() for v in values]
        sd = [100 * v.std(ddof=1) if len(v) > 1 else 0 for v in values]
        bright = rank < LINES if len(order) <= LINES else rank == 0
        colour = COLOURS[rank % len(COLOURS)] if bright else GRID
        axes.errorbar(
            range(len(mean)),
            mean,
            yerr=sd if bright else None,
            color=colour,
            lw=1.2,
            marker="o",
            ms=2.5,
            elinewidth=0.8,
        )
        lowest.append(min(mean) / 100)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 102)
    axes.set_title(transform.replace("_", " "))
    axes.set_ylabel("test top-1 %", color=MUTED)
    alt = (
        f"Test top-1 under {transform.replace('_', ' ')} at {', '.join(names)}: the lowest mean of a variant is "
        f"{number(min(lowest), METRIC)} %, the lowest of {order[0]} {number(lowest[-1], METRIC)} %."
    )
    return figures.add(f"robustness_{transform}", canvas, alt)
