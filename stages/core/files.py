"""Files that are whole or absent: written beside their place, flushed, then renamed.

CSV goes through the standard library here because `train` must start without pandas. Floats are written with 12
significant digits: the last ones of a double depend on the processor's instruction set, and would differ for nothing.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; on success it becomes `path`, on any error it is removed and `path` is as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".partial-{os.getpid()}-{hashlib.sha256(path.name.encode()).hexdigest()[:8]}{path.suffix}"
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def fresh_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success it replaces `path` whole, on any error `path` is as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".partial-{path.name}"
    old = path.parent / f".old-{path.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON that a reader can diff: indented, keys in the order given, floats rounded, NaN refused."""
    write_text(path, json.dumps(_rounded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing file is a `UserError` that names it."""
    return json.loads(_text(Path(path)))


def write_rows(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV: None is an empty field, floats are rounded, every row has exactly `columns`."""
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(UnixLines(file), columns, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(_rounded(dict(row)) for row in rows)


class UnixLines:
    """What a `csv.writer` with the line end CR LF writes to: it quotes CR in fields then, and rows end in LF here."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, row: str) -> int:
        """Write one row."""
        return self.file.write(row.removesuffix("\r\n") + "\n")


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV as text; a missing file is a `UserError` that names it."""
    return list(csv.DictReader(io.StringIO(_text(Path(path)), newline="")))


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(f"{path} is not here; `dvc repro` makes it, `dvc pull` fetches it") from None
