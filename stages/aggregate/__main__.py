"""`python -m stages.aggregate`: from results/ to the tables in reports/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.aggregate import agreement, collect, compare, fit, summary, suspects
from stages.aggregate.params import Aggregate
from stages.core import cells, console, errors, files, params

REPORTS = Path("reports")


def main() -> None:
    """Sum up and compare all cells of the study."""
    study = params.read()
    settings = params.section(Aggregate, study.raw["aggregate"], "aggregate")
    for folder in cells.prune(study.cells):
        console.say(f"removed {folder}: its cell is no longer in params.yaml")
    found = collect.read(study.cells)
    names = list(study.variants)
    rows = summary.summary(found, settings.alpha)
    right = collect.correct(found)
    draws = compare.bootstrap(right, settings.bootstrap)
    pairs = compare.compare(right, names, draws, settings.alpha)
    tables: dict[str, tuple[list[str], list[dict[str, Any]]]] = {
        "runs": (["variant", "seed", "split", "metric", "value"], summary.runs(found)),
        "summary": (["variant", "split", "metric", "n", "mean", "sd", "ci_low", "ci_high"], rows),
        "comparisons": (compare.COLUMNS, pairs),
        "intervals": (compare.INTERVALS, compare.accuracies(draws, right, names, settings.alpha)),
        "curves": (["variant", "seed", "epoch", "split", "loss", "top1"], summary.curves(found)),
        "fit": (fit.COLUMNS, fit.verdicts(found, settings.fit)),
        "suspects": (suspects.COLUMNS, suspects.suspects(found, settings.suspects)),
        "agreement": (agreement.COLUMNS, agreement.agreement(found)),
    }
    for name, (columns, table) in tables.items():
        files.write_rows(REPORTS / f"{name}.csv", columns, table)
    files.write_json(REPORTS / "metrics.json", summary.selection(rows))


if __name__ == "__main__":
    errors.run(main)
