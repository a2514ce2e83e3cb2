"""`python -m stages.report`: reports/index.html, report.md and figures/, from the files in git."""

from __future__ import annotations

from stages.core import errors
from stages.report import evidence, page


def main() -> None:
    """Render the report of the study in the working folder."""
    page.write(evidence.read(), evidence.REPORTS)


if __name__ == "__main__":
    errors.run(main)
