"""What accuracy costs: parameters, multiply-accumulates and bytes. Seconds vary from run to run; see `timings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import LogLocator, NullLocator

from stages.core import files
from stages.core.cells import evaluate_folder
from stages.report.figures import COLOURS, INK, MUTED
from stages.report.page import PaperTable, Section
from stages.report.ranking import METRIC, ranking, test_means
from stages.report.wording import number, size

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures

NOTE = (
    "★ marks the Pareto front of mean test top-1 and multiply-accumulates. The front compares the means alone, "
    "whether or not a difference is more than chance explains."
)
LABELLED = 10  # more names than these run into each other; then only the front is named


def build(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """A row for each variant, best first, and the picture of accuracy against cost."""
    means, costs = test_means(evidence), read(evidence)
    order = ranking(evidence).order
    macs = {variant: int(costs[variant]["macs"]) for variant in order}
    best = front(macs, means)
    rows = [
        {
            "variant": variant,
            "top1": number(means[variant], METRIC, evidence.digits),
            "total": f"{costs[variant]['params_total']:,}",
            "trainable": f"{costs[variant]['params_trainable']:,}",
            "macs": size(macs[variant]),
            "bytes": size(costs[variant]["bytes"], "B"),
            "front": variant in best,
        }
        for variant in order
    ]
    return {"rows": rows, "note": NOTE, "figure": _figure(costs, means, best, figures)}


def read(evidence: StudyEvidence) -> dict[str, dict[str, Any]]:
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


def _figure(costs: dict[str, dict[str, Any]], means: dict[str, float], best: list[str], figures: Figures) -> Figure:
    canvas = figures.canvas(4.6, 3.2)
    bubbles(
        canvas.subplots(), {v: float(c["macs"]) for v, c in costs.items()}, means,
        {v: int(c["params_total"]) for v, c in costs.items()}, best, "multiply-accumulates per image",
    )  # fmt: skip
    alt = (
        "Test top-1 against multiply-accumulates per image, circle area by number of parameters; on the "
        f"Pareto front: {', '.join(best)}."
    )
    return figures.add("cost", canvas, alt)


def bubbles(
    axes: Any, cost: dict[str, float], worth: dict[str, float], params: dict[str, int], best: list[str], label: str
) -> None:
    """Accuracy against a cost on a log scale, area by parameters; what costs nothing (a class prior) is left out."""
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


def _tables(context: dict[str, Any]) -> list[PaperTable]:
    columns = {
        "Variant": "variant", "Test top-1 %": "top1", "Parameters": "total", "Trainable": "trainable", "MACs": "macs",
        "Weights": "bytes",
    }  # fmt: skip
    return [PaperTable.of("cost", context["cost"]["rows"], columns, "What the variants cost.")]


SECTION = Section("cost", "Cost", build, _tables)
