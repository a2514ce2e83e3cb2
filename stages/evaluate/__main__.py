"""`python -m stages.evaluate --variant NAME --seed NUMBER`: write results/<variant>/<seed>/evaluate."""

from __future__ import annotations

import argparse

from stages.core import cells, errors, files, params
from stages.evaluate import cell as cells_read
from stages.evaluate import rerun, samples, tables
from stages.evaluate.params import Evaluate
from stages.train import machine
from stages.train.params import Cell


def main() -> None:
    """Evaluate one cell."""
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate", description=__doc__)
    parser.add_argument("--variant", required=True, help="a key of `variants` in params.yaml")
    parser.add_argument("--seed", required=True, type=int, help="one of `seeds` in params.yaml")
    arguments = parser.parse_args()
    study = params.read()
    settings = params.section(Evaluate, study.raw["evaluate"], "evaluate")
    cell = cells_read.read(arguments.variant, arguments.seed)
    machine.prepare(Cell.model_validate(cell.config["cell"]))  # before anything is computed: it decides about bits
    with files.fresh_folder(cells.evaluate_folder(arguments.variant, arguments.seed)) as folder:
        tables.write(cell, settings, folder)
        samples.write(cell, settings.samples, folder)
        rerun.write(cell, settings, folder)


if __name__ == "__main__":
    errors.run(main)
