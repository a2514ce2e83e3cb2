"""Over the seeds and splits of a variant: mean, sample SD and t-interval; how much splits and seeds vary."""

from __future__ import annotations

import math
import statistics
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit
from scipy.stats import chi2, f

from stages.aggregate import resampled
from stages.core.cells import PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stages.aggregate.collect import CellResults, SharedSplit, Tested

# In these tables the column `split` is a part of a split: train, val or test.
VARIANCE = ["variant", "split", "metric", "part", "n", "df", "sd", "sd_low", "sd_high"]  # columns of variance.csv
SELECTION = {"val": ("top1", "loss"), "test": ("top1", "macro_f1", "nll", "ece")}  # what `dvc metrics diff` shows


def over_seeds(values: Sequence[float], alpha: float) -> dict[str, Any]:
    """`n`, `mean`, sample `sd` and the two-sided t-interval for the mean; all but `n` and `mean` are None for n = 1.

    The interval covers what the seeds vary (initialisation, order, augmentation, dropout), on these very images. There
    is none where all values are the same: they do not show how much one varies.
    """
    n, mean = len(values), math.fsum(values) / len(values)
    sd = statistics.stdev(values) if n > 1 else None
    half = float(stdtrit(n - 1, 1 - alpha / 2)) * sd / math.sqrt(n) if sd else None
    return {"n": n, "mean": mean, "sd": sd, **_around(mean, half)}


def _around(mean: float, half: float | None) -> dict[str, float | None]:
    return {"ci_low": None, "ci_high": None} if half is None else {"ci_low": mean - half, "ci_high": mean + half}


def over_splits(values: list[list[float]], ratio: float, alpha: float) -> dict[str, Any]:
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
    means = np.array([math.fsum(split) / len(split) for split in values])
    within = float(np.mean([statistics.variance(split) / len(split) if len(split) > 1 else 0.0 for split in values]))
    variance = resampled.variance_of_mean(means, ratio, within)
    half = float(stdtrit(len(means) - 1, 1 - alpha / 2) * np.sqrt(variance))
    return row | _around(row["mean"], half)


def runs(found: list[CellResults]) -> list[dict[str, Any]]:
    """The rows of runs.csv: every metric of every cell."""
    return [
        {"variant": cell.variant, "seed": cell.seed, "split": part, "metric": metric, "value": value}
        for cell in found
        for (part, metric), value in cell.metrics.items()
    ]


def summary(found: list[CellResults], tested: list[Tested], alpha: float) -> list[dict[str, Any]]:
    """The rows of summary.csv: every metric of every variant, over its seeds."""
    split_of = {seed: number for number, one in enumerate(tested) for seed in one.split.seeds}
    groups: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for cell in found:
        for (part, metric), value in cell.metrics.items():
            groups.setdefault((cell.variant, part, metric), {}).setdefault(split_of[cell.seed], []).append(value)
    ratios = {part: resampled.held_out_ratio(tested, part) for part in PARTS}
    return [
        {"variant": variant, "split": part, "metric": metric, **over_splits(list(values.values()), ratios[part], alpha)}
        for (variant, part, metric), values in groups.items()
    ]


def selection(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """metrics.json: variant -> part -> metric -> mean and sd, of the few metrics that `dvc metrics diff` shows."""
    chosen: dict[str, Any] = {}
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
            "split": part,
            "loss": _number(row.get(f"{part}_loss")),
            "top1": _number(row.get(f"{part}_top1")),
        }
        for cell in found
        for row in cell.history
        for part in ("train", "val")
    ]


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def variance(found: list[CellResults], splits: list[SharedSplit], alpha: float) -> list[dict[str, Any]]:
    """The rows of variance.csv: how much of the spread of a metric is the split's, how much the initialisation's.

    Seeds that share a split vary in what training draws at random (initial weights, order, augmentation, dropout), here
    called initialisation; splits vary in which images are trained on and which are tested (Bouthillier et al. 2021).
    With several seeds on each of several splits, a balanced nested random-effects analysis of variance tells the two
    apart (Searle, Casella and McCulloch 1992): the mean square within splits is the variance of the initialisation, the
    mean square between them less that, divided by the seeds of a split, the variance of the split. A negative estimate
    counts as 0.

    The column `part` is the cause: `initialisation` (seeds on one split), `split`, or `total`, of one run on a split of
    its own; `n` is the number of seeds or splits that it is estimated from. A metric that some cell does not have is
    left out.
    """
    rows = []
    for variant, cells in groupby(found, attrgetter("variant")):
        metrics = {cell.seed: cell.metrics for cell in cells}
        for part, metric in next(iter(metrics.values())):
            if all((part, metric) in of_cell for of_cell in metrics.values()):
                table = np.array([[metrics[seed][part, metric] for seed in split.seeds] for split in splits])
                about = {"variant": variant, "split": part, "metric": metric}
                same = dict.fromkeys(("sd_low", "sd_high")) if np.ptp(table) == 0 else {}  # shows no variation
                rows += [about | cause | same for cause in causes(table, alpha)]
    return rows


