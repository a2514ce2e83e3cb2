"""`python -m stages.ingest`."""

from __future__ import annotations

from stages.core import errors, params
from stages.ingest import ingest
from stages.ingest.params import check_source


def main() -> None:
    """Read the section `ingest`, fill data/raw, say what came in."""
    raw = params.read().raw
    split = raw["split"] or {}
    ingest(check_source(raw["ingest"]), published=any(isinstance(split.get(part), dict) for part in ("test", "val")))


if __name__ == "__main__":
    errors.run(main)
