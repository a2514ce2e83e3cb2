"""Published studies: reported results beside ours, findings in their data, and the gain from copies in training.

The rows come from the file that `report.published` names; `studies/published.csv` has those of the four studies. A
study has the section if one of its variants is such a system: `B1` is, and so is `B1_corrected`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, ValidationError

from stages.core import files
from stages.core.errors import UserError
from stages.report.figures import COLOURS, MUTED, name_rows
from stages.report.findings import hazards
from stages.report.page import (
    MISSING,
    PaperTable,
    Section,
    interval,
    metric_name,
    number,
    plus_minus,
    reach,
    signed,
    within,
)

if TYPE_CHECKING:
    from stages.report.evidence import MetricSummary, StudyEvidence
    from stages.report.figures import Figure, Figures

    _Ends = tuple[float | None, float | None]

ONE_SPLIT = (
    "The published results come from another split and often from other test images; our intervals cover neither."
)
SPLITS = "The intervals cover another split of our images; the published results often come from other images."
NOTE = "No verdict is given if our runs do not differ or if there is only one run."
EXPECTED = (
    "Expected: the interval that our runs predict for the mean of as many runs as were published. Inside or outside: "
    "whether the published result is in it."
)
_Share = Annotated[float, Field(ge=0, le=1)]

METRICS = ("top1", "top5", "loss")
KINDS = {
    "raw": "every test image",
    "all": "every family once",
    "copies": "a copy in training",
    "apart": "copies, none in training",
    "others": "no copy",
}
COUNTS = (
    "published_images", "clean_images", "train_images", "copies", "families", "class_published", "class_clean",
)  # fmt: skip
LEAK_SENTENCE = (
    "The same variants were trained on {splits} splits of the published kind ({published_images} test images; on "
    "average {copies} of them have a copy or a similar picture in the training set) and on {splits} clean splits "
    "({clean_images} test images, none with a copy in training). Every training set has {train_images} images, and the "
    "number of epochs is fixed."
)
LEAK_NOTE = (
    "“Every test image” is what users of the published split would have reported: there, a picture counts as often as "
    "it has copies. In the other rows a family (a picture with its copies and similar pictures) counts once, and has "
    "the same weight on both kinds of split: {families} families are tested on both. The last three rows, weighted by "
    "their share, add up to “every family once”. A gain comes from the copies and from the classes of the training "
    "images, which copies change too: on average, a training set of the published kind has {class_published} images "
    "of {class}, and a clean one has {class_clean}. The intervals (Welch, with the jackknife over the splits where "
    "families count) hold for new splits of these images and new seeds, not for other images. Each interval stands by "
    "itself: even if the copies had no effect, one of the five would exclude 0 in more than 5 of 100 measurements."
)


class Reported(BaseModel):
    """A row of the file: the reported results of a system. None is what the publication does not state."""

    model_config = ConfigDict(allow_inf_nan=False)

    system: str
    study: str
    epochs: str | None
    top1: _Share | None
    top1_sd: _Share | None
    top5: _Share | None
    loss: NonNegativeFloat | None
    loss_sd: NonNegativeFloat | None
    runs: PositiveInt | None
    test_images: PositiveInt | None
    epoch_seconds: NonNegativeFloat | None
    hardware: str | None
    note: str | None


def build(evidence: StudyEvidence, _: Figures) -> dict[str, Any] | None:
    """Reported results beside ours, and the conditions of both; None if no variant is a published system."""
    reported, mine = rows(evidence), systems(evidence)
    if not mine:
        return None
    studies = {reported[system].study for system in mine.values()}
    absent = [row for name, row in reported.items() if row.study in studies and name not in mine.values()]
    return {
        "source": evidence.settings.published,
        "rows": [row for variant, system in mine.items() for row in _figures(evidence, variant, reported[system])],
        "absent": [
            {"system": row.system}
            | {metric: number(getattr(row, metric), metric, evidence.digits) for metric in METRICS}
            for row in absent
        ],
        "conditions": [_conditions(evidence, variant, reported[system]) for variant, system in mine.items()],
        "hazards": hazards(evidence),
        "note": f"{EXPECTED} {SPLITS if evidence.several else ONE_SPLIT} {NOTE}",
    }


def rows(evidence: StudyEvidence) -> dict[str, Reported]:
    """System -> its row of the file.

    Raises:
        UserError: the file is missing or lacks a column, or holds text in the place of a number or one out of range.
    """
    name, needed, found = evidence.settings.published, Reported.model_fields, {}
    for row in files.read_rows(name, by_hand=True):
        if missing := [column for column in needed if column not in row]:
            raise UserError(f"{name} has no column `{missing[0]}`; it needs {', '.join(needed)}")
        try:
            found[row["system"]] = Reported.model_validate({column: text or None for column, text in row.items()})
        except ValidationError as error:
            wrong = error.errors()[0]
            where = f"{name}: `{wrong['loc'][0]}` of the system {row['system']}"
            raise UserError(f"{where} is {row.get(str(wrong['loc'][0]))!r}: {wrong['msg']}") from None
    return found


def systems(evidence: StudyEvidence) -> dict[str, str]:
    """Variant -> the published system that it repeats or corrects, for the variants that do."""
    known = rows(evidence)
    named = {variant: variant if variant in known else variant.split("_")[0] for variant in evidence.variants}
    return {variant: system for variant, system in named.items() if system in known}


def _figures(evidence: StudyEvidence, variant: str, row: Reported) -> list[dict[str, Any]]:
    """A row for each figure that was published and that this study has (top5 needs more than five classes)."""
    found, digits = [], evidence.digits
    for metric in METRICS:
        theirs, sd, ours = (
            getattr(row, metric),
            getattr(row, f"{metric}_sd", None),
            evidence.summary.get((variant, "test", metric)),
        )
        if theirs is None or ours is None:
            continue
        if evidence.several:
            low, high = on_another_split(evidence, variant, metric, row.runs or 1)
        else:
            low, high = expected(ours, sd, row.runs or 1, evidence.alpha)
        found.append(
            {
                "variant": variant,
                "metric": metric_name(metric),
                "published": plus_minus(theirs, sd, metric, digits),
                "here": evidence.shown(variant, "test", metric)["value"],
                "n": ours.n,
                "difference": signed(ours.mean - theirs, metric, digits),
                "run": _inside(theirs, low, high, metric, digits),
            }
        )
    return found


def expected(ours: MetricSummary, sd: float | None, runs: int, alpha: float) -> _Ends:
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


def on_another_split(evidence: StudyEvidence, variant: str, metric: str, runs: int) -> _Ends:
    """The same where our runs have splits of their own: the published runs share one split, which is none of ours.

    Our mean varies as the corrected resampled t-test has it, theirs as the mean of a split does. The split counts as
    no less than the means of ours show: few of them leave its part and that of the seeds uncertain.
    """
    from scipy.special import stdtrit

    found = evidence.runs.loc[lambda row: (row["variant"] == variant) & (row["metric"] == metric)]
    of_seed = found[found["split"] == "test"].set_index("seed")["value"]
    values = np.array([[of_seed[seed] for seed in split["seeds"]] for split in evidence.splits], dtype=float)
    splits, seeds = values.shape
    between, mean = float(values.mean(axis=1).var(ddof=1)), float(values.mean())
    if not between:
        return None, None
    within = float(values.var(axis=1, ddof=1).mean()) if seeds > 1 else 0.0
    of_splits, of_seeds = (1 + 1 / splits + evidence.held_out) * between, within * max(1 / runs - 1 / seeds, 0.0)
    t_splits, t_seeds = stdtrit([splits - 1, max(splits * (seeds - 1), 1)], 1 - evidence.alpha / 2).tolist()
    half = math.hypot(t_splits * math.sqrt(of_splits), t_seeds * math.sqrt(of_seeds))
    return mean - half, mean + half


def _inside(value: float, low: float | None, high: float | None, metric: str, digits: int) -> str:
    if low is None or high is None:
        return MISSING
    where = "inside" if low <= value <= high else "outside"
    return f"{where}: {interval(*within(low, high, metric), metric, digits)}"


def _conditions(evidence: StudyEvidence, variant: str, row: Reported) -> dict[str, Any]:
    epochs = [int(evidence.configs[variant, seed]["epochs_run"]) for seed in evidence.study.seeds]
    return {"variant": variant, "theirs": row, "ours": {"epochs": reach(epochs), "images": evidence.images("test")}}


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


def leak(evidence: StudyEvidence, figures: Figures) -> dict[str, Any] | None:
    """A row for each variant and kind of picture of the file `report.leak`; None where it names none of this study."""
    rows = files.read_rows(evidence.settings.leak, by_hand=True)
    found = [row for row in rows if row["variant"] in evidence.variants]
    if not found:
        return None
    shown = [(row, kind) for row in found for kind in KINDS if row[f"{kind}_leak"]]
    counts = found[0] | {key: f"{float(found[0][key]):,.0f}" for key in COUNTS}
    return {
        "source": evidence.settings.leak,
        "rows": [_leak_row(row, kind, evidence.digits) for row, kind in shown],
        "sentence": LEAK_SENTENCE.format(**counts),
        "note": LEAK_NOTE.format(**counts),
        "figure": _chart(shown, figures, evidence.digits),
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


def _chart(shown: list[tuple[dict[str, str], str]], figures: Figures, digits: int) -> Figure:
    """A point with its interval for each variant and kind of picture, and a line at 0."""
    canvas = figures.canvas(4.6, 0.8 + 0.24 * len(shown))
    axes = canvas.subplots()
    for y, (row, kind) in enumerate(shown):
        colour = COLOURS[list(KINDS).index(kind)]
        axes.plot([100 * float(row[f"{kind}_{end}"]) for end in ("low", "high")], [y, y], color=colour, lw=1.6)
        axes.plot(100 * float(row[f"{kind}_leak"]), y, "s", color=colour, ms=5)
    axes.axvline(0, color=MUTED, lw=1)
    name_rows(axes, [f"{row['variant']}, {KINDS[kind]}" for row, kind in shown])
    axes.set_xlabel("gain from the copies, points of test top-1", color=MUTED)
    raw = [f"{row['variant']} {signed(float(row['raw_leak']), 'top1', digits)}" for row, kind in shown if kind == "raw"]
    return figures.add(
        "leak", canvas, f"Gain from the copies in points of test top-1, every test image: {'; '.join(raw)}."
    )


def _leak_tables(context: dict[str, Any]) -> list[PaperTable]:
    columns = {
        "Variant": "variant", "Images": "kind", "Share %": "share", "Splits": "splits",
        "Published kind": "published", "Clean": "clean",
        "Difference": "leak", "Interval": "interval",
    }  # fmt: skip
    caption = "Test top-1 % on published splits and on clean ones; 95 % intervals over splits."
    return [PaperTable.of("leak", context["leak"]["rows"], columns, caption)]


PUBLISHED = Section("published", "Published results and ours", build, _tables)
LEAK = Section("leak", "Leak cost", leak, _leak_tables)
