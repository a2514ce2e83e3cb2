"""The section on the leak cost: how much copies in training add to test top-1, as `studies.leak` measured it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.errors import UserError
from stages.report.figures import COLOURS, MUTED, name_rows
from stages.report.section import PaperTable, Section
from stages.report.wording import MISSING, interval, number, signed

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures

KINDS = {
    "raw": "every test image",
    "all": "every family once",
    "copies": "a copy in training",
    "apart": "copies, none in training",
    "others": "no copy",
}


def build(evidence: StudyEvidence, figures: Figures) -> dict[str, Any] | None:
    """A row for each variant and kind of picture of the file `report.leak`; None where it names none of this study.

    Raises:
        UserError: the file was written by an older measurement.
    """
    rows = files.read_rows(evidence.settings.leak, by_hand=True)
    found = [row for row in rows if row["variant"] in evidence.variants]
    if not found:
        return None
    if "class_clean" not in found[0]:
        raise UserError(
            f"{evidence.settings.leak} has no column `class_clean`, because an older version wrote it; write it again "
            "with `python -m studies.leak <published study> <clean study>`"
        )
    first, digits = found[0], evidence.digits
    return {
        "source": evidence.settings.leak,
        "rows": [_row(row, kind, digits) for row in found for kind in KINDS if row[f"{kind}_leak"]],
        "sentence": (
            f"The same variants were trained on {first['splits']} splits of the published kind "
            f"({int(first['published_images']):,} test images; on average {float(first['copies']):.0f} of them have a "
            f"copy or a similar picture in the training set) and on {first['splits']} clean splits "
            f"({int(first['clean_images']):,} test images, none with a copy in training). Every training set has "
            f"{int(first['train_images']):,} images, and the number of epochs is fixed."
        ),
        "note": (
            "“Every test image” is what users of the published split would have reported: there, a picture counts as "
            "often as it has copies. In the other rows a family (a picture with its copies and similar pictures) "
            f"counts once, and has the same weight on both kinds of split: {int(first['families']):,} families that "
            "both test. The last three rows, weighted by their share, add up to “every family once”. A gain comes from "
            "the copies and from the classes of the training images, which copies change too: on average "
            f"{float(first['class_published']):.0f} images of {first['class']} are trained on with copies, and "
            f"{float(first['class_clean']):.0f} without. The intervals (Welch, with the jackknife over the splits "
            "where families count) hold for new splits of these images and new seeds, not for other images. Each "
            "interval stands by itself: even if the copies had no effect, one of the five would exclude 0 in more "
            "than 5 of 100 measurements."
        ),
        "figure": _chart(found, figures, digits),
    }


def _row(row: dict[str, str], kind: str, digits: int) -> dict[str, str]:
    low, high = float(row[f"{kind}_low"]), float(row[f"{kind}_high"])
    return {
        "variant": row["variant"],
        "kind": KINDS[kind],
        "share": MISSING if kind == "raw" else number(float(row[f"{kind}_share"]), "top1", 0),
        "splits": row["splits"],
        **{key: number(float(row[f"{kind}_{key}"]), "top1", digits) for key in ("published", "clean")},
        "leak": signed(float(row[f"{kind}_leak"]), "top1", digits),
        "interval": interval(low, high, "top1", digits) or MISSING,
    }


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
    name_rows(axes, [f"{row['variant']}, {KINDS[kind]}" for row, kind in shown])
    axes.set_xlabel("gain from the copies, points of test top-1", color=MUTED)
    said = "; ".join(f"{row['variant']} {signed(float(row['raw_leak']), 'top1', digits)}" for row in found)
    return figures.add("leak", canvas, f"Gain from the copies in points of test top-1, every test image: {said}.")


def _tables(context: dict[str, Any]) -> list[PaperTable]:
    columns = {
        "Variant": "variant", "Images": "kind", "Share %": "share", "Splits": "splits",
        "Published kind": "published", "Clean": "clean",
        "Difference": "leak", "Interval": "interval",
    }  # fmt: skip
    caption = "Test top-1 % on published splits and on clean ones; 95 % intervals over splits."
    return [PaperTable.of("leak", context["leak"]["rows"], columns, caption)]


SECTION = Section("leak", "Leak cost", build, _tables)
