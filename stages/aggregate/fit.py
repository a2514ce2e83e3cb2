"""Underfit, fits, overfit or not decided: a verdict on the learning curves of a variant, with its rule.

A rule holds where the interval of its figure over the seeds lies beyond the limit, and is open where the limit lies
in it. Where seeds have splits of their own, it is the interval over the splits, as in summary.csv.
"""

from __future__ import annotations

import math
import statistics
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.aggregate import resampled
from stages.aggregate.summary import over_splits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.aggregate.collect import CellResults, Tested
    from stages.aggregate.params import Fit


class _Interval(NamedTuple):
    """A mean over the seeds, and the ends of its interval."""

    mean: float
    low: float
    high: float

    def negative(self) -> _Interval:
        """Of the figure with the other sign."""
        return _Interval(-self.mean, -self.high, -self.low)


COLUMNS = ["variant", "verdict", "rule", "train_top1", "val_top1", "gap", "val_loss_rise", "val_loss_fall"]
COLUMNS += ["rise_of_chance", "fall_of_chance"]


def verdicts(found: list[CellResults], rules: Fit, alpha: float, tested: Sequence[Tested] = ()) -> list[dict[str, Any]]:
    """The rows of fit.csv: one for each variant, its figures are means over its seeds; `tested` are the splits.

    `gap` is top-1 on train less top-1 on validation, of the weights kept. `val_loss_rise` is how far the last
    validation loss stands above the lowest, `val_loss_fall` how far it fell in the last quarter of the epochs, both as
    a fraction of that loss; `rise_of_chance` and `fall_of_chance` are the same changes as a fraction of the loss of
    guessing, log(classes). A change counts when it is large by both: a tenth of a loss near 0 is nothing.
    """
    by_variant = groupby(found, attrgetter("variant"))
    return [_verdict(variant, list(cells), rules, alpha, tested) for variant, cells in by_variant]


def _verdict(
    variant: str, cells: list[CellResults], rules: Fit, alpha: float, tested: Sequence[Tested]
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"variant": variant}
    if not all(cell.history for cell in cells):
        return row | {"verdict": "not trained", "rule": "there is no epoch"}
    found = [_figures(cell) for cell in cells]
    each = {key: [figures[key] for figures in found] for key in found[0]}
    intervals = {key: _range(values, cells, alpha, tested, key) for key, values in each.items()}
    verdict, rule = _judge(intervals, rules, len(cells), len(tested))
    return row | {key: statistics.mean(values) for key, values in each.items()} | {"verdict": verdict, "rule": rule}


def _figures(cell: CellResults) -> dict[str, float]:
    """What the rules look at, of one cell."""
    losses, chance = [float(epoch["val_loss"]) for epoch in cell.history], math.log(max(2, len(cell.config["classes"])))
    last, lowest = losses[-1], min(losses)
    before = losses[-1 - max(1, len(losses) // 4)] if len(losses) > 1 else last  # the last quarter of the epochs
    train, val = cell.metrics["train", "top1"], cell.metrics["val", "top1"]
    return {
        "train_top1": train,
        "val_top1": val,
        "gap": train - val,
        "val_loss_rise": last / lowest - 1,
        "val_loss_fall": 1 - last / before,
        "rise_of_chance": (last - lowest) / chance,
        "fall_of_chance": (before - last) / chance,
    }


def _judge(over: dict[str, _Interval], rules: Fit, seeds: int, splits: int) -> tuple[str, str]:
    """The first rule that surely holds; "not decided" where none does and the seeds or splits leave one open."""
    floor = f"{rules.floor * 100:g} % of the loss of guessing"
    gap, train, fall, rise = (over[key] for key in ("gap", "train_top1", "val_loss_fall", "val_loss_rise"))
    train = train._replace(low=max(train.low, 0.0), high=min(train.high, 1.0))
    of_gap = f"top-1 on train is {_gap(gap)} validation (rule: more than {rules.gap * 100:g})"
    of_train = f"top-1 on train is {_words(train, '%')} (rule: less than {rules.low * 100:g} %)"
    of_fall = f"validation loss {_fell(fall)} in the last quarter of the epochs "
    of_fall += f"(rule: more than {rules.fall * 100:g} %, and than {floor})"
    of_rise = f"validation loss ended {_words(rise, '%')} above its lowest "
    of_rise += f"(rule: more than {rules.rise * 100:g} %, and than {floor})"
    # Verdict, whether it surely holds, whether it may hold, and the rule: both ends of the interval decide.
    tests = [
        ("overfit", gap.low > rules.gap, gap.high > rules.gap, of_gap),
        ("underfit", train.high < rules.low, train.low < rules.low, of_train),
        ("underfit", *_above(fall, rules.fall, over["fall_of_chance"], rules.floor), of_fall),
        ("overfit", *_above(rise, rules.rise, over["rise_of_chance"], rules.floor), of_rise),
    ]
    alone = "; one seed, so this is said of one network" if seeds == 1 else ""
    for verdict, surely, _, words in tests:
        if surely:
            return verdict, words + alone
    for verdict, _, perhaps, words in tests:
        if perhaps:
            runs = "splits" if splits > 1 else "seeds"
            return "not decided", f"{words}; the {runs} leave open whether it is {verdict}"
    return "fits", (
        f"train is {_gap(gap)} validation (at most {rules.gap * 100:g}), and validation loss "
        f"neither fell by more than {rules.fall * 100:g} % at the end nor rose by more than {rules.rise * 100:g} % "
        f"(a change of less than {floor} does not count){alone}"
    )


def _range(
    values: list[float], cells: list[CellResults], alpha: float, tested: Sequence[Tested], key: str
) -> _Interval:
    """Mean and the ends of its interval over seeds or splits; of one seed the value itself."""
    if len(tested) > 1:
        of_seed = {cell.seed: value for cell, value in zip(cells, values, strict=True)}
        groups = [[of_seed[s] for s in one.split.seeds] for one in tested]
        ratio = resampled.held_out_ratio(list(tested), "train" if key == "train_top1" else "val")
    else:
        groups, ratio = [values], 0.0
    row = over_splits(groups, ratio, alpha)
    mean, low, high = row["mean"], row["ci_low"], row["ci_high"]
    return _Interval(mean, mean if low is None else low, mean if high is None else high)


def _above(first: _Interval, limit: float, second: _Interval, other: float) -> tuple[bool, bool]:
    """Whether two figures surely are above their limits, and whether they may be."""
    return first.low > limit and second.low > other, first.high > limit and second.high > other


def _gap(values: _Interval) -> str:
    return f"{_words(values.negative(), 'points')} below" if values.mean < 0 else f"{_words(values, 'points')} above"


def _fell(values: _Interval) -> str:
    """The change of a loss in words that fit the sign of its mean."""
    return f"rose by {_words(values.negative(), '%')}" if values.mean < 0 else f"still fell by {_words(values, '%')}"


def _words(values: _Interval, unit: str) -> str:
    mean, low, high = (100 * value for value in values)
    spread = f" ({low:.1f} to {high:.1f})" if high > low else ""
    return f"{mean:.1f}{spread} {unit}".replace("-", "−")  # noqa: RUF001 - a minus is meant
