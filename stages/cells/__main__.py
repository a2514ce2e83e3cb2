"""`python -m stages.cells`."""

from __future__ import annotations

from stages.cells import prune
from stages.cells.check import check
from stages.core import console, errors, files, params


def main() -> None:
    """Validate params.yaml, write results/cells.csv, prune."""
    study = params.read()
    check(study)
    for folder in prune(study.cells):
        console.say(f"removed {folder}: its cell is no longer in params.yaml")
    files.write_rows("results/cells.csv", ["variant", "seed"], [{"variant": v, "seed": s} for v, s in study.cells])


if __name__ == "__main__":
    errors.run(main)
