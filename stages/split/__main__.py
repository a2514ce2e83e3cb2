"""`python -m stages.split`."""

from __future__ import annotations

from stages.core import errors, params
from stages.split.params import Split
from stages.split.run import run


def main() -> None:
    """Write the split of every seed, classes.json and summary.json."""
    study = params.read()
    run(study, params.section(Split, study.raw["split"], "split"))


if __name__ == "__main__":
    errors.run(main)
