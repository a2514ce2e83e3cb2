"""Learning curves of all seeds, train and validation on one axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.report.evidence import REPORTS
from stages.report.figures import TRAIN, VAL

if TYPE_CHECKING:
    from stages.report.evidence import Evidence
from stages.report.figures import Figure, Figures


def build(evidence: Evidence, figures: Figures) -> dict[str, Any]:
    """One figure a variant, all on the same scale of top-1."""
    verdicts = {row["variant"]: row for row in files.read_rows(REPORTS / "fit.csv")}
    return {
        "variants": [
            {
                "name": variant,
                "verdict": verdicts[variant]["verdict"],
                "rule": verdicts[variant]["rule"],
                "figure": _figure(evidence, variant, figures),
            }
            for variant in evidence.variants
        ]
    }


def _figure(evidence: Evidence, variant: str, figures: Figures) -> Figure | None:
    """None where nothing was trained (the class prior has no epochs)."""
    curves = evidence.curves[evidence.curves["variant"] == variant]
    if curves.empty:
        return None
    canvas = figures.canvas(4.6, 2.1)
    panels = canvas.subplots(1, 2)
    for axes, column, factor in zip(panels, ("loss", "top1"), (1, 100), strict=True):
        for split, colour, style in (("train", TRAIN, "-"), ("val", VAL, "--")):
            label = "validation" if split == "val" else split
            for _, cell in curves[curves["split"] == split].groupby("seed", sort=True):
                marker = "o" if len(cell) == 1 else None
                axes.plot(
                    cell["epoch"],
                    factor * cell[column],
                    style,
                    color=colour,
                    lw=1.1,
                    alpha=0.85,
                    label=label,
                    marker=marker,
                    ms=3,
                )
                label = "_nolegend_"
        axes.set_title("loss" if column == "loss" else "top-1 %")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if curves["epoch"].max() == 1:
            axes.set_xticks([1])
    panels[1].set_ylim(10 * math.floor(10 * evidence.curves["top1"].min()), 102)
    if curves["loss"].min() >= 0:
        panels[0].set_ylim(bottom=0)
    panels[0].legend(fontsize=8, loc="best")
    last = curves[curves["epoch"] == curves["epoch"].max()].groupby("split")["top1"].mean()
    ends = ", ".join(
        f"{name} {100 * last[split]:.1f} %"
        for split, name in (("train", "train"), ("val", "validation"))
        if split in last
    )
    return figures.add(
        f"curves_{variant}",
        canvas,
        f"Learning curves of {variant}: loss and top-1 by epoch, one line a seed; at the end {ends}.",
    )
