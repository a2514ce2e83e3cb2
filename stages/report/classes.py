"""Confusions between the classes, and precision, recall and F1 of each class, on the test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.report.figures import INK, SURFACE
from stages.report.page import PaperTable, Section, number, plural, short, spread_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures

    Counts = NDArray[np.int64]

METRICS = ("precision", "recall", "f1")
SHOWN = 60  # hardest classes in the table of all variants


def confusion(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """One matrix for each variant, summed over seeds, and the pairs of classes that it confuses most."""
    small = len(evidence.classes) <= evidence.settings.matrix_classes
    variants = [
        {
            "name": variant,
            "rows": _rows(counts, evidence.classes) if small else [],
            "figure": _figure(variant, counts, evidence.classes, figures, numbers=small),
            "pairs": _pairs(counts, evidence, evidence.settings.pairs),
        }
        for variant, counts in _matrices(evidence).items()
    ]
    upright = max(map(len, evidence.classes)) <= 3
    seeds = plural(len(evidence.study.seeds), "seed")
    return {
        "classes": evidence.classes,
        "small": small,
        "upright": upright,
        "variants": variants,
        "note": f"Test set, counts summed over {seeds}. Rows are the true class, columns the predicted class.",
    }


def confused(evidence: StudyEvidence, most: int | None = None) -> dict[str, list[tuple[str, str]]]:
    """Variant -> (label, predicted) of its most frequent confusions, the most frequent first; at most `most`."""
    most = most or evidence.settings.pairs
    return {
        variant: [(pair["label"], pair["predicted"]) for pair in _pairs(counts, evidence, most)]
        for variant, counts in _matrices(evidence).items()
    }


def _matrices(evidence: StudyEvidence) -> dict[str, Counts]:
    """Variant -> test images by true class (rows) and predicted class (columns), in class order, over all seeds."""
    table = evidence.cells("confusion.csv")
    table = table[table["split"] == "test"]
    place = {label: i for i, label in enumerate(evidence.classes)}
    found = {}
    for variant in evidence.variants:
        own = table[table["variant"] == variant]
        found[variant] = np.zeros((len(place), len(place)), dtype=np.int64)
        np.add.at(found[variant], (own["label"].map(place), own["predicted"].map(place)), own["count"])
    return found


def _rows(counts: Counts, classes: list[str]) -> list[dict[str, Any]]:
    def cell(count: int, share: float) -> dict[str, Any]:
        return {"count": count, "share": round(share, 3), "percent": f"{100 * share:.0f}" if share >= 0.005 else "<1"}

    rows = zip(classes, counts.tolist(), _shares(counts).tolist(), strict=True)
    return [{"label": label, "cells": list(map(cell, row, shares))} for label, row, shares in rows]


def _shares(counts: Counts) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _pairs(counts: Counts, evidence: StudyEvidence, most: int) -> list[dict[str, Any]]:
    """The most frequent confusions with their counts; equally frequent ones are in class order."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    share = _shares(counts)
    found = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:most]:
        i, j = divmod(int(place), len(evidence.classes))
        if wrong[i, j]:
            label, predicted = evidence.classes[i], evidence.classes[j]
            pair = {"label": label, "predicted": predicted}
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
        names = [short(label, 16) for label in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axes.set_yticks(range(len(classes)), names)
        for (i, j), value in np.ndenumerate(share):
            if counts[i, j]:
                axes.text(
                    j, i, f"{value:.0f}", ha="center", va="center", fontsize=7, color=SURFACE if value > 55 else INK
                )
    else:
        axes.set(xticks=[], yticks=[])
    axes.set(xlabel="predicted", ylabel="true")
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


def per_class(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """A table for each variant, and one with the F1 of all variants."""
    table = evidence.cells("per_class.csv")
    table = table[table["split"] == "test"]
    shape = (len(evidence.variants), len(evidence.study.seeds), len(evidence.classes))
    values = {
        m: table[m].to_numpy(dtype=float).reshape(shape) for m in METRICS
    }  # the rows are ordered by variant, seed and class
    support = (
        table["support"].to_numpy(dtype=int).reshape(shape)[0]
    )  # (seeds, classes): seeds may have splits of their own
    variants = [
        {
            "name": variant,
            "rows": [
                {
                    "label": label,
                    "support": _support(support[:, c]),
                    "cells": [spread_of(values[m][v, :, c], m) for m in METRICS],
                }
                for c, label in enumerate(evidence.classes)
            ],
        }
        for v, variant in enumerate(evidence.variants)
    ]
    f1 = values["f1"].mean(axis=1)
    hardest = [
        {
            "label": evidence.classes[c],
            "cells": [{"value": number(float(x), "f1"), "share": round(float(x), 3)} for x in f1[:, c]],
        }
        for c in np.argsort(f1.mean(axis=0), kind="stable")
    ]
    return {"variants": variants, "hardest": hardest[:SHOWN], "classes": len(evidence.classes)}


def _support(seeds: NDArray[np.int64]) -> str:
    """Test images of a class: one number, or the range over splits."""
    low, high = int(seeds.min()), int(seeds.max())
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def _tables(context: dict[str, Any]) -> list[PaperTable]:
    return [
        PaperTable(
            f"classes_{variant['name']}",
            ["Class", "Images", "Precision", "Recall", "F1"],
            [[row["label"], row["support"], *row["cells"]] for row in variant["rows"]],
            f"{variant['name']} on the test set, per class, in percent, {context['spread']}.",
        )
        for variant in context["per_class"]["variants"]
    ]


CONFUSION = Section("confusion", "Confusion", confusion)
PER_CLASS = Section("per_class", "Classes", per_class, _tables)
