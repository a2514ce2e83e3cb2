"""Pictures unlike all others: far from their nearest neighbours in the features (Kuan and Mueller 2022).

The method is `cleanlab`'s: the mean cosine distance to the ten nearest pictures. What counts as far was measured in
docs/decisions/0434.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOURS = 10  # the library's own number
FAR = 3.0  # robust SDs above the median
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
    from cleanlab.outlier import OutOfDistribution

    if len(features) <= NEIGHBOURS:
        return None
    method = OutOfDistribution({"k": NEIGHBOURS})
    scores = method.fit_score(features=features.astype(np.float64), verbose=False)
    # a score is exp(-distance / median), and 1 where there is no distance
    far: NDArray[np.float64] = np.round(-np.log(np.maximum(scores, np.finfo(np.float64).tiny)), 3) + 0.0
    return far if np.median(far) > 0 else None


def limit(found: NDArray[np.float64]) -> float:
    """From how many medians on a picture is unlike all others."""
    return 1 + FAR * max(1.4826 * float(np.median(np.abs(found - 1))), LEAST)


def places(found: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of the pictures that are further away than the limit, the furthest first; equal ones in their order."""
    order = np.argsort(-found, kind="stable")
    return order[found[order] > limit(found)]
