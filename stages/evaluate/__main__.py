"""`python -m stages.evaluate --variant NAME --seed NUMBER`: write results/<variant>/<seed>/evaluate."""

from __future__ import annotations

from stages.core import cells, errors, files, params
from stages.evaluate import cell, network, tables
from stages.evaluate.params import Evaluate
from stages.train import machine
from stages.train.params import Cell


def main() -> None:
    """Evaluate one cell."""
    study = params.read()
    variant, seed = cells.from_command_line(study, "stages.evaluate")
    settings = params.section(Evaluate, study.raw["evaluate"], "evaluate")
    trained = cell.read(variant, seed)
    machine.prepare(Cell.model_validate(trained.config["cell"]))  # before anything is computed: it decides about bits
    with files.fresh_folder(cells.evaluate_folder(variant, seed)) as folder:
        tables.write(trained, settings, folder)
        network.write(trained, settings, folder)


if __name__ == "__main__":
    errors.run(main)
