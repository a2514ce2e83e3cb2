"""Properties of metrics, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# Of those that `aggregate.compare` can name:
LOWER_IS_BETTER = ("nll", "robustness_drop")
SHARES = ("top1", "balanced_accuracy", "macro_f1")  # between 0 and 1
OVER_CLASSES = ("balanced_accuracy", "macro_f1")  # means over classes, whatever their sizes
IN_POINTS = ("top1", "balanced_accuracy", "macro_f1", "robustness_drop")  # differences are printed in percentage points
FEWEST_GROUPS = 10  # equal groups of test images; fewer do not show how another (a patient, a site) would differ
WHOLE_CELL = ("robustness_drop",)  # one number for a whole run, so that only seeds and splits show how it varies


def equal_groups(sizes: Collection[int]) -> float:
    """The effective number of groups: of equal size, with as much information as groups of these sizes (Kish 1965)."""
    return sum(sizes) ** 2 / max(sum(size**2 for size in sizes), 1)
