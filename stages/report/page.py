"""Builds everything the templates show, then renders them; the order of the sections is the order of the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from stages.core import files
from stages.report import (
    calibration,
    caveats,
    confusion,
    cost,
    curves,
    data_page,
    gradcam,
    leak,
    per_class,
    provenance,
    published,
    results,
    robustness,
    samples,
    suspects,
    sweeps,
    tables,
    variance,
    wording,
)
from stages.report.figures import Figures

if TYPE_CHECKING:
    from stages.report.evidence import Evidence

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (
    ("results", "Results"),
    ("variance", "What the seeds vary"),
    ("published", "As published, and here"),
    ("leak", "Leak cost"),
    ("data", "Data"),
    ("curves", "Learning curves"),
    ("confusion", "Confusion"),
    ("per_class", "Classes"),
    ("calibration", "Calibration"),
    ("robustness", "Robustness"),
    ("samples", "Pictures"),
    ("gradcam", "Grad-CAM"),
    ("suspects", "Suspects"),
    ("cost", "Cost"),
    ("sweeps", "Sweeps"),
    ("caveats", "Caveats"),
    ("provenance", "Provenance"),
)


def write(evidence: Evidence, folder: Path) -> None:
    """Write index.html, report.md, figures/ and tables/ into `folder`."""
    with files.fresh_folder(folder / "figures") as drawing, files.fresh_folder(folder / "tables") as papers:
        context = build(evidence, Figures(drawing))
        tables.write(context, papers)
        page = render("index.html.j2", context)
        text = render("report.md.j2", context)
    files.write_text(folder / "index.html", page)
    files.write_text(folder / "report.md", text)


def build(evidence: Evidence, figures: Figures) -> dict[str, Any]:
    """What the templates need, by section; a section that this study does not have is None."""
    found = results.build(evidence, figures)
    order, places = found["ranking"].order, results.digits(evidence)
    confused = confusion.build(evidence, figures)
    shown = samples.build(evidence, confusion.pairs(confused))
    confusion.link(confused, samples.anchors(shown))
    context: dict[str, Any] = {
        "study": evidence.study.name,
        "seeds": evidence.study.seeds,
        "spread": wording.spread(len(evidence.study.seeds)),
        "results": found,
        "variance": variance.build(evidence, places),
        "published": published.build(evidence, places),
        "leak": leak.build(evidence, figures, places),
        "data": data_page.build(evidence, figures),
        "curves": curves.build(evidence, figures),
        "confusion": confused,
        "per_class": per_class.build(evidence),
        "calibration": calibration.build(evidence, figures),
        "robustness": robustness.build(evidence, figures, order),
        "samples": shown,
        "gradcam": gradcam.build(evidence),
        "suspects": suspects.build(evidence),
        "cost": cost.build(evidence, figures, order, places),
        "sweeps": sweeps.build(evidence, figures, places),
        "caveats": caveats.build(evidence),
        "provenance": provenance.build(evidence),
    }
    context["sections"] = [(key, title) for key, title in SECTIONS if context[key] is not None]
    return context


def render(name: str, context: dict[str, Any]) -> str:
    """A template filled in; what it is given is text, and is escaped for HTML or Markdown."""
    markdown = name.endswith(".md.j2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        undefined=jinja2.StrictUndefined,
        finalize=wording.markdown if markdown else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template(name).render(context)
