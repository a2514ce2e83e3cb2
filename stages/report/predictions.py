"""The predictions on the test set: confused classes, results per class, calibration of confidence, robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.cells import evaluate_folder
from stages.core.seeding import generator
from stages.report.evidence import table
from stages.report.figures import DISTINCT, confusion_matrix, legend, reliability_diagram, shares, strength_chart
from stages.report.page import PaperTable, Section, belonging, metric_name, number, plural, reach, span, spread_of
from stages.report.ranking import METRIC, ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

METRICS = ("precision", "recall", "f1")
SHOWN = 60  # hardest classes in the table of all variants
CALIBRATED = ("ece", "ece_scaled", "nll", "nll_scaled", "brier", "brier_scaled")
DRAWS = 200
# Of an ECE: the files hold rounded confidences, and confidences near 1 give an ECE that is only rounding.
ROUNDING = 1e-4
CLEAN = "none"
DESCENDING = ("jpeg",)  # the larger the number, the weaker the change
UNITS = {
    "rotation": "degrees", "shift": "share of the side", "scale": "factor", "brightness": "factor",
    "blur": "SD, share of the side", "noise": "SD, share of white", "jpeg": "quality",
}  # fmt: skip
FLIPPED = {0.0: "no", 1.0: "yes"}


def confusion(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """One matrix for each variant, summed over seeds, and the pairs of classes that it confuses most."""
    small = len(evidence.classes) <= evidence.settings.matrix_classes
    variants = [
        {
            "name": variant,
            "rows": _rows(counts, evidence.classes) if small else [],
            "figure": confusion_matrix(variant, counts, evidence.classes, figures, numbers=small),
            "pairs": _pairs(counts, evidence, evidence.settings.pairs),
        }
        for variant, counts in _matrices(evidence).items()
    ]
    seeds = plural(len(evidence.study.seeds), "seed")
    return {
        "classes": evidence.classes,
        "small": small,
        "upright": max(map(len, evidence.classes)) <= 3,
        "variants": variants,
        "note": f"Test set, counts summed over {seeds}. Rows are the true class, columns the predicted class.",
    }


def confused(evidence: StudyEvidence, most: int | None = None) -> dict[str, list[tuple[str, str]]]:
    """Variant -> (label, predicted) of its most frequent confusions, the most frequent first; at most `most`."""
    most = most or evidence.settings.pairs
    return {
        variant: [(pair["label"], pair["predicted"]) for pair in _pairs(counts, evidence, most)]
        for variant, counts in _matrices(evidence).items()
    }


def _matrices(evidence: StudyEvidence) -> dict[str, Counts]:
    """Variant -> test images by true class (rows) and predicted class (columns), in class order, over all seeds."""
    counts = evidence.cells("confusion.csv").query("split == 'test'")
    place = {label: i for i, label in enumerate(evidence.classes)}
    found = {}
    for variant in evidence.variants:
        own = counts[counts["variant"] == variant]
        found[variant] = np.zeros((len(place), len(place)), dtype=np.int64)
        np.add.at(found[variant], (own["label"].map(place), own["predicted"].map(place)), own["count"])
    return found


def _rows(counts: Counts, classes: list[str]) -> list[dict[str, Any]]:
    def cell(count: int, share: float) -> dict[str, Any]:
        return {"count": count, "share": round(share, 3), "percent": f"{100 * share:.0f}" if share >= 0.005 else "<1"}

    rows = zip(classes, counts.tolist(), shares(counts).tolist(), strict=True)
    return [{"label": label, "cells": list(map(cell, row, shares))} for label, row, shares in rows]


def _pairs(counts: Counts, evidence: StudyEvidence, most: int) -> list[dict[str, Any]]:
    """The most frequent confusions with their counts; equally frequent ones are in class order."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    share = shares(counts)
    found = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:most]:
        i, j = divmod(int(place), len(evidence.classes))
        if wrong[i, j]:
            label, predicted = evidence.classes[i], evidence.classes[j]
            pair = {"label": label, "predicted": predicted}
            found.append(pair | {"count": int(wrong[i, j]), "share": f"{100 * share[i, j]:.1f}"})
    return found


