"""Properties of metrics, by their names; and the effective number of groups of test images."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# Fractions that are printed in percent, and their differences in points; so is `top<k>` of every k.
PERCENT = {
    "balanced_accuracy", "robustness_drop", "ece", "ece_scaled", "precision", "recall", "f1",
    *(f"{kind}_{name}" for kind in ("macro", "micro", "weighted") for name in ("precision", "recall", "f1")),
}  # fmt: skip
# Least and largest value, where they are not 0 and 1 (of what is printed in percent) or 0 and infinity (of others).
LIMITS = {"mcc": (-1.0, 1.0), "robustness_drop": (-1.0, 1.0), "auroc": (0.0, 1.0)}
# Of the metrics that `aggregate.compare` can name:
LOWER_IS_BETTER = ("nll", "robustness_drop")
OVER_CLASSES = ("balanced_accuracy", "macro_f1")  # means over classes, whatever their sizes
WHOLE_CELL = ("robustness_drop",)  # one number for a whole run, so that only seeds and splits show how it varies

FEWEST_GROUPS = 10  # equal groups of test images; fewer do not show how another (a patient, a site) would differ


def in_percent(metric: str) -> bool:
    """Whether values are printed in percent and differences in points."""
    return metric in PERCENT or re.fullmatch(r"top\d+", metric) is not None


def limits(metric: str) -> tuple[float, float]:
    """The least and the largest value that a metric can have."""
    return LIMITS.get(metric, (0.0, 1.0 if in_percent(metric) else math.inf))


def is_share(metric: str) -> bool:
    """Whether a metric lies between 0 and 1, as a share of images does."""
    return limits(metric) == (0.0, 1.0)


def equal_groups(sizes: Collection[int]) -> float:
    """The effective number of groups: of equal size, with as much information as groups of these sizes (Kish 1965)."""
    return sum(sizes) ** 2 / max(sum(size**2 for size in sizes), 1)
