"""`python -m stages.aggregate`: from results/ to the tables in reports/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.aggregate import collect, compare, fit, images, resampled, single, summary
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
    tested = collect.tested(found, settings.compare)
    rows = summary.summary(found, tested, settings.alpha)
    tables: dict[str, tuple[list[str], _Rows]] = {
        "runs": (["variant", "seed", "split", "metric", "value"], summary.runs(found)),
        "summary": (["variant", "split", "metric", "n", "mean", "sd", "ci_low", "ci_high"], rows),
        "comparisons": (compare.COLUMNS, _compare(tested, names, settings)),
        "intervals": (single.COLUMNS, single.rows(tested, names, settings.compare, settings.alpha)),
        "variance": (summary.VARIANCE, summary.variance(found, collect.splits(), settings.alpha)),
        "curves": (["variant", "seed", "epoch", "split", "loss", "top1"], summary.curves(found)),
        "fit": (fit.COLUMNS, fit.verdicts(found, settings.fit, settings.alpha, tested)),
        "suspects": (images.SUSPECTS, images.suspects(found, settings.suspects)),
        "agreement": (images.AGREEMENT, images.agreement(found)),
    }
    for name, (columns, table) in tables.items():
        files.write_rows(REPORTS / f"{name}.csv", columns, table)
    files.write_json(REPORTS / "metrics.json", summary.selection(rows))


def _compare(tested: list[collect.Tested], names: list[str], settings: Aggregate) -> _Rows:
    """The rows of comparisons.csv."""
    if len(names) == 1:
        return []
    if len(tested) == 1:
        known = compare.one_split(tested[0].blocks, tested[0].predicted, settings, tested[0].group_sizes)
    else:
        known = resampled.several_splits(tested, settings)
    return compare.rows(known, names, settings)


if __name__ == "__main__":
    errors.run(main)
