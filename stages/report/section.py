# ruff: noqa: RUF001 - typographic minus and dash are what is meant
"""A section of the page, and the tables of it for papers: CSV to work with, LaTeX (booktabs) to print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from stages.core import files
from stages.core.markdown import on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures


class PaperTable(NamedTuple):
    """A table for papers: the name of its files, its columns, its rows and its caption."""

    name: str
    columns: list[str]
    rows: list[list[Any]]
    caption: str

    @classmethod
    def of(cls, name: str, rows: list[dict[str, Any]], columns: dict[str, str], caption: str) -> PaperTable:
        """A table of the `columns` (title -> key) of `rows`."""
        return cls(name, list(columns), [[row[key] for key in columns.values()] for row in rows], caption)


@dataclass(frozen=True)
class Section:
    """A section of the page, shown by the templates `<key>.html.j2` and, if there is one, `<key>.md.j2`.

    `build` gives what the templates show under the name `key`; None leaves the section out. `tables` gets that of all
    sections.
    """

    key: str
    title: str
    build: Callable[[StudyEvidence, Figures], dict[str, Any] | None]
    tables: Callable[[dict[str, Any]], list[PaperTable]] = lambda _: []


def write_tables(tables: list[PaperTable], folder: Path) -> None:
    """Write every table as CSV and as LaTeX."""
    for name, columns, rows, caption in tables:
        files.write_rows(folder / f"{name}.csv", columns, [dict(zip(columns, row, strict=True)) for row in rows])
        files.write_text(folder / f"{name}.tex", _latex_table(name, [columns, *rows], caption))


def _latex_table(name: str, rows: list[list[Any]], caption: str) -> str:
    head, *body = [[_latex(value) for value in row] for row in rows]
    return pd.DataFrame(body, columns=head).to_latex(
        index=False, escape=False, position="t", caption=_latex(caption), label=f"tab:{name}",
        column_format=f"l{'r' * (len(head) - 1)}",
    )  # fmt: skip


def _latex(value: Any) -> str:
    """Text with LaTeX's special characters escaped and the page's typography as commands."""
    return "".join(_COMMANDS.get(character, character) for character in on_one_line(str(value)))


_COMMANDS = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "−": "$-$",
    "–": "--", "<": "$<$", ">": "$>$",
}  # fmt: skip
