"""Precision, recall and F1 of every class on the test set, mean over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.report.wording import number, plus_minus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.report.evidence import Evidence

METRICS = ("precision", "recall", "f1")
SHOWN = 60  # hardest classes in the table of all variants


def build(evidence: Evidence) -> dict[str, Any]:
    """One table a variant, and one of F1 over variants."""
    table = evidence.cells("per_class.csv")
    table = table[table["split"] == "test"]
    shape = (len(evidence.variants), len(evidence.study.seeds), len(evidence.classes))
    values = {m: table[m].to_numpy(dtype=float).reshape(shape) for m in METRICS}  # cells and classes come in order
    support = table["support"].to_numpy(dtype=int).reshape(shape)[0]  # (seeds, classes): of their own splits
    variants = [
        {
            "name": variant,
            "rows": [
                {
                    "label": label,
                    "support": _support(support[:, c]),
                    "cells": [_cell(values[m][v, :, c], m) for m in METRICS],
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


def _cell(seeds: NDArray[np.float64], metric: str) -> str:
    return plus_minus(float(seeds.mean()), float(seeds.std(ddof=1)) if len(seeds) > 1 else None, metric)
