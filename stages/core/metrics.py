"""What is known of metrics by their names."""

from __future__ import annotations

LOWER_IS_BETTER = ("nll", "robustness_drop")  # among those that `aggregate.compare` can name
