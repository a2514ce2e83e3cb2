"""`python -m stages.ingest`."""

from __future__ import annotations

from stages.core import errors, params
from stages.ingest import ingest
from stages.ingest.params import check_source


def main() -> None:
    """Read the section `ingest`, fill data/raw, say what came in."""
    ingest(check_source(params.read().raw["ingest"]))


if __name__ == "__main__":
    errors.run(main)
