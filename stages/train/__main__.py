"""`python -m stages.train --variant V --seed S`."""

from __future__ import annotations

import argparse

from stages.core import errors, params
from stages.core.errors import UserError
from stages.train.params import cell


def main() -> None:
    """Train one cell."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.train", description="Train one cell: one variant, one seed."
    )
    parser.add_argument("--variant", required=True, help="a key of `variants` in params.yaml")
    parser.add_argument("--seed", required=True, type=int, help="one of `seeds` in params.yaml")
    chosen = parser.parse_args()
    study = params.read()
    settings = cell(study, chosen.variant)
    if chosen.seed not in study.seeds:
        raise UserError(f"params.yaml: `seeds` has no {chosen.seed}; there are {', '.join(map(str, study.seeds))}")
    from stages.train.run import run

    run(settings, chosen.variant, chosen.seed)


if __name__ == "__main__":
    errors.run(main)
