"""`python -m stages.ingest`."""

from __future__ import annotations

from stages.core import console, errors, params
from stages.ingest import ingest
from stages.ingest.params import check_source


def main() -> None:
    """Read the section `ingest`, fill data/raw, say what came in."""
    rows = ingest(check_source(params.read().raw["ingest"]))
    console.say(f"{len(rows)} files, {sum(bool(row.problem) for row in rows)} of them could not be brought in")


if __name__ == "__main__":
    errors.run(main)
