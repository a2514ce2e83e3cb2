"""Predictions as CSV, JSON Lines or a table."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, TextIO

from stages.core import intact
from stages.core.files import UnixLines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stages.predict.rows import Row

FORMATS = ("table", "csv", "jsonl")


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
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in f"{row['path']}: {said}{mark}")
        file.write(line + "\n")
        file.flush()
