"""What is said about each picture, as a row (labels with probabilities, whether it is unlike training, or a problem).

Rows are written as CSV, JSON Lines or a table.
"""

from __future__ import annotations

import csv
import json
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


def write(rows: Iterable[Row], kind: str, top: int, file: TextIO) -> None:
    """Write each row as soon as it is predicted, so that a reader of a pipe need not wait for the last.

    `top` is the number of labels of a row, which a CSV needs for its header.
    """
    {"csv": _csv, "jsonl": _jsonl, "table": _table}[kind](rows, top, file)


def _csv(rows: Iterable[Row], top: int, file: TextIO) -> None:
    """`path, label, probability, label_2, probability_2, ..., unlike, problem`; formulas are escaped."""
    ranks = ["", *(f"_{rank}" for rank in range(2, top + 1))]
    columns = ["path", *(f"{name}{rank}" for rank in ranks for name in ("label", "probability")), "unlike", "problem"]
    writer = csv.DictWriter(UnixLines(file), columns, lineterminator="\r\n", restval="")
    writer.writeheader()
    for row in rows:
        flat = {"path": row["path"], "problem": row["problem"], "unlike": "" if row["problem"] else int(row["unlike"])}
        for rank, (label, probability) in zip(ranks, row["top"], strict=False):
            flat |= {f"label{rank}": label, f"probability{rank}": f"{probability:.6f}"}
        writer.writerow({name: intact.escaped(value) for name, value in flat.items()})
        file.flush()


def _jsonl(rows: Iterable[Row], _top: int, file: TextIO) -> None:
    """An object for each picture: `path`, `top` (label and probability), `unlike`, `problem`."""
    for row in rows:
        top = [{"label": label, "probability": round(probability, 6)} for label, probability in row["top"]]
        line = {"path": row["path"], "top": top, "unlike": bool(row["unlike"]), "problem": row["problem"]}
        file.write(json.dumps(line, ensure_ascii=True) + "\n")
        file.flush()


def _table(rows: Iterable[Row], _top: int, file: TextIO) -> None:
    """A line for each picture; what a terminal could obey instead of show is escaped."""
    for row in rows:
        said = row["problem"] or ", ".join(f"{label} {probability:.1%}" for label, probability in row["top"])
        mark = "  (unlike anything in training)" if row["unlike"] else ""
        file.write(console.shown(f"{row['path']}: {said}{mark}", keep="") + "\n")
        file.flush()
