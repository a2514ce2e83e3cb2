# ruff: noqa: RUF001 - typographic minus and dash are what is meant
"""Rendering: sections become HTML and Markdown, and their tables for papers CSV and LaTeX (booktabs)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from stages.core import files
from stages.core.markdown import markdown, on_one_line
from stages.report import wording
from stages.report.figures import drawing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures

TEMPLATES = Path(__file__).parent / "templates"


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


def write(evidence: StudyEvidence, sections: Sequence[Section], folder: Path) -> None:
    """Write index.html, report.md, figures/ and tables/ into `folder`."""
    with files.fresh_folder(folder / "figures") as pictures, files.fresh_folder(folder / "tables") as papers:
        with drawing(pictures) as figures:
            context = _context(evidence, sections, figures)
        for table in (table for one in context["sections"] for table in one.tables(context)):
            _write_table(table, papers)
        page = render("index.html.j2", context)
        text = render("report.md.j2", context)
    files.write_text(folder / "index.html", page)
    files.write_text(folder / "report.md", text)


def _context(evidence: StudyEvidence, sections: Sequence[Section], figures: Figures) -> dict[str, Any]:
    """The values that templates show, by the key of the section; None for a section that this study does not have."""
    shown = {one.key: one.build(evidence, figures) for one in sections}
    return {
        "study": evidence.study.name,
        "seeds": evidence.study.seeds,
        "spread": wording.spread(len(evidence.study.seeds)),
        "sections": [one for one in sections if shown[one.key] is not None],
        **shown,
    }


def _code_in_html(text: str) -> Markup:
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(wording.html(text)))))  # noqa: S704


def render(name: str, context: dict[str, Any], *folders: Path) -> str:
    """Fill in a template of `folders` or of the page; the values of `context` are text and are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        undefined=jinja2.StrictUndefined,
        finalize=markdown if name.endswith(".md.j2") else wording.html,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = wording.code_in_markdown if name.endswith(".md.j2") else _code_in_html
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template(name).render(context)


def _write_table(table: PaperTable, folder: Path) -> None:
    """Write a table as CSV and as LaTeX."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    files.write_rows(folder / f"{table.name}.csv", table.columns, rows)
    files.write_text(folder / f"{table.name}.tex", _latex_table(table))


def _latex_table(table: PaperTable) -> str:
    head, *body = [[_latex(value) for value in row] for row in (table.columns, *table.rows)]
    return pd.DataFrame(body, columns=head).to_latex(
        index=False, escape=False, position="t", caption=_latex(table.caption), label=f"tab:{table.name}",
        column_format=f"l{'r' * (len(head) - 1)}",
    )  # fmt: skip


def _latex(value: Any) -> str:
    """Text with LaTeX's special characters escaped and the page's typography as commands."""
    return "".join(_COMMANDS.get(character, character) for character in on_one_line(str(value)))


_COMMANDS = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "−": "$-$",
    "–": "--", "<": "$<$", ">": "$>$",
}  # fmt: skip
