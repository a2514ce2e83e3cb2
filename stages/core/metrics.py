"""What is known of metrics by their names."""

from __future__ import annotations

# Of those that `aggregate.compare` can name:
LOWER_IS_BETTER = ("nll", "robustness_drop")
SHARES = ("top1", "balanced_accuracy", "macro_f1")  # between 0 and 1
OVER_CLASSES = ("balanced_accuracy", "macro_f1")  # means over classes, whatever their sizes
IN_POINTS = ("top1", "balanced_accuracy", "macro_f1", "robustness_drop")  # differences are printed in percentage points
WHOLE_CELL = ("robustness_drop",)  # one number for a whole run, so that only seeds and splits show how it varies
