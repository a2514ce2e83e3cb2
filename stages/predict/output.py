"""The predictions as rows: labels with probabilities, whether a picture is unlike training, or its problem.

Rows are written as CSV, JSON Lines or a table.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from stages.clean.decode import Refused
from stages.core import console, intact
from stages.core.files import UnixLines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from stages.predict.model import Ensemble

    Decoded = NDArray[np.uint8] | Refused

FORMATS = ("table", "csv", "jsonl")
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
    predicted = zip(*ensemble(np.stack(pixels)), strict=True) if pixels else iter(())
    for path, found in pictures:
        row: Row = {"path": path, "top": [], "unlike": False, "problem": ""}
        if isinstance(found, Refused):
            row["problem"] = str(found)
        else:
            chances, unlike = next(predicted)
            best = np.argsort(-chances, kind="stable")[:top]
            row["top"] = [(ensemble.classes[k], float(chances[k])) for k in best]
            row["unlike"] = bool(unlike)
        yield row


def write(rows: Iterable[Row], kind: str, top: int, file: TextIO) -> Counter[str]:
    """Write each row as soon as it is predicted, so that a reader of a pipe need not wait for the last.

    Args:
        rows: of the pictures.
        kind: one of FORMATS.
        top: the number of labels of a row, which a CSV needs for its header.
        file: to write to.

    Returns:
        How many pictures were `unlike` training, and how many had a `problem`.
    """
    counts = Counter[str]()
    writer = csv.DictWriter(UnixLines(file), _columns(top), lineterminator="\r\n", restval="")
    if kind == "csv":
        writer.writeheader()
    for row in rows:
        if kind == "csv":
            writer.writerow(_fields(row))
        else:
            file.write((_json(row) if kind == "jsonl" else _line(row)) + "\n")
        file.flush()
        counts.update(unlike=row["unlike"], problem=bool(row["problem"]))
    return counts


def _columns(top: int) -> list[str]:
    """`path, label, probability, label_2, probability_2, ..., unlike, problem`."""
    return [
        "path",
        *(f"{name}{_rank(k)}" for k in range(top) for name in ("label", "probability")),
        "unlike",
        "problem",
    ]


def _rank(place: int) -> str:
    return f"_{place + 1}" if place else ""


def _fields(row: Row) -> dict[str, Any]:
    """A row of a CSV; formulas are escaped."""
    flat = {"path": row["path"], "problem": row["problem"], "unlike": "" if row["problem"] else int(row["unlike"])}
    for place, (label, probability) in enumerate(row["top"]):
        flat |= {f"label{_rank(place)}": label, f"probability{_rank(place)}": f"{probability:.6f}"}
    return {name: intact.escaped(value) for name, value in flat.items()}


def _json(row: Row) -> str:
    """An object with `path`, `top` (label and probability), `unlike`, `problem`."""
    top = [{"label": label, "probability": round(probability, 6)} for label, probability in row["top"]]
    return json.dumps({"path": row["path"], "top": top, "unlike": row["unlike"], "problem": row["problem"]})


def _line(row: Row) -> str:
    """A line of text; what a terminal could obey instead of show is escaped."""
    said = row["problem"] or ", ".join(f"{label} {probability:.1%}" for label, probability in row["top"])
    mark = "  (unlike anything in training)" if row["unlike"] else ""
    return console.shown(f"{row['path']}: {said}{mark}", keep="")