def causes(table: NDArray[np.float64], alpha: float) -> list[dict[str, Any]]:
    """The causes of the variance of values (splits, seeds of a split) that the design shows, as standard deviations."""
    splits, seeds = table.shape
    if table.size == 1:
        return []
    if splits == 1 or seeds == 1:
        spread, freedom = float(table.var(ddof=1)), table.size - 1
        cause = "initialisation" if splits == 1 else "total"
        return [_row(cause, table.size, freedom, spread, _chi_squared(spread, freedom, alpha))]
    within, between = float(table.var(axis=1, ddof=1).mean()), seeds * float(table.mean(axis=1).var(ddof=1))
    inside, outside = splits * (seeds - 1), splits - 1
    of_split = max(between - within, 0.0) / seeds
    total = of_split + within
    # Satterthwaite (1946): total = between / seeds + (1 - 1 / seeds) within
    terms = [(between / seeds, outside), (within * (1 - 1 / seeds), inside)]
    squares = sum(mean_square**2 / freedom for mean_square, freedom in terms)
    freedom_of_total = sum(mean_square for mean_square, _ in terms) ** 2 / squares if squares else float(inside)
    limits = _williams(between, within, outside, inside, seeds, alpha)
    return [
        _row("initialisation", table.size, inside, within, _chi_squared(within, inside, alpha)),
        _row("split", splits, outside, of_split, limits),
        _row("total", table.size, freedom_of_total, total, _graybill_wang(terms, alpha)),
    ]


def _row(cause: str, n: int, freedom: float, spread: float, limits: tuple[float, float]) -> dict[str, Any]:
    """As standard deviations; no interval where even its upper limit is not above 0: it would be one of no width."""
    low, high = (math.sqrt(max(limit, 0.0)) for limit in limits)
    ends = {"sd_low": low if high else None, "sd_high": high or None}
    return {"part": cause, "n": n, "df": freedom, "sd": math.sqrt(spread), **ends}


def _chi_squared(spread: float, freedom: float, alpha: float) -> tuple[float, float]:
    """The interval of a variance."""
    low, high = chi2.ppf([1 - alpha / 2, alpha / 2], freedom)
    return float(freedom * spread / low), float(freedom * spread / high)


def _graybill_wang(terms: list[tuple[float, int]], alpha: float) -> tuple[float, float]:
    """The interval of a sum of mean squares, each with its degrees of freedom (Graybill and Wang 1980)."""
    below = [value * (1 - freedom / chi2.ppf(1 - alpha / 2, freedom)) for value, freedom in terms]
    above = [value * (freedom / chi2.ppf(alpha / 2, freedom) - 1) for value, freedom in terms]
    total = sum(value for value, _ in terms)
    return total - math.hypot(*below), total + math.hypot(*above)


def _williams(
    between: float, within: float, outside: int, inside: int, seeds: int, alpha: float
) -> tuple[float, float]:
    """The interval of the variance between groups (Williams 1962), which covers at least 1 - alpha."""
    ends = f.ppf([1 - alpha / 2, alpha / 2], outside, inside)
    marks = chi2.ppf([1 - alpha / 2, alpha / 2], outside)
    low, high = (outside * (between - within * end) / (seeds * mark) for end, mark in zip(ends, marks, strict=True))
    return float(low), float(high)
