# ruff: noqa: RUF001 - typographic minus and dash are what is meant
"""Numbers, units and names in words."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from markupsafe import Markup

from stages.core.markdown import markdown, on_one_line
from stages.core.metrics import in_percent, limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

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


def apart(value: float, metric: str, digits: int) -> str:
    """A difference with its unit."""
    text = number(value, metric, digits)
    return f"{text} {'point' if text == '1' else 'points'}" if in_percent(metric) else text


def exactly(value: float, metric: str) -> str:
    """A difference that a person has set, with all its digits and its unit."""
    text = f"{100 * value if in_percent(metric) else value:.10g}"
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
