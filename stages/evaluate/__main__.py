"""`python -m stages.evaluate --variant NAME --seed NUMBER`: write results/<variant>/<seed>/evaluate."""

from __future__ import annotations

from stages.core import cells, errors, files, params
from stages.evaluate import rerun, tables
from stages.evaluate.cell import read
from stages.evaluate.params import Evaluate
from stages.train import machine
from stages.train.params import Cell


def main() -> None:
    """Evaluate one cell."""
    study = params.read()
    variant, seed = cells.asked_for(study, "stages.evaluate")
    settings = params.section(Evaluate, study.raw["evaluate"], "evaluate")
    cell = read(variant, seed)
    machine.prepare(Cell.model_validate(cell.config["cell"]))  # before anything is computed: it decides about bits
    with files.fresh_folder(cells.evaluate_folder(variant, seed)) as folder:
        tables.write(cell, settings, folder)
        rerun.write(cell, settings, folder)


if __name__ == "__main__":
    errors.run(main)
