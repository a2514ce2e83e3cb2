"""`python -m stages.ingest`."""

from __future__ import annotations

from stages.core import errors, params
from stages.ingest import ingest
from stages.ingest.params import check_source


def main() -> None:
    """Read the section `ingest`, and fill data/raw."""
    raw = params.read().raw
    shares = [(raw["split"] or {}).get(part) for part in ("test", "val")]
    published = any(isinstance(share, dict) and "folder" in share for share in shares)
    ingest(check_source(raw["ingest"]), published=published)


if __name__ == "__main__":
    errors.run(main)
