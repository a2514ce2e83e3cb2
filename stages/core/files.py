"""Files that are whole or absent: written beside their place, flushed, then renamed.

CSV goes through the standard library here because `train` must start without pandas. Floats are written with 12
significant digits: the last ones of a double depend on the processor's instruction set, and would differ for nothing.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stages.core import intact
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from PIL.Image import Image


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
    except Exception as error:
        _name_a_full_disk(error, path)
        raise
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
    except Exception as error:
        _name_a_full_disk(error, path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _name_a_full_disk(error: Exception, path: Path) -> None:
    """Give an error of the disk the place it lacks; each library says in its own way that the disk is full.

    Raises:
        OSError: the disk is full.
    """
    if any(sign in str(error) for sign in ("No space left", "os error 28", "PytorchStreamWriter failed writing")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON that a reader can diff: indented, keys in the order given, floats rounded, NaN refused."""
    write_text(path, json.dumps(_rounded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path, shape: Any = dict[str, Any]) -> Any:
    """Read JSON that holds a value of the type `shape`; a missing or damaged file is a `UserError` that names it."""
    return intact.value(Path(path), _text(Path(path)), shape)


def write_rows(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV: None is empty, floats are rounded, formulas are escaped, every row has exactly `columns`."""
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(UnixLines(file), columns, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(_rounded({name: intact.escaped(value) for name, value in row.items()}) for row in rows)


class UnixLines:
    """A file for a `csv.writer` with the line end CR LF, which therefore quotes CR in fields; rows end in LF here."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, row: str) -> int:
        """Write one row."""
        return self.file.write(row.removesuffix("\r\n") + "\n")


def read_rows(path: str | Path, numbers: Collection[str] = (), *, by_hand: bool = False) -> list[dict[str, str]]:
    """Read a CSV as text; a missing or damaged file is a `UserError` that names it.

    Args:
        path: of the file.
        numbers: columns in which each field must be a number or empty; they are checked, and stay text.
        by_hand: a person wrote it, so the last line may lack its end.
    """
    return intact.rows(Path(path), _text(Path(path)), numbers, by_hand=by_hand)


def write_parquet(path: str | Path, columns: Mapping[Any, Any]) -> None:
    """Write arrays of one length as Parquet: a quarter of a CSV's bytes, for tables with a row for each image and cell.

    Text has a dictionary; the bytes of floats are grouped by their place, which Zstandard shortens best. The bytes of
    the file depend on the values and the version of pyarrow alone.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(dict(columns))
    floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    with atomic(path) as partial:
        parquet.write_table(
            table, partial, compression="zstd", compression_level=19, write_statistics=False, store_schema=False,
            use_dictionary=[name for name in table.column_names if name not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )  # fmt: skip


def read_frame(path: str | Path, columns: Collection[str] = (), numbers: Collection[str] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet file of ours as a table of text, `numbers` as numbers (float64).

    Raises:
        UserError: the file is missing or damaged; it is named.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return intact.parquet(path, _bytes(path), columns, numbers)
    return intact.frame(path, _text(path), columns, numbers)


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


@contextlib.contextmanager
def picture(path: Path) -> Iterator[Image]:
    """A picture that `clean` has kept, to be decoded within the block.

    Raises:
        UserError: the file is missing or damaged.
    """
    import PIL.Image

    try:
        with PIL.Image.open(path) as opened:
            yield opened
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be decoded ({error}); run `dvc repro -f clean`") from error


def missing(path: Path) -> UserError:
    """The error for a file or folder that is not here, though DVC's cache may hold it."""
    return UserError(f"{path} is not here; {again()} makes it, `dvc pull` fetches it")


def again() -> str:
    """The command that makes missing files of a study, as it is typed in the repository's folder."""
    here = Path.cwd()
    return f"`make study STUDY={here.name}`" if here.parent.name == "studies" else "`dvc repro`"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise missing(path) from None
    except IsADirectoryError:
        raise intact.damaged(path, "it is a folder") from None


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError:
        raise intact.damaged(path, "it is not UTF-8 text") from None
