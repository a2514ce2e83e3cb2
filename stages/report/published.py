"""Published studies: reported results beside ours, findings in the data, and the effect of copies across a split.

The rows come from the file that `report.published` names; `studies/published.csv` has those of the four studies. A
study has the section if one of its variants is such a system: `B1` is, and so is `B1_corrected`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.errors import UserError
from stages.report.figures import COLOURS, MUTED, name_rows
from stages.report.findings import hazards
from stages.report.section import PaperTable, Section
from stages.report.wording import MISSING, interval, metric_name, number, plus_minus, signed, within

if TYPE_CHECKING:
    from stages.report.evidence import MetricSummary, StudyEvidence
    from stages.report.figures import Figure, Figures

NOTE = (
    "The published results come from another split and often from other test images; our intervals do not cover that "
    "difference. No verdict is given if our runs do not differ or if there is only one run."
)
EXPECTED = (
    "Expected: the interval that our runs predict for the mean of as many runs as were published. Inside or outside: "
    "whether the published result is in it."
)
METRICS = ("top1", "top5", "loss")
COLUMNS = (
    "system", "study", "epochs", *METRICS, "top1_sd", "loss_sd", "runs", "test_images", "epoch_seconds", "hardware",
    "note",
)  # fmt: skip
LIMITS = {  # columns of numbers: the least and the most
    "top1": (0, 1), "top5": (0, 1), "top1_sd": (0, 1), "loss": (0, math.inf), "loss_sd": (0, math.inf),
    "runs": (1, math.inf), "test_images": (1, math.inf), "epoch_seconds": (0, math.inf),
}  # fmt: skip
WHOLE = ("runs", "test_images")
KINDS = {
    "raw": "every test image",
    "all": "every family once",
    "copies": "a copy in training",
    "apart": "copies, none in training",
    "others": "no copy",
}


def build(evidence: StudyEvidence, _: Figures) -> dict[str, Any] | None:
    """None where no variant is a published system."""
    reported, mine, digits = rows(evidence), systems(evidence), evidence.digits
    if not mine:
        return None
    studies = {reported[system]["study"] for system in mine.values()}
    here = [
        _figure(evidence, variant, reported[system], metric, digits)
        for variant, system in mine.items()
        for metric in METRICS
        if reported[system][metric]
    ]
    absent = [row for name, row in reported.items() if row["study"] in studies and name not in mine.values()]
    return {
        "source": evidence.settings.published,
        "rows": here,
        "absent": [_absent(row, digits) for row in absent],
        "conditions": [_conditions(evidence, variant, reported[system]) for variant, system in mine.items()],
        "hazards": hazards(evidence),
        "note": f"{EXPECTED} {NOTE}",
    }


def rows(evidence: StudyEvidence) -> dict[str, dict[str, str]]:
    """System -> its row of the file.

    Raises:
        UserError: the file is missing or lacks a column, or holds text in the place of a number.
    """
    name = evidence.settings.published
    found = files.read_rows(name, by_hand=True)
    missing = [column for column in COLUMNS if found and column not in found[0]]
    if missing:
        raise UserError(f"{name} has no column `{missing[0]}`; it needs {', '.join(COLUMNS)}")
    for row in found:
        for column, (least, most) in LIMITS.items():
            if row[column] and not _fits(row[column], least, most, whole=column in WHOLE):
                kind = "a whole number of at least 1" if column in WHOLE else "a number"
                raise UserError(
                    f"{name}: `{column}` of the system {row['system']} is {row[column]!r}; it must be {kind}"
                    + (" between 0 and 1, such as 0.925" if most == 1 else "")
                    + ", or empty"
                )
    return {row["system"]: row for row in found}


def _fits(text: str, least: float, most: float, *, whole: bool) -> bool:
    if whole:
        return text.isascii() and text.isdigit() and least <= int(text[:15])
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and least <= value <= most


def systems(evidence: StudyEvidence) -> dict[str, str]:
    """Variant -> the published system that it is, or is a twin of, for the variants that are one."""
    known = rows(evidence)
    named = {variant: variant if variant in known else variant.split("_")[0] for variant in evidence.variants}
    return {variant: system for variant, system in named.items() if system in known}


def _figure(evidence: StudyEvidence, variant: str, row: dict[str, str], metric: str, digits: int) -> dict[str, Any]:
    theirs, sd = float(row[metric]), row.get(f"{metric}_sd", "")
    ours = evidence.summary.get((variant, "test", metric))
    about: dict[str, Any] = {
        "variant": variant,
        "metric": metric_name(metric),
        "published": plus_minus(theirs, float(sd) if sd else None, metric, digits),
    }
    if ours is None:
        return about | dict.fromkeys(("here", "difference", "run"), MISSING) | {"n": 0}
    low, high = expected(ours, float(sd) if sd else None, int(row["runs"] or 1), evidence.alpha)
    return about | {
        "here": plus_minus(ours.mean, ours.sd, metric, digits),
        "n": ours.n,
        "difference": signed(ours.mean - theirs, metric, digits),
        "run": _inside(theirs, low, high, metric, digits),
    }


def expected(ours: MetricSummary, sd: float | None, runs: int, alpha: float) -> tuple[float | None, float | None]:
    """Where a published figure of the same recipe is to be expected, on our split: our mean is an estimate, too.

    The published figure is the mean of `runs` runs, with their SD where it is stated and ours where it is not. None
    where our runs do not differ: nothing is then known of how much one does.
    """
    from scipy.special import stdtrit

    if ours.n < 2 or not ours.sd:
        return None, None
    mine, other = ours.sd**2 / ours.n, (sd**2 if sd and runs > 1 else ours.sd**2) / runs
    freedom = float(ours.n - 1)
    if sd and runs > 1:  # Welch: two samples, each with its own spread
        freedom = (mine + other) ** 2 / (mine**2 / (ours.n - 1) + other**2 / (runs - 1))
    half = float(stdtrit(freedom, 1 - alpha / 2)) * math.sqrt(mine + other)
    return ours.mean - half, ours.mean + half


def _inside(value: float, low: float | None, high: float | None, metric: str, digits: int) -> str:
    if low is None or high is None:
        return MISSING
    where = "inside" if low <= value <= high else "outside"
    return f"{where}: {interval(*within(low, high, metric), metric, digits)}"


def _absent(row: dict[str, str], digits: int) -> dict[str, str]:
    return {"system": row["system"]} | {
        metric: number(float(row[metric]) if row[metric] else None, metric, digits) for metric in METRICS
    }


def _conditions(evidence: StudyEvidence, variant: str, row: dict[str, str]) -> dict[str, str]:
    runs = [evidence.configs[variant, seed]["epochs_run"] for seed in evidence.study.seeds]
    epochs = sorted({int(count) for count in runs})
    return {
        "variant": variant,
        "system": row["system"],
        "epochs": row["epochs"] or MISSING,
        "epochs_here": "-".join(str(count) for count in {epochs[0]: 0, epochs[-1]: 0}),
        "images": f"{int(row['test_images']):,}" if row["test_images"] else MISSING,
        "images_here": f"{evidence.images('test'):,}",
        "seconds": seconds(row),
        "hardware": row["hardware"] or MISSING,
        "note": row["note"],
    }


def seconds(row: dict[str, str]) -> str:
    """Seconds per epoch as published."""
    return f"{float(row['epoch_seconds']):.4g} s" if row["epoch_seconds"] else MISSING


def build_leak(evidence: StudyEvidence, figures: Figures) -> dict[str, Any] | None:
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
        "rows": [_leak_row(row, kind, digits) for row in found for kind in KINDS if row[f"{kind}_leak"]],
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
        "figure": _leak_chart(found, figures, digits),
    }


def _leak_row(row: dict[str, str], kind: str, digits: int) -> dict[str, str]:
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


def _leak_chart(found: list[dict[str, str]], figures: Figures, digits: int) -> Figure:
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
        "Variant": "variant", "Figure": "metric", "Published": "published", "Here": "here", "n": "n",
        "Difference": "difference", "Expected": "run",
    }  # fmt: skip
    caption = (
        "Published test results and ours, mean ± SD over n seeds (one seed has no SD). Inside or outside: whether the "
        f"published result lies in the {context['results']['confidence']} interval that our runs predict for it."
    )
    return [PaperTable.of("published", context["published"]["rows"], columns, caption)]


def _leak_tables(context: dict[str, Any]) -> list[PaperTable]:
    columns = {
        "Variant": "variant", "Images": "kind", "Share %": "share", "Splits": "splits",
        "Published kind": "published", "Clean": "clean",
        "Difference": "leak", "Interval": "interval",
    }  # fmt: skip
    caption = "Test top-1 % on published splits and on clean ones; 95 % intervals over splits."
    return [PaperTable.of("leak", context["leak"]["rows"], columns, caption)]


PUBLISHED = Section("published", "Published results and ours", build, _tables)
LEAK = Section("leak", "Leak cost", build_leak, _leak_tables)
