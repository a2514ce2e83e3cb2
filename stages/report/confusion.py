"""Confusion matrices on the test set: numbers where they can be read, a picture and the pairs where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.report.figures import INK, SURFACE

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

    Counts = NDArray[np.int64]


def build(evidence: Evidence, figures: Figures) -> dict[str, Any]:
    """One matrix a variant, summed over seeds, and the most confused pairs; `link` leads from them to pictures."""
    table = evidence.cells("confusion.csv")
    table = table[table["split"] == "test"]
    small = len(evidence.classes) <= evidence.settings.matrix_classes
    variants = []
    for variant in evidence.variants:
        counts = _matrix(table[table["variant"] == variant], evidence.classes)
        variants.append({
            "name": variant,
            "rows": _rows(counts, evidence.classes) if small else [],
            "figure": _figure(variant, counts, evidence.classes, figures, numbers=small),
            "pairs": _pairs(counts, evidence),
        })  # fmt: skip
    upright = max(map(len, evidence.classes)) <= 3
    return {"classes": evidence.classes, "small": small, "upright": upright, "variants": variants}


def pairs(found: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Variant -> (label, predicted) of its most confused pairs."""
    return {one["name"]: [(pair["label"], pair["predicted"]) for pair in one["pairs"]] for one in found["variants"]}


def link(found: dict[str, Any], anchors: dict[tuple[str, str, str], str]) -> None:
    """Set the id of a picture on the page for every pair that has one; by (variant, label, predicted)."""
    for one in found["variants"]:
        for pair in one["pairs"]:
            pair["anchor"] = anchors.get((one["name"], pair["label"], pair["predicted"]))


def _matrix(table: pd.DataFrame, classes: list[str]) -> Counts:
    """Counts, rows true and columns predicted, in class order."""
    index = {label: i for i, label in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(
        counts,
        (table["label"].map(index).to_numpy(), table["predicted"].map(index).to_numpy()),
        table["count"].to_numpy(),
    )
    return counts


def _rows(counts: Counts, classes: list[str]) -> list[dict[str, Any]]:
    share = _shares(counts)
    return [
        {
            "label": label,
            "cells": [
                {
                    "count": int(counts[i, j]),
                    "share": round(float(share[i, j]), 3),
                    "percent": f"{100 * share[i, j]:.0f}" if share[i, j] >= 0.005 else "<1",
                }
                for j in range(len(classes))
            ],
            "total": int(counts[i].sum()),
        }
        for i, label in enumerate(classes)
    ]


def _shares(counts: Counts) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _pairs(counts: Counts, evidence: Evidence) -> list[dict[str, Any]]:
    """True and predicted label of the commonest errors, ties in class order."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    share = _shares(counts)
    found = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[: evidence.settings.pairs]:
        i, j = divmod(int(place), len(evidence.classes))
        if wrong[i, j]:
            label, predicted = evidence.classes[i], evidence.classes[j]
            pair = {"label": label, "predicted": predicted, "anchor": None}
            found.append(pair | {"count": int(wrong[i, j]), "share": f"{100 * share[i, j]:.1f}"})
    return found


def _figure(variant: str, counts: Counts, classes: list[str], figures: Figures, *, numbers: bool) -> Figure:
    share = 100 * _shares(counts)
    side = min(4.6, 1.8 + 0.34 * len(classes)) if numbers else 4.4
    canvas = figures.canvas(side + 0.4, side)
    axes = canvas.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.grid(visible=False)
    if numbers:
        names = [label if len(label) <= 16 else f"{label[:15]}…" for label in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axes.set_yticks(range(len(classes)), names)
        for (i, j), value in np.ndenumerate(share):
            if counts[i, j]:
                axes.text(
                    j, i, f"{value:.0f}", ha="center", va="center", fontsize=7, color=SURFACE if value > 55 else INK
                )
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if numbers:
        axes.set_title("% of the true class", fontweight="normal", fontsize=8)
    else:
        canvas.colorbar(image, ax=axes, shrink=0.6, label="% of the true class")
    diagonal = float(np.trace(counts) / max(counts.sum(), 1))
    alt = (
        f"Confusion matrix of {variant} on the test set, {len(classes)} classes, rows true, columns predicted; "
        f"{100 * diagonal:.1f} % on the diagonal."
    )
    return figures.add(f"confusion_{variant}", canvas, alt, page=not numbers)
