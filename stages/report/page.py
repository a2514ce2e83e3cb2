"""The page: its sections in their order, rendered as HTML and as Markdown, and its foot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup, escape

from stages.core import cells, files
from stages.core.markdown import markdown
from stages.report import (
    caveats,
    classes,
    cost,
    data_page,
    galleries,
    published,
    reliability,
    results,
    training,
    variance,
    wording,
)
from stages.report.figures import drawing
from stages.report.section import Section, write_tables

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures

TEMPLATES = Path(__file__).parent / "templates"
INPUTS = ("params.yaml", "data/clean/ledger.csv", "data/clean/manifest.csv", "data/split/summary.json")


def provenance(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """What the page was made from: no commit and no time, so that its bytes come out again."""
    configs = evidence.configs
    splits = [str(cells.split_file(split["seeds"][0])) for split in evidence.splits]
    return {
        "inputs": [(name, files.sha256(Path(name))) for name in (*INPUTS, *splits, "reports/runs.csv")],
        "machines": list(
            dict.fromkeys(_words(config["machine"]) for config in configs.values() if "machine" in config)
        ),
        "libraries": _words(evidence.audit["libraries"]),
        "weights": _weights(configs),
    }


def _weights(configs: dict[tuple[str, int], dict[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    """Each file of pretrained weights, and the variants that started from it."""
    used: dict[str, tuple[dict[str, str], list[str]]] = {}
    for (variant, _), config in configs.items():
        if found := config.get("weights"):
            variants = used.setdefault(str(found), (found, []))[1]
            variants += [variant] if variant not in variants else []
    return [(", ".join(variants), found) for found, variants in used.values()]


def _words(value: Any) -> str:
    return ", ".join(f"{k} {_words(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


SECTIONS = (
    results.SECTION,
    variance.SECTION,
    published.PUBLISHED,
    published.LEAK,
    data_page.SECTION,
    training.CURVES,
    classes.CONFUSION,
    classes.PER_CLASS,
    reliability.CALIBRATION,
    reliability.ROBUSTNESS,
    galleries.SAMPLES,
    galleries.GRADCAM,
    galleries.SUSPECTS,
    cost.SECTION,
    training.SWEEPS,
    caveats.SECTION,
    Section("provenance", "Provenance", provenance),
)


def write(evidence: StudyEvidence, folder: Path) -> None:
    """Write index.html, report.md, figures/ and tables/ into `folder`."""
    with files.fresh_folder(folder / "figures") as pictures, files.fresh_folder(folder / "tables") as papers:
        with drawing(pictures) as figures:
            context = build(evidence, figures)
        write_tables([table for one in context["sections"] for table in one.tables(context)], papers)
        page = render("index.html.j2", context)
        text = render("report.md.j2", context)
    files.write_text(folder / "index.html", page)
    files.write_text(folder / "report.md", text)


def build(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """What the templates show, by the key of its section; a section that this study does not have is None."""
    shown = {one.key: one.build(evidence, figures) for one in SECTIONS}
    return {
        "study": evidence.study.name,
        "seeds": evidence.study.seeds,
        "spread": wording.spread(len(evidence.study.seeds)),
        "sections": [one for one in SECTIONS if shown[one.key] is not None],
        **shown,
    }


def _code_in_html(text: str) -> Markup:
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(wording.html(text)))))  # noqa: S704


def render(name: str, context: dict[str, Any], *folders: Path) -> str:
    """A template, of `folders` or of the page, filled in; what it is given is text, escaped for HTML or Markdown."""
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
