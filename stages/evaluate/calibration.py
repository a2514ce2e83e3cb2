"""Do the probabilities mean what they say? Reliability in equal-width bins, and a temperature fitted on validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.evaluate.metrics import log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

COLDEST, HOTTEST = 0.01, 100.0  # a temperature beyond these means: no finite one is best (all right, or all noise)


def reliability(confidence: Floats, correct: NDArray[np.bool_], bins: int) -> list[dict[str, float | int | None]]:
    """Images by confidence, in `bins` bins of equal width, closed above: (0, 1/bins], ..., (1 - 1/bins, 1].

    Args:
        confidence: probability of the predicted class, (images,).
        correct: whether that class is the true one, (images,).
        bins: how many bins the range from 0 to 1 is cut into.

    Returns:
        A row for every bin, also the empty ones, whose means are None.
    """
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows: list[dict[str, float | int | None]] = []
    for index in range(bins):
        inside = place == index
        n = int(inside.sum())
        rows.append(
            {
                "bin_low": index / bins,
                "bin_high": (index + 1) / bins,
                "n": n,
                "confidence": float(confidence[inside].mean()) if n else None,
                "accuracy": float(correct[inside].mean()) if n else None,
            }
        )
    return rows


def expected_calibration_error(rows: list[dict[str, float | int | None]]) -> float:
    """ECE (Guo et al., 2017): the gap between confidence and accuracy, averaged over the bins by their images."""
    filled = [(row["n"], row["accuracy"], row["confidence"]) for row in rows if row["n"]]
    total = sum(n for n, _, _ in filled if n is not None)
    return float(sum(n * abs(a - c) for n, a, c in filled if None not in (n, a, c)) / total)  # type: ignore[operator]


def fit_temperature(logits: NDArray[np.floating], targets: Ints) -> float:
    """The temperature that minimises the NLL of `logits / temperature` (Guo et al., 2017); fit it on validation alone.

    The NLL is convex in 1 / temperature, so bisection on its derivative finds the one minimum; the answer is held
    between 0.01 and 100.
    """
    scores = logits.astype(np.float64)
    true = scores[np.arange(len(targets)), targets]
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        expected = (np.exp(log_softmax(scores * middle)) * scores).sum(axis=1)
        if (expected - true).mean() > 0:
            high = middle
        else:
            low = middle
    return float(1 / np.sqrt(low * high))
