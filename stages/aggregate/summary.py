"""Mean, sample SD and t-interval over seeds."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from stages.aggregate import resampled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.aggregate.collect import CellResults, Tested

SELECTION = {"val": ("top1", "loss"), "test": ("top1", "macro_f1", "nll", "ece")}  # what `dvc metrics diff` shows


def over_seeds(values: Sequence[float], alpha: float) -> dict[str, float | int | None]:
    """`n`, `mean`, sample `sd` and the two-sided t-interval for the mean; all but `n` and `mean` are None for n = 1.

    The interval covers what the seeds vary (initialisation, order, augmentation, dropout), on these very images. There
    is none where all values are the same: they do not show how much one varies.
    """
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return {"n": 1, "mean": mean, "sd": None, "ci_low": None, "ci_high": None}
    from scipy.special import stdtrit

    sd = statistics.stdev(values)
    if sd == 0:
        return {"n": n, "mean": mean, "sd": sd, "ci_low": None, "ci_high": None}
    half = float(stdtrit(n - 1, 1 - alpha / 2)) * sd / math.sqrt(n)
    return {"n": n, "mean": mean, "sd": sd, "ci_low": mean - half, "ci_high": mean + half}


def over_splits(values: list[list[float]], ratio: float, alpha: float) -> dict[str, float | int | None]:
    """The same where seeds have splits of their own: values of the seeds of each split.

    The interval covers new images of this kind, too. Training sets overlap, so that its width is that of the
    corrected resampled t-test (Nadeau and Bengio 2003) over the splits' means, whose variance counts as no less than
    that of their seeds; `sd` is that of all seeds.

    Args:
        values: of each split that has any.
        ratio: images held out for each image trained on.
        alpha: the interval covers 1 - alpha.
    """
    row = over_seeds([value for split in values for value in split], alpha)
    if len(values) == 1 or row["sd"] == 0:
        return row
    import numpy as np
    from scipy.special import stdtrit

    means = np.array([math.fsum(split) / len(split) for split in values])
    of_seeds = float(np.mean([statistics.variance(split) / len(split) if len(split) > 1 else 0.0 for split in values]))
    variance = resampled.variance_of_mean(means, ratio, of_seeds)
    half = float(stdtrit(len(means) - 1, 1 - alpha / 2) * np.sqrt(variance))
    mean = float(row["mean"])  # type: ignore[arg-type]  # only sd and the interval may be None
    return row | {"ci_low": mean - half, "ci_high": mean + half}


def runs(found: list[CellResults]) -> list[dict[str, Any]]:
    """The rows of runs.csv: every metric of every cell."""
    return [
        {"variant": cell.variant, "seed": cell.seed, "split": split, "metric": metric, "value": value}
        for cell in found
        for (split, metric), value in cell.metrics.items()
    ]


def summary(found: list[CellResults], tested: list[Tested], alpha: float) -> list[dict[str, Any]]:
    """The rows of summary.csv: every metric of every variant, over its seeds."""
    place = {seed: number for number, one in enumerate(tested) for seed in one.split.seeds}
    groups: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for cell in found:
        for (split, metric), value in cell.metrics.items():
            groups.setdefault((cell.variant, split, metric), {}).setdefault(place[cell.seed], []).append(value)
    ratios = {part: resampled.ratio(tested, part) for part in ("train", "val", "test")}
    return [
        {"variant": variant, "split": part, "metric": metric, **over_splits(list(values.values()), ratios[part], alpha)}
        for (variant, part, metric), values in groups.items()
    ]


def selection(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, dict[str, float | None]]]]:
    """metrics.json: variant -> split -> metric -> mean and sd, of the few metrics that `dvc metrics diff` shows."""
    chosen: dict[str, dict[str, dict[str, dict[str, float | None]]]] = {}
    for row in rows:
        if row["metric"] in SELECTION.get(row["split"], ()):
            place = chosen.setdefault(row["variant"], {}).setdefault(row["split"], {})
            place[row["metric"]] = {"mean": row["mean"], "sd": row["sd"]}
    return chosen


def curves(found: list[CellResults]) -> list[dict[str, Any]]:
    """The rows of curves.csv: loss and top-1 of every epoch, train and validation."""
    return [
        {
            "variant": cell.variant,
            "seed": cell.seed,
            "epoch": int(row["epoch"]),
            "split": split,
            "loss": _number(row.get(f"{split}_loss")),
            "top1": _number(row.get(f"{split}_top1")),
        }
        for cell in found
        for row in cell.history
        for split in ("train", "val")
    ]


def _number(text: str | None) -> float | None:
    return float(text) if text else None
