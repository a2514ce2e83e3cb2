"""`python -m stages.cells`."""

from __future__ import annotations

from stages.cells.check import check
from stages.core import errors, files, params


def main() -> None:
    """Validate params.yaml, write results/cells.csv."""
    study = params.read()
    check(study)
    files.write_rows("results/cells.csv", ["variant", "seed"], [{"variant": v, "seed": s} for v, s in study.cells])


if __name__ == "__main__":
    errors.run(main)
