"""What is said about each picture, as a row: labels with probabilities, whether it is unlike training, or a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.clean.decode import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from stages.predict.model import Ensemble

    Decoded = NDArray[np.uint8] | Refused

Row = dict[str, Any]  # path, unlike, problem, top: [(label, probability), ...]
_CHUNK = 256  # pictures in memory


def rows(pictures: Iterable[tuple[str, Decoded]], ensemble: Ensemble, top: int) -> Iterator[Row]:
    """One row for each picture, in order; the networks get up to `_CHUNK` pictures at once.

    Args:
        pictures: path, and uint8 (size, size, 3) or the reason why there is no picture.
        ensemble: the networks.
        top: how many labels a row has.
    """
    waiting: list[tuple[str, Decoded]] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == _CHUNK:
            yield from _predicted(waiting, ensemble, top)
            waiting.clear()
    yield from _predicted(waiting, ensemble, top)


def _predicted(pictures: Sequence[tuple[str, Decoded]], ensemble: Ensemble, top: int) -> Iterator[Row]:
    """The rows of some pictures; one that could not be read has its problem and no labels."""
    pixels = [found for _, found in pictures if not isinstance(found, Refused)]
    predicted = ensemble(np.stack(pixels)) if pixels else None
    place = 0  # of the next readable picture in `predicted`
    for path, found in pictures:
        row: Row = {"path": path, "top": [], "unlike": False, "problem": ""}
        if isinstance(found, Refused):
            row["problem"] = str(found)
        elif predicted is not None:
            chances = predicted.probabilities[place]
            best = np.argsort(-chances, kind="stable")[:top]
            row["top"] = [(ensemble.classes[k], float(chances[k])) for k in best]
            row["unlike"] = bool(predicted.unlike[place])
            place += 1
        yield row
