"""Leak cost: what the copies across a published split were worth in points, as `python -m studies.leak` measured it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.report.figures import COLOURS, INK, MUTED
from stages.report.ranking import ALONE
from stages.report.wording import MISSING, interval, number, signed

if TYPE_CHECKING:
    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

SHARES = ("published_top1", "clean_top1", "copies_top1", "others_top1")


def build(evidence: Evidence, figures: Figures, digits: int) -> dict[str, Any] | None:
    """A row for each variant of the file `report.leak`; None where it names none of this study's."""
    found = [
        row for row in files.read_rows(evidence.settings.leak, by_hand=True) if row["variant"] in evidence.variants
    ]
    if not found:
        return None
    return {
        "source": evidence.settings.leak,
        "rows": [_row(row, digits) for row in found],
        "images": (f"{int(found[0]['published_images']):,}", f"{int(found[0]['clean_images']):,}"),
        "copies": f"{int(found[0]['copies']):,}",
        "covers": "images and seeds" if int(found[0]["seeds"]) > 1 else ALONE,
        "figure": _chart(found, figures, digits),
    }


def _row(row: dict[str, str], digits: int) -> dict[str, str]:
    shares = {key: number(float(row[key]), "top1", digits) if row[key] else MISSING for key in SHARES}
    low, high = float(row["low"]), float(row["high"])
    return shares | {
        "variant": row["variant"],
        "seeds": row["seeds"],
        "leak": signed(float(row["leak"]), "top1", digits),
        "interval": interval(low, high, "top1", digits),
        "verdict": verdict(int(row["seeds"]), low, high),
    }


def verdict(seeds: int, low: float, high: float) -> str:
    """What the interval of the difference says; with one seed it covers the test images alone and decides nothing."""
    if seeds == 1:
        return "not decided (one seed)"
    return "not decided" if low <= 0 <= high else "worth something" if low > 0 else "cost something"


def _chart(found: list[dict[str, str]], figures: Figures, digits: int) -> Figure:
    """A point and its interval for each variant; the line is 0."""
    canvas = figures.canvas(4.6, 0.8 + 0.28 * len(found))
    axes = canvas.subplots()
    for y, row in enumerate(found):
        axes.plot([100 * float(row["low"]), 100 * float(row["high"])], [y, y], color=COLOURS[0], lw=1.6)
        axes.plot(100 * float(row["leak"]), y, "s", color=COLOURS[0], ms=5)
    axes.axvline(0, color=MUTED, lw=1)
    axes.set_yticks(range(len(found)), [row["variant"] for row in found], color=INK)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("what the copies were worth, points of test top-1", color=MUTED)
    said = "; ".join(f"{row['variant']} {signed(float(row['leak']), 'top1', digits)}" for row in found)
    return figures.add(
        "leak", canvas, f"What the copies were worth in points of test top-1, with 95 % intervals: {said}."
    )
