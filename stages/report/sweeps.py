"""Sweeps: variants that differ in one setting alone, compared by what validation says of them.

The value is chosen on the validation set; the test figure is shown for the chosen one only, so that the test set is not
what chooses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report import settings as knobs
from stages.report.figures import COLOURS, MUTED
from stages.report.ranking import METRIC
from stages.report.wording import interval, plus_minus, within

if TYPE_CHECKING:
    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

ROOM = 56  # letters below a chart, side by side


def build(evidence: Evidence, figures: Figures, digits: int) -> dict[str, Any] | None:
    """A table and a chart for each sweep; None where no two variants differ in one setting alone."""
    settings = knobs.resolved(evidence)
    found = [
        _sweep(evidence, key, [(settings[v].get(key), v) for v in members], figures, f"sweep_{number}", digits)
        for number, (key, members) in enumerate(groups(settings), 1)
    ]
    return {"sweeps": found} if found else None


def groups(settings: dict[str, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """(key, variants) where the variants agree in all but `key`; in the order of params.yaml."""
    found = []
    for key in knobs.varied(settings):
        alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for variant, values in settings.items():
            if key in values:
                rest = tuple(sorted((k, knobs.text(v)) for k, v in values.items() if k != key))
                alike.setdefault(rest, []).append(variant)
        found += [(key, members) for members in alike.values() if len(members) > 1]
    return found


def _sweep(
    evidence: Evidence, key: str, members: list[tuple[Any, str]], figures: Figures, name: str, digits: int
) -> dict[str, Any]:
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in members)
    members = sorted(members, key=lambda m: m[0]) if numeric else members
    val = {v: evidence.summary[v, "val", METRIC] for _, v in members}
    chosen = max(members, key=lambda m: val[m[1]].mean)[1]
    rows = [
        {
            "variant": v,
            "value": knobs.text(value),
            "val": plus_minus(val[v].mean, val[v].sd, METRIC, digits),
            "interval": interval(*within(val[v].low, val[v].high, METRIC), METRIC, digits),
            "chosen": v == chosen,
        }
        for value, v in members
    ]
    test = evidence.summary[chosen, "test", METRIC]
    return {
        "key": key,
        "rows": rows,
        "chosen": chosen,
        "test": plus_minus(test.mean, test.sd, METRIC, digits),
        "figure": _chart(evidence, key, members, figures, name, numeric=numeric),
    }


def _chart(
    evidence: Evidence, key: str, members: list[tuple[Any, str]], figures: Figures, name: str, *, numeric: bool
) -> Figure:
    values = [value for value, _ in members]
    wide = numeric and min(values) > 0 and max(values) / min(values) >= 8
    places = values if numeric else list(range(len(values)))
    runs = evidence.runs.query("split == 'val' and metric == @METRIC")
    labels = [knobs.text(value) for value in values]
    shown = [label if len(label) <= 14 else f"{label[:13]}…" for label in labels]
    turned = sum(len(label) + 2 for label in shown) > ROOM
    canvas = figures.canvas(4.6, 3.0 if turned else 2.4)
    axes = canvas.subplots()
    for place, (_, variant) in zip(places, members, strict=True):
        seeds = 100 * runs[runs["variant"] == variant]["value"].to_numpy()
        axes.plot([place] * len(seeds), seeds, "o", color=COLOURS[1], ms=4, mfc="none", mew=1)
    means = [100 * evidence.summary[variant, "val", METRIC].mean for _, variant in members]
    axes.plot(places, means, "s-" if numeric else "s", color=COLOURS[0], ms=5, lw=1.2)
    if wide:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(places, shown, rotation=90 if turned else 0)
    axes.set_xlabel(key, color=MUTED)
    axes.set_ylabel("validation top-1 %", color=MUTED)
    return figures.add(
        name, canvas, f"Validation top-1 against {key} at {', '.join(labels)}: mean (square) and seeds (circles)."
    )
