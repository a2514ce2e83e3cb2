"""How the variants were trained: their settings, sweeps over one setting, learning curves."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.report.evidence import REPORTS
from stages.report.figures import COLOURS, MUTED, TRAIN, VAL
from stages.report.page import Section
from stages.report.ranking import METRIC
from stages.report.wording import MISSING, names, number, short

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures

CURVES_NOTE = (
    "One line per seed; training solid, validation dashed. Training values are measured during training, with "
    "augmentation and dropout if the variant uses them."
)
ROOM = 56  # letters below a chart, side by side


def resolved(evidence: StudyEvidence) -> dict[str, dict[str, Any]]:
    """Variant -> `optimizer.name`, `epochs`, ... as train used them; lists stay whole."""
    return {variant: dict(flat(cell)) for variant, cell in evidence.recipes.items()}


def varied(settings: dict[str, dict[str, Any]]) -> list[str]:
    """Keys whose value is not the same for all variants, in the order of first use."""
    return [key for key in keys(settings) if len({text(values.get(key)) for values in settings.values()}) > 1]


def keys(settings: dict[str, dict[str, Any]]) -> list[str]:
    """Every key of any variant, in the order of first use."""
    return list(dict.fromkeys(key for values in settings.values() for key in values))


def text(value: Any) -> str:
    """A setting as it would stand in params.yaml, on one line."""
    return MISSING if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings by their dotted keys."""
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def sweeps(evidence: StudyEvidence, figures: Figures) -> dict[str, Any] | None:
    """A table and a chart for each sweep; None where no two variants differ in one setting alone."""
    settings = resolved(evidence)
    found = [
        _sweep(evidence, key, [(settings[v].get(key), v) for v in members], figures, f"sweep_{number}")
        for number, (key, members) in enumerate(groups(settings), 1)
    ]
    if not found:
        return None
    return {
        "sweeps": found,
        "note": _sweep_note(evidence, " (★)", "Small print: the"),
        "text_note": _sweep_note(evidence),
    }


def _sweep_note(evidence: StudyEvidence, star: str = "", where: str = "`reports/summary.csv` has the") -> str:
    """What the page shows as a star and small print, the text leaves to the chart and to the file."""
    text = (
        "The variants of a sweep differ in exactly one setting. The value is chosen on the validation set, and the "
        f"test result is shown here only for the chosen value{star}; the table of results has all."
    )
    if len(evidence.study.seeds) == 1:
        return f"{text} One seed shows nothing about the variation between seeds, so another may choose another value."
    which = " and splits" if evidence.several else " on this validation set"
    return (
        f"{text} {where} {evidence.confidence} t-interval over seeds{which}; it does not account for "
        "picking the best value."
    )


def groups(settings: dict[str, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """(key, variants) where the variants agree in all but `key`; in the order of params.yaml."""
    found = []
    for key in varied(settings):
        alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for variant, values in settings.items():
            if key in values:
                rest = tuple(sorted((k, text(v)) for k, v in values.items() if k != key))
                alike.setdefault(rest, []).append(variant)
        found += [(key, members) for members in alike.values() if len(members) > 1]
    return found


def _sweep(
    evidence: StudyEvidence, key: str, members: list[tuple[Any, str]], figures: Figures, name: str
) -> dict[str, Any]:
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in members)
    members = sorted(members, key=lambda m: m[0]) if numeric else members
    means = {v: evidence.summary[v, "val", METRIC].mean for _, v in members}
    best = max(means.values())
    tied = [v for v, mean in means.items() if math.isclose(mean, best, rel_tol=0, abs_tol=1e-9)]
    chosen, cells = tied[0], {v: evidence.shown(v, "val", METRIC) for v in means}
    rows = [
        {
            "variant": v,
            "value": text(value),
            "val": cells[v]["value"],
            "interval": cells[v]["interval"],
            "chosen": v == chosen,
        }
        for value, v in members
    ]
    return {
        "key": key,
        "rows": rows,
        "said": (
            f"{_choice(tied, number(best, METRIC, evidence.digits))}; its test top-1 is "
            f"{evidence.shown(chosen, 'test', METRIC)['value']} %"
        ),
        "figure": _chart(evidence, key, members, figures, name, numeric=numeric),
    }


def _choice(tied: list[str], best: str) -> str:
    """Which variant the validation set chooses, or that it does not tell some apart."""
    if len(tied) == 1:
        return f"validation chooses {tied[0]}"
    return f"validation does not tell {names(tied)} apart ({best} %); the first is shown"


def _chart(
    evidence: StudyEvidence, key: str, members: list[tuple[Any, str]], figures: Figures, name: str, *, numeric: bool
) -> Figure:
    values = [value for value, _ in members]
    wide = numeric and min(values) > 0 and max(values) / min(values) >= 8
    places = values if numeric else list(range(len(values)))
    runs = evidence.runs.query("split == 'val' and metric == @METRIC")
    labels = [text(value) for value in values]
    shown = [short(label, 14) for label in labels]
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
    alt = f"Validation top-1 against {key} at {', '.join(labels)}: mean (square) and seeds (circles)."
    return figures.add(name, canvas, alt)


def curves(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """One figure a variant, all on the same scale of top-1."""
    verdicts = {row["variant"]: row for row in files.read_rows(REPORTS / "fit.csv")}
    return {
        "note": CURVES_NOTE,
        "variants": [
            {
                "name": variant,
                "verdict": verdicts[variant]["verdict"],
                "rule": verdicts[variant]["rule"],
                "figure": _curves(evidence, variant, figures),
            }
            for variant in evidence.variants
        ],
    }


def _curves(evidence: StudyEvidence, variant: str, figures: Figures) -> Figure | None:
    """None where nothing was trained (the class prior has no epochs)."""
    own = evidence.curves[evidence.curves["variant"] == variant]
    if own.empty:
        return None
    canvas = figures.canvas(4.6, 2.1)
    panels = canvas.subplots(1, 2)
    for axes, column, factor in zip(panels, ("loss", "top1"), (1, 100), strict=True):
        for split, colour, style in (("train", TRAIN, "-"), ("val", VAL, "--")):
            label = "validation" if split == "val" else split
            for _, cell in own[own["split"] == split].groupby("seed", sort=True):
                marker = "o" if len(cell) == 1 else None
                line = {"color": colour, "lw": 1.1, "alpha": 0.85, "label": label, "marker": marker, "ms": 3}
                axes.plot(cell["epoch"], factor * cell[column], style, **line)
                label = "_nolegend_"
        axes.set_title("loss" if column == "loss" else "top-1 %")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if own["epoch"].max() == 1:
            axes.set_xticks([1])
    panels[1].set_ylim(10 * math.floor(10 * evidence.curves["top1"].min()), 102)
    if own["loss"].min() >= 0:
        panels[0].set_ylim(bottom=0)
    panels[0].legend(fontsize=8, loc="best")
    last = own.loc[own.groupby(["seed", "split"])["epoch"].idxmax()].groupby("split")["top1"].mean()
    ends = ", ".join(
        f"{name} {100 * last[split]:.1f} %"
        for split, name in (("train", "train"), ("val", "validation"))
        if split in last
    )
    alt = f"Learning curves of {variant}: loss and top-1 by epoch, one line per seed; at the end {ends}."
    return figures.add(f"curves_{variant}", canvas, alt)


SWEEPS = Section("sweeps", "Sweeps", sweeps)
CURVES = Section("curves", "Learning curves", curves)
