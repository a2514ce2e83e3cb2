"""Leak cost: what the copies across a published split were worth in points, as `python -m studies.leak` measured it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.errors import UserError
from stages.report.figures import COLOURS, INK, MUTED
from stages.report.wording import MISSING, interval, number, signed

if TYPE_CHECKING:
    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

KINDS = {"all": "all", "copies": "with a copy", "others": "without one"}


def build(evidence: Evidence, figures: Figures, digits: int) -> dict[str, Any] | None:
    """A row for each variant and kind of picture of the file `report.leak`; None where it names none of this study.

    Raises:
        UserError: the file was written by an older measurement.
    """
    rows = files.read_rows(evidence.settings.leak, by_hand=True)
    found = [row for row in rows if row["variant"] in evidence.variants]
    if not found:
        return None
    if "all_leak" not in found[0]:
        raise UserError(f"{evidence.settings.leak} has no column `all_leak`; measure it again with `make leak`")
    first = found[0]
    return {
        "source": evidence.settings.leak,
        "rows": [_row(row, kind, digits) for row in found for kind in KINDS if row[f"{kind}_leak"]],
        "sentence": (
            f"The same variants on {first['splits']} splits as published ({int(first['published_images']):,} test "
            f"images, of which {float(first['copies']):.0f} in the mean have a copy or a look-alike among those that "
            f"were trained on) and on {first['splits']} clean ones ({int(first['clean_images']):,} test images, none "
            f"with a copy), always trained on {int(first['train_images']):,} images for a fixed number of epochs."
        ),
        "note": (
            "The interval (Welch) is for new splits and seeds of these images, not for other images. On clean splits, "
            "“with a copy” are the images whose copies were dropped or kept together: the same kind of image. What the "
            "copies gave shows on those; on the images without one a difference is chance, or the worse training set."
        ),
        "figure": _chart(found, figures, digits),
    }


def _row(row: dict[str, str], kind: str, digits: int) -> dict[str, str]:
    low, high = float(row[f"{kind}_low"]), float(row[f"{kind}_high"])
    return {
        "variant": row["variant"],
        "kind": KINDS[kind],
        "splits": row["splits"],
        "published": number(float(row[f"{kind}_published"]), "top1", digits),
        "clean": number(float(row[f"{kind}_clean"]), "top1", digits),
        "leak": signed(float(row[f"{kind}_leak"]), "top1", digits),
        "interval": interval(low, high, "top1", digits) or MISSING,
        "verdict": verdict(low, high),
    }


def verdict(low: float, high: float) -> str:
    """What the interval of the difference says."""
    return "not decided" if low <= 0 <= high else "worth something" if low > 0 else "cost something"


def _chart(found: list[dict[str, str]], figures: Figures, digits: int) -> Figure:
    """A point and its interval for each variant and kind of picture; the line is 0."""
    shown = [(row, kind) for row in found for kind in KINDS if row[f"{kind}_leak"]]
    canvas = figures.canvas(4.6, 0.8 + 0.24 * len(shown))
    axes = canvas.subplots()
    for y, (row, kind) in enumerate(shown):
        colour = COLOURS[list(KINDS).index(kind)]
        axes.plot([100 * float(row[f"{kind}_{end}"]) for end in ("low", "high")], [y, y], color=colour, lw=1.6)
        axes.plot(100 * float(row[f"{kind}_leak"]), y, "s", color=colour, ms=5)
    axes.axvline(0, color=MUTED, lw=1)
    axes.set_yticks(range(len(shown)), [f"{row['variant']}, {KINDS[kind]}" for row, kind in shown], color=INK)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("what the copies were worth, points of test top-1", color=MUTED)
    said = "; ".join(f"{row['variant']} {signed(float(row['all_leak']), 'top1', digits)}" for row in found)
    return figures.add(
        "leak", canvas, f"What the copies were worth in points of test top-1, with 95 % intervals: {said}."
    )
