"""Pictures unlike all others: far from their nearest neighbours in the features (Kuan and Mueller 2022).

The distance is that of `cleanlab.outlier`, which searches twice: the mean cosine distance to the ten nearest pictures.
What counts as far was measured in docs/decisions/0434.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOURS = 10  # cleanlab's own number
FAR = 3.0  # robust SDs above the median
NONE = 1e-5  # a distance that rounding in float32 may leave between copies
LEAST = 0.1  # of the robust SD, in medians: a spread of 10 % is ordinary
MOST = 20  # listed


def distances(features: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The mean cosine distance of each picture to its nearest neighbours.

    Args:
        features: (images, channels).

    Returns:
        (images,), as multiples of their median, to three decimals. None where no picture has ten others, or where the
        median picture is one of so many copies that it has no distance.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(features) <= NEIGHBOURS:
        return None
    nearest, _ = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine").fit(features).kneighbors()
    found = nearest.mean(axis=1, dtype=np.float64)
    usual = float(np.median(found))
    return np.round(found / usual, 3) if usual > NONE else None


def limit(found: NDArray[np.float64]) -> float:
    """From how many medians on a picture is unlike all others."""
    return 1 + FAR * max(1.4826 * float(np.median(np.abs(found - 1))), LEAST)


def places(found: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of the pictures that are further away than the limit, the furthest first; equal ones in their order."""
    order = np.argsort(-found, kind="stable")
    return order[found[order] > limit(found)]
