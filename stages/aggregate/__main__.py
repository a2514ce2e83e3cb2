"""`python -m stages.aggregate`: from results/ to the tables in reports/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.aggregate import agreement, collect, compare, fit, resampled, summary, suspects, variance
from stages.aggregate.params import Aggregate
from stages.core import cells, console, errors, files, params

REPORTS = Path("reports")
_Rows = list[dict[str, Any]]


def main() -> None:
    """Sum up and compare all cells of the study."""
    study = params.read()
    settings = params.section(Aggregate, study.raw["aggregate"], "aggregate")
    for folder in cells.prune(study.cells):
        console.say(f"removed {folder}: its cell is no longer in params.yaml")
    found = collect.read(study.cells)
    names = list(study.variants)
    tested = collect.tested(found)
    rows = summary.summary(found, tested, settings.alpha)
    pairs, intervals = _compare(tested, names, settings)
    tables: dict[str, tuple[list[str], _Rows]] = {
        "runs": (["variant", "seed", "split", "metric", "value"], summary.runs(found)),
        "summary": (["variant", "split", "metric", "n", "mean", "sd", "ci_low", "ci_high"], rows),
        "comparisons": (compare.COLUMNS, pairs),
        "intervals": (compare.INTERVALS, intervals),
        "variance": (variance.COLUMNS, variance.variance(found, collect.splits(), settings.alpha)),
        "curves": (["variant", "seed", "epoch", "split", "loss", "top1"], summary.curves(found)),
        "fit": (fit.COLUMNS, fit.verdicts(found, settings.fit)),
        "suspects": (suspects.COLUMNS, suspects.suspects(found, settings.suspects)),
        "agreement": (agreement.COLUMNS, agreement.agreement(found)),
    }
    for name, (columns, table) in tables.items():
        files.write_rows(REPORTS / f"{name}.csv", columns, table)
    files.write_json(REPORTS / "metrics.json", summary.selection(rows))


def _compare(tested: list[collect.Tested], names: list[str], settings: Aggregate) -> tuple[_Rows, _Rows]:
    """The rows of comparisons.csv and intervals.csv."""
    images = len({image for one in tested for image in one.images})
    if len(tested) == 1:
        right = tested[0].right
        draws, means = compare.bootstrap(right, settings.bootstrap), right.mean(axis=(1, 2))
        pairs = compare.compare(right, names, draws, settings.alpha)
    else:
        draws, means = resampled.bootstrap(tested, settings.bootstrap), resampled.means(tested)
        pairs = resampled.compared(tested, names, draws, settings.alpha)
    return pairs, compare.accuracies(draws, means, images, names, settings.alpha)


if __name__ == "__main__":
    errors.run(main)
