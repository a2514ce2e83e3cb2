"""`python -m stages.audit`: from data/clean to reports/audit; without folds it looks at no picture."""

from __future__ import annotations

import os

from stages.core import errors, params


def main() -> None:
    """Audit the labels of all kept pictures."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: sums in one order on every machine
    from stages.aggregate.params import Aggregate
    from stages.audit import run

    study = params.read()
    run.run(params.section(Aggregate, study.raw["aggregate"], "aggregate").audit)


if __name__ == "__main__":
    errors.run(main)
