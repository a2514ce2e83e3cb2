"""Writes data/planted.csv: what the source `digits` adds with `planted: true` (`python -m stages.tools.planted`)."""

from __future__ import annotations

from pathlib import Path

from stages.core import errors, files
from stages.core.planted import Planted, of_the_digits

LIST = Path("data/planted.csv")


def main() -> None:
    """Write the list."""
    files.write_rows(LIST, Planted._fields, [row._asdict() for row in of_the_digits()])


if __name__ == "__main__":
    errors.run(main)
