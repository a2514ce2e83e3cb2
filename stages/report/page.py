"""Builds everything the templates show, then renders them; the order of the sections is the order of the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from stages.core import files
from stages.report import caveats, confusion, curves, data_page, per_class, provenance, results
from stages.report.figures import Figures

if TYPE_CHECKING:
    from stages.report.evidence import Evidence

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (
    ("results", "Results"),
    ("data", "Data"),
    ("curves", "Learning curves"),
    ("confusion", "Confusion"),
    ("per_class", "Classes"),
    ("caveats", "Caveats"),
    ("provenance", "Provenance"),
)


def write(evidence: Evidence, folder: Path) -> None:
    """Write index.html, report.md and figures/ into `folder`; all of it, or nothing of it."""
    with files.fresh_folder(folder / "figures") as drawing:
        context = build(evidence, Figures(drawing))
        page = _render("index.html.j2", context)
        text = _render("report.md.j2", context)
    files.write_text(folder / "index.html", page)
    files.write_text(folder / "report.md", text)


def build(evidence: Evidence, figures: Figures) -> dict[str, Any]:
    """What the templates need, by section; a section that this study does not have is None."""
    context: dict[str, Any] = {
        "study": evidence.study.name,
        "seeds": evidence.study.seeds,
        "results": results.build(evidence, figures),
        "data": data_page.build(evidence, figures),
        "curves": curves.build(evidence, figures),
        "confusion": confusion.build(evidence, figures),
        "per_class": per_class.build(evidence),
        "caveats": caveats.build(evidence),
        "provenance": provenance.build(evidence),
    }
    context["sections"] = [(key, title) for key, title in SECTIONS if context[key] is not None]
    return context


def _render(name: str, context: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(context)
