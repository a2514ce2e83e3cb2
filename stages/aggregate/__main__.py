"""`python -m stages.aggregate`: from results/ to the tables in reports/."""

from __future__ import annotations

from pathlib import Path

from stages.aggregate import collect, compare, summary
from stages.aggregate.params import Aggregate
from stages.core import cells, console, errors, files, params

REPORTS = Path("reports")
INTERVAL = ["n", "mean", "sd", "ci_low", "ci_high"]
COMPARISON = ["variant_a", "variant_b", "difference", "ci_low", "ci_high", "p", "p_holm", "effect_size"]
COMPARISON += ["image_ci_low", "image_ci_high", "covers", "verdict", "images_needed", "seeds_needed"]


def main() -> None:
    """Sum up and compare all cells of the study."""
    study = params.read()
    settings = params.section(Aggregate, study.raw["aggregate"], "aggregate")
    for folder in cells.prune(study.cells):
        console.say(f"removed {folder}: its cell is no longer in params.yaml")
    found = collect.read(study.cells)
    rows = summary.summary(found, settings.alpha)
    pairs = compare.compare(
        collect.correct(found), list(study.variants), alpha=settings.alpha, samples=settings.bootstrap
    )
    files.write_rows(REPORTS / "runs.csv", ["variant", "seed", "split", "metric", "value"], summary.runs(found))
    files.write_rows(REPORTS / "summary.csv", ["variant", "split", "metric", *INTERVAL], rows)
    files.write_rows(REPORTS / "comparisons.csv", COMPARISON, pairs)
    files.write_rows(
        REPORTS / "curves.csv", ["variant", "seed", "epoch", "split", "loss", "top1"], summary.curves(found)
    )
    files.write_json(REPORTS / "metrics.json", summary.selection(rows))


if __name__ == "__main__":
    errors.run(main)
