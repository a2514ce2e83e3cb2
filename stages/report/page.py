# ruff: noqa: RUF001 - typographic minus and dash are what is meant
"""The page: numbers and names in words, sections as HTML and Markdown, tables for papers as CSV and LaTeX."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from stages.core import files
from stages.core.markdown import markdown, on_one_line
from stages.core.metrics import in_percent, limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

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
    from stages.report.figures import drawing

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
        "spread": spread(len(evidence.study.seeds)),
        "sections": [one for one in sections if shown[one.key] is not None],
        **shown,
    }


def _code_in_html(text: str) -> Markup:
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(html(text)))))  # noqa: S704


def render(name: str, context: dict[str, Any], *folders: Path) -> str:
    """Fill in a template of `folders` or of the page; the values of `context` are text and are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        undefined=jinja2.StrictUndefined,
        finalize=markdown if name.endswith(".md.j2") else html,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = code_in_markdown if name.endswith(".md.j2") else _code_in_html
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template(name).render(context)


def _write_table(table: PaperTable, folder: Path) -> None:
    """Write a table as CSV and as LaTeX."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    files.write_rows(folder / f"{table.name}.csv", table.columns, rows)
    files.write_text(folder / f"{table.name}.tex", _latex_table(table))


def _latex_table(table: PaperTable) -> str:
    import pandas as pd

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


NAMES = {
    "top1": "Top-1", "balanced_accuracy": "Balanced acc.", "mcc": "MCC", "auroc": "AUROC", "nll": "NLL", "ece": "ECE",
    "macro_f1": "Macro F1", "micro_f1": "Micro F1", "weighted_f1": "Weighted F1", "nll_scaled": "NLL, scaled",
    "ece_scaled": "ECE, scaled", "brier_scaled": "Brier, scaled",
}  # fmt: skip
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test", "both": "validation and test"}
MISSING = "–"


def metric_name(metric: str) -> str:
    """The printed name of a metric, with its unit."""
    name = NAMES.get(metric, metric.replace("_", " ").replace("top", "top-").capitalize())
    return f"{name} %" if in_percent(metric) else name


def spoken(metric: str) -> str:
    """A metric in the middle of a sentence."""
    return {"nll": "NLL", "macro_f1": "macro F1"}.get(metric, metric.replace("_", " ").replace("top", "top-"))


def amount(value: float, metric: str, digits: int) -> str:
    """A value with its unit."""
    return number(value, metric, digits) + (" %" if in_percent(metric) else "")


def apart(value: float, metric: str, digits: int | None = None) -> str:
    """A difference with its unit; without `digits` every digit, for a difference that a person has set."""
    every = f"{100 * value if in_percent(metric) else value:.10g}"
    text = every if digits is None else number(value, metric, digits)
    return f"{text} {'point' if text == '1' else 'points'}" if in_percent(metric) else text


def number(value: float | None, metric: str = "", digits: int = 1) -> str:
    """A value of a metric: fractions as percent with `digits` decimals, others with `digits` + 2."""
    if value is None or math.isnan(value):
        return MISSING
    if in_percent(metric):
        text = f"{100 * value:.{digits}f}"
    else:  # a diverged loss would make its column as wide as the page
        text = f"{value:.{digits + 2}f}" if abs(value) < 1e5 else f"{value:.2e}".replace("e+", "e")
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", "−")


def signed(value: float | None, metric: str = "", digits: int = 1) -> str:
    """As `number`, also with a plus sign."""
    text = number(value, metric, digits)
    return text if text == MISSING or text.startswith("−") else f"+{text}"


def plus_minus(mean: float, sd: float | None, metric: str = "", digits: int = 1) -> str:
    """Mean ± SD; without SD if there is one seed only."""
    spread = number(sd, metric, digits)
    return number(mean, metric, digits) + ("" if spread == MISSING else f" ± {spread}")


def spread_of(seeds: NDArray[np.float64], metric: str) -> str:
    """As `plus_minus`, of the values of the seeds."""
    return plus_minus(float(seeds.mean()), float(seeds.std(ddof=1)) if len(seeds) > 1 else None, metric)


def interval(low: float | None, high: float | None, metric: str = "", digits: int = 1) -> str:
    """An interval in words; empty if there is none."""
    lower = number(low, metric, digits)
    return "" if lower == MISSING else f"{lower} to {number(high, metric, digits)}"


def within(low: float | None, high: float | None, metric: str) -> tuple[float | None, float | None]:
    """An interval of a metric, cut at the limits of the metric: a t-interval of accuracy may exceed 1."""
    least, most = limits(metric)
    return low if low is None else max(low, least), high if high is None else min(high, most)


def between(low: float, high: float, metric: str) -> tuple[float, float]:
    """An interval of a difference, cut at the limits of a difference: two shares are at most 100 points apart."""
    least, most = limits(metric)
    return max(low, least - most), min(high, most - least)


def interval_between(low: float, high: float, metric: str, digits: int) -> str:
    """The interval of a difference in words, cut at its limits."""
    return interval(*between(low, high, metric), metric, digits)


def belonging(named: bool) -> str:
    """The images that form one group; groups that are `named` with the source count too."""
    return "copies, similar pictures or pictures of one named group" if named else "copies and similar pictures"


def spread(seeds: int) -> str:
    """How a table summarises its seeds."""
    return f"mean ± SD over {seeds} seeds" if seeds > 1 else "one seed, so without SD"


def p_value(p: float) -> str:
    """A p value as journals print it: with three decimals, and never as 0 or 1."""
    if math.isnan(p):
        return MISSING
    return "< .001" if p < 0.001 else "> .999" if p > 0.999 else f"{p:.3f}".lstrip("0")


def names(items: Sequence[object]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def plural(count: int, noun: str) -> str:
    """`1 seed`, `3 seeds`, `10,000 images`."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def short(label: str, limit: int) -> str:
    """A label cut to `limit` letters for a chart; a table has the whole label."""
    return label if len(label) <= limit else f"{label[: limit - 1]}…"


def span(counts: Sequence[int], noun: str) -> str:
    """As `plural`, of counts that may differ: `20 to 21 images`."""
    low, high = min(counts), max(counts)
    return plural(high, noun) if low == high else f"{low:,} to {plural(high, noun)}"


def reach(counts: Sequence[int]) -> str:
    """Counts that may differ, for a table: `20`, `20-21`."""
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def html(value: object) -> object:
    """Text for HTML, which is escaped later; signs that reverse a line or control a terminal become visible."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", lambda c: on_one_line(c[0]), value)


def code_in_markdown(text: str) -> Markup:
    """A sentence of ours in Markdown: code in backticks stays code, all else is escaped."""
    parts = re.split(r"(`[\w ./:=\[\]-]+`)", text)
    return Markup("".join(part if k % 2 else str(markdown(part)) for k, part in enumerate(parts)))  # noqa: S704


def size(count: float, unit: str = "") -> str:
    """A large count with its SI prefix: 11.1 M, 3.28 MB."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * limit:  # three digits of 999,600 are 1 M
            return f"{count / limit:.3g} {prefix}{unit}"
    return f"{count:.3g} {unit}".rstrip()


def chance(probability: float) -> str:
    """A probability in percent; never 0 or 100, since no estimate is certain."""
    if math.isnan(probability):
        return MISSING
    return "< 1" if probability < 0.01 else "> 99" if probability > 0.99 else f"{100 * probability:.0f}"
