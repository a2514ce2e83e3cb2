"""Underfit, fits or overfit: a verdict on the learning curves of a variant, with the rule that gave it."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.aggregate.collect import Cell
    from stages.aggregate.params import Fit

COLUMNS = ["variant", "verdict", "rule", "train_top1", "val_top1", "gap", "val_loss_rise", "val_loss_fall"]
COLUMNS += ["rise_of_chance", "fall_of_chance"]


def verdicts(found: list[Cell], rules: Fit) -> list[dict[str, Any]]:
    """The rows of fit.csv: one for each variant, its figures are means over its seeds.

    `gap` is top-1 on train less top-1 on validation, of the weights kept. `val_loss_rise` is how far the last
    validation loss stands above the lowest, `val_loss_fall` how far it fell in the last quarter of the epochs, both as
    a fraction of that loss; `rise_of_chance` and `fall_of_chance` are the same changes as a fraction of the loss of
    guessing, log(classes). A change counts when it is large by both: a tenth of a loss near 0 is nothing.
    """
    by_variant: dict[str, list[Cell]] = {}
    for cell in found:
        by_variant.setdefault(cell.variant, []).append(cell)
    return [_verdict(variant, cells, rules) for variant, cells in by_variant.items()]


def _verdict(variant: str, cells: list[Cell], rules: Fit) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"variant": variant}
    losses = [[float(epoch["val_loss"]) for epoch in cell.history if epoch.get("val_loss")] for cell in cells]
    if not all(cell.history for cell in cells):
        return row | {"verdict": "not trained", "rule": "there is no epoch"}
    if not all(losses) or any(("val", "top1") not in cell.metrics for cell in cells):
        return row | {"verdict": "unknown", "rule": "there is no validation image"}
    train, val = (statistics.mean(cell.metrics[split, "top1"] for cell in cells) for split in ("train", "val"))
    gap = train - val
    chance = math.log(max(2, len(cells[0].config["classes"])))
    earlier = [loss[-1 - max(1, len(loss) // 4)] if len(loss) > 1 else loss[-1] for loss in losses]
    row |= {
        "train_top1": train,
        "val_top1": val,
        "gap": gap,
        "val_loss_rise": statistics.mean(loss[-1] / min(loss) - 1 for loss in losses),
        "val_loss_fall": statistics.mean(1 - loss[-1] / old for loss, old in zip(losses, earlier, strict=True)),
        "rise_of_chance": statistics.mean(loss[-1] - min(loss) for loss in losses) / chance,
        "fall_of_chance": statistics.mean(old - loss[-1] for loss, old in zip(losses, earlier, strict=True)) / chance,
    }
    verdict, rule = _judge(row, rules)
    return row | {"verdict": verdict, "rule": rule}


def _judge(row: dict[str, Any], rules: Fit) -> tuple[str, str]:
    train, gap, rise, fall = row["train_top1"], row["gap"], row["val_loss_rise"], row["val_loss_fall"]
    floor = f"{rules.floor * 100:g} % of the loss of guessing"
    if gap > rules.gap:
        return "overfit", (
            f"top-1 on train is {gap * 100:.1f} points above validation (rule: more than {rules.gap * 100:g})"
        )
    if train < rules.low:
        return "underfit", f"top-1 on train is {train * 100:.1f} % (rule: less than {rules.low * 100:g} %)"
    if fall > rules.fall and row["fall_of_chance"] > rules.floor:
        return "underfit", (
            f"validation loss still fell by {fall * 100:.1f} % in the last quarter of the epochs "
            f"(rule: more than {rules.fall * 100:g} %, and than {floor})"
        )
    if rise > rules.rise and row["rise_of_chance"] > rules.floor:
        return "overfit", (
            f"validation loss ended {rise * 100:.1f} % above its lowest "
            f"(rule: more than {rules.rise * 100:g} %, and than {floor})"
        )
    return "fits", (
        f"train is {gap * 100:.1f} points above validation (at most {rules.gap * 100:g}), and validation loss "
        f"neither fell by more than {rules.fall * 100:g} % at the end nor rose by more than {rules.rise * 100:g} % "
        f"(a change of less than {floor} does not count)"
    )
