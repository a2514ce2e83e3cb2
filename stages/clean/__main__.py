"""`python -m stages.clean`."""

from __future__ import annotations

from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import errors, params


def main() -> None:
    """Clean data/raw with the section `clean` of params.yaml."""
    run(params.section(Clean, params.read().raw["clean"], "clean"))


errors.run(main)
