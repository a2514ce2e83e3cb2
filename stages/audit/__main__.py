"""`python -m stages.audit`: from data/clean to reports/audit; without folds it looks at no picture."""

from __future__ import annotations

import os
import platform

from stages.core import errors, params

# One kernel for the sums of the regression on every x86-64 processor with AVX2, and one order of them: OpenBLAS else
# takes the newest that the processor has (decision 0007 says the same of PyTorch's libraries).
_BLAS = {"OPENBLAS_NUM_THREADS": "1"} | ({"OPENBLAS_CORETYPE": "Haswell"} if platform.machine() == "x86_64" else {})


def main() -> None:
    """Audit the labels of all kept pictures."""
    os.environ.update(_BLAS | os.environ)  # before NumPy is loaded, which reads them then
    from stages.aggregate.params import Aggregate
    from stages.audit import run

    study = params.read()
    run.run(params.section(Aggregate, study.raw["aggregate"], "aggregate").audit)


if __name__ == "__main__":
    errors.run(main)
