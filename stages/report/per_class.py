"""Precision, recall and F1 of every class on the test set, mean over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report.wording import plus_minus

if TYPE_CHECKING:
    from stages.report.evidence import Evidence

METRICS = ("precision", "recall", "f1")


def build(evidence: Evidence) -> dict[str, Any]:
    """One table a variant, and one of F1 over variants."""
    table = evidence.cells("per_class.csv")
    test = table[table["split"] == "test"]
    grouped = test.groupby(["variant", "label"], sort=False)[list(METRICS)]
    mean: Any = grouped.mean()
    sd: Any = grouped.std(ddof=1)
    support: Any = test.groupby("label")["support"].first()
    variants = []
    for variant in evidence.variants:
        rows = [
            {
                "label": label,
                "support": int(support[label]),
                "cells": [plus_minus(mean.loc[(variant, label), m], sd.loc[(variant, label), m], m) for m in METRICS],
            }
            for label in evidence.classes
        ]
        variants.append({"name": variant, "rows": rows})
    return {"variants": variants, "hardest": _hardest(mean["f1"], evidence)}


def _hardest(f1: Any, evidence: Evidence) -> list[dict[str, Any]]:
    """Classes by their mean F1 over all variants, hardest first."""
    wide = f1.unstack("variant").reindex(index=evidence.classes, columns=evidence.variants)
    order = wide.mean(axis=1).sort_values(kind="stable").index
    return [
        {
            "label": label,
            "cells": [{"value": plus_minus(v, None, "f1"), "share": round(float(v), 3)} for v in wide.loc[label]],
        }
        for label in order
    ]