def per_class(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """A table for each variant, and one with the F1 of all variants."""
    found = evidence.cells("per_class.csv").query("split == 'test'")  # in the order of variant, seed and class
    shape = (len(evidence.variants), len(evidence.study.seeds), len(evidence.classes))
    values = {metric: found[metric].to_numpy(dtype=float).reshape(shape) for metric in METRICS}
    support = found["support"].to_numpy(dtype=int).reshape(shape)[0]  # (seeds, classes): seeds may differ in the split
    variants = [
        {
            "name": variant,
            "rows": [
                {
                    "label": label,
                    "support": reach(support[:, c].tolist()),
                    "cells": [spread_of(values[metric][v, :, c], metric) for metric in METRICS],
                }
                for c, label in enumerate(evidence.classes)
            ],
        }
        for v, variant in enumerate(evidence.variants)
    ]
    f1 = values["f1"].mean(axis=1)
    hardest = [
        {
            "label": evidence.classes[c],
            "cells": [{"value": number(float(x), "f1"), "share": round(float(x), 3)} for x in f1[:, c]],
        }
        for c in np.argsort(f1.mean(axis=0), kind="stable")
    ]
    return {"variants": variants, "hardest": hardest[:SHOWN], "classes": len(evidence.classes)}


def _tables(context: dict[str, Any]) -> list[PaperTable]:
    return [
        PaperTable(
            f"classes_{variant['name']}",
            ["Class", "Images", "Precision", "Recall", "F1"],
            [[row["label"], row["support"], *row["cells"]] for row in variant["rows"]],
            f"{variant['name']} on the test set, per class, in percent, {context['spread']}.",
        )
        for variant in context["per_class"]["variants"]
    ]


def calibration(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """A table of all variants, and a diagram for each with the images of all seeds."""
    counts = evidence.cells("calibration.csv").query("split == 'test' and n > 0")
    bins = round(1 / float((counts["bin_high"] - counts["bin_low"]).iloc[0]))
    rows = [
        {
            "variant": variant,
            "cells": [evidence.shown(variant, "test", metric, 1)["value"] for metric in CALIBRATED],
            "temperature": evidence.shown(variant, "val", "temperature", 1)["value"],
            **_calibrated(evidence, variant, bins),
        }
        for variant in evidence.variants
    ]
    diagrams = {v: reliability_diagram(v, counts[counts["variant"] == v], figures) for v in evidence.variants}
    return {
        "bins": bins,
        "note": note(evidence),
        "columns": [metric_name(metric) for metric in CALIBRATED],
        "rows": rows,
        "diagrams": diagrams,
    }


def note(evidence: StudyEvidence) -> str:
    """How to read an ECE and the verdict on it."""
    alike = f", and if {belonging(evidence.named)} were right or wrong together"
    bound = " Pictures of one named group are rarely right or wrong all together, so this is an upper bound, and a "
    bound += "smaller miscalibration may go unseen."
    return (
        "Even a perfectly calibrated network has an ECE above 0, because each bin holds few images. “ECE if "
        "calibrated” is the mean ECE that these confidences would give if they were perfectly calibrated"
        f"{'' if evidence.few_groups else alike}.{bound if evidence.named and not evidence.few_groups else ''} "
        "A network is called miscalibrated if its ECE is "
        f"larger than chance explains: at most about {100 * evidence.alpha:g} % of calibrated networks are called so, "
        "each judged by itself."
    )


def _calibrated(evidence: StudyEvidence, variant: str, bins: int) -> dict[str, str]:
    """The mean ECE of this variant if its confidences were calibrated, and the verdict on its own ECE."""
    tables = [table(evaluate_folder(variant, seed) / "predictions.parquet") for seed in evidence.study.seeds]
    tests = [one[one["split"] == "test"] for one in tables]
    group = {} if evidence.few_groups else evidence.group_of  # too few groups are not drawn as one, as in aggregate
    runs = [([group.get(i, i) for i in one["image_id"]], one["confidence"].to_numpy(dtype=float)) for one in tests]
    mean = null(runs, bins)
    high = evidence.summary[variant, "test", "ece"].mean > np.quantile(mean, 1 - evidence.alpha) + ROUNDING
    verdict = "miscalibrated" if high else "no sign of miscalibration"
    return {"null": number(float(mean.mean()), "ece"), "verdict": verdict}


def null(runs: list[tuple[list[str], Floats]], bins: int) -> Floats:
    """Mean ECE (draws,) of runs, groups of the images and confidences of each, that are right as often as they say.

    A group has one draw for all its images and all runs that test it: copies are right or wrong together.
    """
    every = {group: place for place, group in enumerate(dict.fromkeys(group for groups, _ in runs for group in groups))}
    luck = generator(0, "calibration").random((DRAWS, len(every)), dtype=np.float32)
    errors = [_null(confidence, bins, luck[:, [every[group] for group in groups]]) for groups, confidence in runs]
    return np.asarray(np.mean(errors, axis=0))


def _null(confidence: Floats, bins: int, luck: NDArray[np.float32]) -> Floats:
    """ECE (draws,) of one run; an image is right where its `luck` (draws, images) is below its confidence (images,)."""
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    order = np.argsort(place, kind="stable")
    _, starts = np.unique(place[order], return_index=True)
    luck = luck[:, order]
    gap = np.add.reduceat((luck < confidence[order]) - confidence[order], starts, axis=1)
    return np.asarray(np.abs(gap).sum(axis=1) / len(confidence))


def robustness(evidence: StudyEvidence, figures: Figures) -> dict[str, Any] | None:
    """A chart for each transform, and a table of every strength; None where nothing is transformed."""
    order, cells = ranking(evidence).order, evidence.cells("robustness.csv")
    shape = (len(evidence.variants), len(evidence.study.seeds), -1)
    ranked = [evidence.variants.index(variant) for variant in order]
    top1 = cells["top1"].to_numpy(dtype=float).reshape(shape)[ranked]  # (variants, seeds, settings)
    changed = cells["changed"].to_numpy(dtype=float).reshape(shape).min(axis=(0, 1))
    first = cells.iloc[: top1.shape[2]]
    settings = list(zip(first["transform"], first["strength"], strict=True))
    clean = [name for name, _ in settings].index(CLEAN)
    rows, charts = [], []
    for name in dict.fromkeys(name for name, _ in settings if name != CLEAN):
        title, unit = "JPEG" if name == "jpeg" else name.replace("_", " "), UNITS.get(name, "")
        places = _places(settings, name)
        labels = [_strength(name, settings[place][1]) for place in places]
        rows += [
            {
                "transform": title,
                "unit": unit,
                "strength": label,
                "changed": f"{100 * changed[place]:.0f}",
                "cells": [_cell(top1[v, :, place], top1[v, :, clean]) for v in range(len(order))],
            }
            for place, label in zip(places, labels, strict=True)
        ]
        if changed[places].all():  # no strength leaves the images unchanged: begin with the clean images
            labels, places = ["clean", *labels], [clean, *places]
        charts.append(strength_chart(name, (title, unit or "flipped"), labels, top1[:, :, places], order, figures))
    if not charts:
        return None
    images = span([int(cells["n"].min()), int(cells["n"].max())], "test image")  # splits may differ in their number
    return {
        "variants": order,
        "few": len(order) <= DISTINCT,
        "rows": rows,
        "charts": charts,
        "key": legend(order, figures),
        "note": (
            f"Top-1 % of all variants on {images} that are transformed before normalisation; "
            f"{'mean over seeds, bars show ± SD' if top1.shape[1] > 1 else 'one seed'}. A network that was trained "
            "with an augmentation has already seen that kind of change."
        ),
    }


def _places(settings: list[tuple[str, float]], transform: str) -> list[int]:
    """The rows of the strengths of a transform, from the weakest change to the strongest."""
    places = [i for i, (name, _) in enumerate(settings) if name == transform]
    return sorted(places, key=lambda i: settings[i][1], reverse=transform in DESCENDING)


def _strength(transform: str, strength: float) -> str:
    """A strength as the axis shows it; a flip has no strength."""
    return FLIPPED.get(strength, f"{strength:g}") if transform.endswith("flip") else f"{strength:g}"


def _cell(seeds: Floats, clean: Floats) -> dict[str, Any]:
    return {
        "value": number(float(seeds.mean()), METRIC),
        "drop": spread_of(seeds - clean, METRIC),
        "share": round(float(seeds.mean()), 3),
    }


CONFUSION = Section("confusion", "Confusion", confusion)
PER_CLASS = Section("per_class", "Classes", per_class, _tables)
CALIBRATION = Section("calibration", "Calibration", calibration)
ROBUSTNESS = Section("robustness", "Robustness", robustness)
