"""`python -m stages.train --variant V --seed S`; DVC names the cell in DVC_STAGE."""

from __future__ import annotations

from stages.core import cells, errors, params
from stages.train.params import cell


def main() -> None:
    """Train one cell."""
    study = params.read()
    variant, seed = cells.from_command_line(study, "stages.train")
    settings = cell(study, variant)
    from stages.train.run import run

    run(settings, variant, seed)


if __name__ == "__main__":
    errors.run(main)
