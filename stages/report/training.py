"""How the variants were trained and what they cost: settings, sweeps over one setting, learning curves, operations.

Seconds are on a page of their own, since they vary from run to run: `python -m stages.tools.timings`.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import LogLocator, NullLocator

from stages.core import files
from stages.core.cells import evaluate_folder
from stages.report.evidence import REPORTS
from stages.report.figures import COLOURS, INK, MUTED, TRAIN, VAL
from stages.report.page import MISSING, PaperTable, Section, names, number, short, size
from stages.report.ranking import METRIC, ONE_SEED, ranking

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures

CURVES_NOTE = (
    "One line per seed; training solid, validation dashed. Training values are measured during training, with "
    "augmentation and dropout if the variant uses them."
)
COST_NOTE = (
    "★ marks the Pareto front of mean test top-1 and multiply-accumulates. The front compares the means alone, "
    "whether or not a difference is more than chance explains."
)
LABELLED = 10  # more names would overlap; then only the front is named
ROOM = 56  # letters that fit below a chart side by side


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
    """How to read the sweeps. The page has a star and small print; report.md names a file instead."""
    text = (
        "The variants of a sweep differ in exactly one setting. The value is chosen on the validation set, and the "
        f"test result is shown here only for the chosen value{star}; the table of results has all."
    )
    if len(evidence.study.seeds) == 1:
        return f"{text} {ONE_SEED.capitalize()}, so another seed may choose another value."
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
    chosen, choice = tied[0], f"validation chooses {tied[0]}"
    if len(tied) > 1:
        mean = number(best, METRIC, evidence.digits)
        choice = f"validation does not tell {names(tied)} apart ({mean} %); the first is shown"
    return {
        "key": key,
        "rows": [
            {"variant": v, "setting": text(value), "chosen": v == chosen} | evidence.shown(v, "val", METRIC)
            for value, v in members
        ],
        "choice": f"{choice}; its test top-1 is {evidence.shown(chosen, 'test', METRIC)['value']} %",
        "figure": _chart(evidence, key, members, figures, name, numeric=numeric),
    }


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
    """A figure for each variant, all with the same scale of top-1."""
    verdicts = {row["variant"]: row for row in files.read_rows(REPORTS / "fit.csv")}
    return {
        "note": CURVES_NOTE,
        "variants": [
            verdicts[variant] | {"name": variant, "figure": _curves(evidence, variant, figures)}
            for variant in evidence.variants
        ],
    }


def _curves(evidence: StudyEvidence, variant: str, figures: Figures) -> Figure | None:
    """The learning curves of a variant; None for the class prior, which has no epochs."""
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


def cost(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """A row for each variant, best first, and the picture of accuracy against cost."""
    means, found = evidence.test_top1, costs(evidence)
    order = ranking(evidence).order
    macs, params = ({variant: one[key] for variant, one in found.items()} for key in ("macs", "params_total"))
    best = front(macs, means)
    rows = [
        {
            "variant": variant,
            "top1": number(means[variant], METRIC, evidence.digits),
            "total": f"{params[variant]:,}",
            "trainable": f"{found[variant]['params_trainable']:,}",
            "macs": size(macs[variant]),
            "bytes": size(found[variant]["bytes"], "B"),
            "front": variant in best,
        }
        for variant in order
    ]
    canvas = figures.canvas(4.6, 3.2)
    bubbles(canvas.subplots(), macs, means, params, best, "multiply-accumulates per image")
    alt = (
        "Test top-1 against multiply-accumulates per image, circle area by number of parameters; on the "
        f"Pareto front: {', '.join(best)}."
    )
    return {"rows": rows, "note": COST_NOTE, "figure": figures.add("cost", canvas, alt)}


def costs(evidence: StudyEvidence) -> dict[str, dict[str, Any]]:
    """`cost.json` of each variant; all of its seeds are the same network."""
    seed = evidence.study.seeds[0]
    return {v: dict(files.read_json(evaluate_folder(v, seed) / "cost.json")) for v in evidence.variants}


def front(cost: dict[str, int] | dict[str, float], worth: dict[str, float]) -> list[str]:
    """The Pareto front: variants that no other beats or equals at the same cost or less; cheapest first."""
    found: list[str] = []
    for variant in sorted(cost, key=lambda v: (cost[v], -worth[v])):
        if not found or worth[variant] > worth[found[-1]]:
            found.append(variant)
    return found


def bubbles(
    axes: Any, cost: dict[str, float], worth: dict[str, float], params: dict[str, int], best: list[str], label: str
) -> None:
    """Accuracy against a cost on a log scale, circle area by parameters; without class priors, which cost nothing."""
    shown = [variant for variant in cost if cost[variant] > 0]
    largest = max((params[v] for v in shown), default=1) or 1
    for variant in shown:
        area = 20 + 500 * params[variant] / largest
        colour = COLOURS[0] if variant in best else COLOURS[7]
        axes.scatter(cost[variant], 100 * worth[variant], s=area, color=colour, alpha=0.45, lw=0)
        axes.scatter(cost[variant], 100 * worth[variant], s=9, color=colour, lw=0)
        if len(shown) <= LABELLED or variant in best:
            place = (cost[variant], 100 * worth[variant])
            axes.annotate(variant, place, xytext=(4, 5), textcoords="offset points", fontsize=8, color=INK)
    line = [variant for variant in best if variant in shown]
    axes.plot([cost[v] for v in line], [100 * worth[v] for v in line], color=COLOURS[0], lw=1, drawstyle="steps-post")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: size(value))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(0.2, 0.15)
    axes.set_xlabel(label, color=MUTED)
    axes.set_ylabel("test top-1 %", color=MUTED)


def _cost_tables(context: dict[str, Any]) -> list[PaperTable]:
    columns = {
        "Variant": "variant", "Test top-1 %": "top1", "Parameters": "total", "Trainable": "trainable", "MACs": "macs",
        "Weights": "bytes",
    }  # fmt: skip
    return [PaperTable.of("cost", context["cost"]["rows"], columns, "What the variants cost.")]


SWEEPS = Section("sweeps", "Sweeps", sweeps)
CURVES = Section("curves", "Learning curves", curves)
COST = Section("cost", "Cost", cost, _cost_tables)
