"""Reads CSV, TSV, JSON Lines, Parquet and COCO as rows of text: `NA`, `01` and `true` stay what they are."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from stages.ingest.params import Table

TOO_MANY = "too_many_fields"
MOST_ROWS, MOST_BYTES = 1_000_000, 1_000_000_000  # of a Parquet file, however small it is packed
HOLDS = {"1", "1.0", "true"}  # values of a column that mean: the picture has its label
TEXT = (str, int, float)  # of a value
PROBLEM = "\0problem"  # a key that no table has: why a row cannot be used


@dataclass(frozen=True)
class Row:
    """A row of a table, about one picture."""

    path: str
    label: str = ""
    part: str = ""
    group: str = ""
    problem: str = ""


def rows(file: Path, name: str, table: Table) -> list[Row]:
    """The rows of a table.

    Args:
        file: where it lies.
        name: what to call it.
        table: the names of its columns.

    Raises:
        UserError: it cannot be read, or lacks a column.
    """
    suffix = name.rpartition(".")[2].lower()
    if suffix not in READERS:
        raise UserError(f"`ingest.table.file` is {name}; a table ends in {', '.join(f'.{known}' for known in READERS)}")
    known, records = READERS[suffix](file, name, table)
    if not records:
        raise UserError(f"{name} has no rows; give it one for every picture")
    asked = table.columns
    if twice := [column for column in (*asked.values(), *table.flags) if list(known).count(column) > 1]:
        raise UserError(f"{name} has two columns `{twice[0]}`; remove one, or give it another name")
    if missing := [column for column in (*asked.values(), *table.flags) if column not in known]:
        raise UserError(
            f"{name} has no column `{missing[0]}`, but {', '.join(f'`{key}`' for key in known[:20])}; "
            "`ingest.table` names the columns"
        )
    for column in asked.values():  # a column without any text is another one than was meant
        if not any(record.get(column) is None or isinstance(record[column], TEXT) for record in records):
            raise UserError(f"{name} has no text in its column `{column}`; name another column")
    return [_row(record, asked, table) for record in records]


def _row(record: dict[str, Any], asked: dict[str, str], table: Table) -> Row:
    """A row, with a problem where a value is no text."""
    values = {field: record.get(column) for field, column in asked.items()}
    odd = [field for field, value in values.items() if not (value is None or isinstance(value, TEXT))]
    told = _flagged(record, table.flags)
    if problem := str(record.get(PROBLEM, "")) or ("not_a_text" if odd else ""):
        told["problem"] = problem
    return Row(**{field: repr(value) if field in odd else as_text(value) for field, value in values.items()} | told)


def _flagged(record: dict[str, Any], flags: Sequence[str]) -> dict[str, str]:
    """The label of a row in which each label has a column, with a 1 where it holds."""
    held = [column for column in flags if as_text(record.get(column)).strip().lower() in HOLDS]
    if len(held) > 1:
        return {"problem": "several_labels"}
    return {"label": "".join(held)} if flags else {}


def as_text(value: Any) -> str:
    """A value as it stands in the file: nothing is empty, true is `true`, 1.0 is `1.0`."""
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN: Parquet's nothing
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def encoding(file: Path) -> str:
    """UTF-16 where the file begins with its mark, as spreadsheets write it; else UTF-8."""
    with file.open("rb") as start:
        return "utf-16" if start.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def utf8(file: Path, name: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark.

    Raises:
        UserError: it is neither.
    """
    data = file.read_bytes()
    try:
        return data.decode(encoding(file))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{name} is not UTF-8 in line {line}; save it as UTF-8 text") from None


def lines(text: str, name: str, delimiter: str = ",") -> list[list[str]]:
    """The lines of a CSV that hold anything.

    Raises:
        UserError: a quote is not closed.
    """
    limit = csv.field_size_limit(len(text) + 1)  # the longest field may be the whole table
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        raise UserError(
            f"{name} is no CSV in line {reader.line_num} ({error}); quote the field, or mend the row"
        ) from None
    finally:
        csv.field_size_limit(limit)


_Read = tuple["Sequence[str]", list[dict[str, Any]]]  # names of columns, and a record for each row


def _delimited(file: Path, name: str, table: Table) -> _Read:
    """A CSV; its delimiter is the character that splits the first line into the named columns."""
    text = utf8(file, name)
    first = text.lstrip().partition("\n")[0]
    wanted = {*table.columns.values(), *table.flags}
    fits = [mark for mark in ",;\t" if wanted <= {title.strip() for title in first.replace('"', "").split(mark)}]
    delimiter = (fits or [","])[0] if table.header else max(",;\t", key=first.count)
    body = lines(text, name, delimiter) or [[]]
    titles = [title.strip() for title in body.pop(0)] if table.header else [str(k + 1) for k in range(len(body[0]))]
    return titles, [dict(zip(titles, row, strict=False)) | _surplus(row, len(titles)) for row in body]


def _surplus(row: Sequence[str], most: int) -> dict[str, str]:
    """A row with more fields than titles: one of them holds a delimiter, and all behind it stand in a wrong column."""
    return {PROBLEM: TOO_MANY} if any(field.strip() for field in row[most:]) else {}


def _json_lines(file: Path, name: str, _: Table) -> _Read:
    found = []
    for number, line in enumerate(utf8(file, name).split("\n"), 1):
        if line.strip():
            record = _json(line, f"{name}, line {number},")
            if not isinstance(record, dict):
                raise UserError(f'{name}, line {number}, is no mapping; write {{"path": ..., "label": ...}}')
            found.append(record)
    return _keys(found), found


def _parquet(file: Path, name: str, table: Table) -> _Read:
    from pyarrow import ArrowException, parquet

    try:
        known = parquet.read_schema(file).names
        asked = [column for column in (*table.columns.values(), *table.flags) if column in known]
        check_parquet(file, name, asked)
        # Each text once, with a number in each of its rows: a long one in many rows takes its room when it is listed.
        found = parquet.read_table(file, columns=asked, read_dictionary=asked)
        if (size := _letters(found)) > MOST_BYTES:
            raise UserError(f"{name} has {size:,} bytes of text in its columns, more than {MOST_BYTES:,}; shorten them")
        return known, found.to_pylist()
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{name} is no Parquet file that can be read ({str(error)[:200]}); write it again") from None


def check_parquet(file: Path, name: str, columns: Sequence[str] = ()) -> None:
    """Check the size of a Parquet file before it is read: equal rows are packed to almost nothing.

    Args:
        file: where it lies.
        name: what to call it.
        columns: those that will be read; none: all.

    Raises:
        UserError: it has more rows than bytes, or too much in these columns.
    """
    from pyarrow import parquet

    facts = parquet.read_metadata(file)
    groups = map(facts.row_group, range(facts.num_row_groups))
    parts = [group.column(k) for group in groups for k in range(group.num_columns)]
    starts = tuple(f"{column}." for column in columns) or ("",)
    size = sum(part.total_uncompressed_size for part in parts if f"{part.path_in_schema}.".startswith(starts))
    if facts.num_rows > max(MOST_ROWS, file.stat().st_size) or size > MOST_BYTES:
        said = f"{facts.num_rows:,} rows of {size:,} bytes, in a file of {file.stat().st_size:,} bytes"
        raise UserError(f"{name} has {said}; give it a row for each picture, and texts alone")


def _letters(table: Any) -> int:
    """Bytes of the texts in a table whose texts are a dictionary each."""
    from pyarrow import compute, types

    chunks = [chunk for column in table.columns if types.is_dictionary(column.type) for chunk in column.chunks]
    return sum(compute.sum(compute.binary_length(one.dictionary).take(one.indices)).as_py() or 0 for one in chunks)


def _json_file(file: Path, name: str, table: Table) -> _Read:
    """A plain list of records, or a COCO file."""
    found = _json(utf8(file, name), name)
    if isinstance(found, list) and all(isinstance(record, dict) for record in found):
        return _keys(found), found
    return coco(found, name, table)


def coco(found: Any, name: str, table: Table) -> _Read:
    """The images of a COCO file, each labelled by its category; one of several categories has `PROBLEM`.

    Args:
        found: what the file holds.
        name: what to call it.
        table: its column `label` is what to call the category.

    Raises:
        UserError: it is no COCO file.
    """
    try:
        names = {category["id"]: category["name"] for category in found["categories"]}
        of_image: dict[Any, set[str]] = defaultdict(set)
        for annotation in found["annotations"]:
            of_image[annotation["image_id"]].add(names[annotation["category_id"]])
        images = [image | _category(of_image[image["id"]], table) for image in found["images"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{name} is no COCO file ({type(error).__name__}: {error}); it needs images, annotations and categories"
        ) from None
    return list(dict.fromkeys([*_keys(images), *([table.label] if isinstance(table.label, str) else [])])), images


def _category(names: set[str], table: Table) -> dict[str, Any]:
    if not isinstance(table.label, str):
        return {}
    return {PROBLEM: "several_labels"} if len(names) > 1 else {table.label: "".join(names)}


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is no JSON ({str(error)[:200]}); mend it or write it again") from None


def _keys(records: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record))


READERS: dict[str, Callable[[Path, str, Table], _Read]] = {
    "csv": _delimited,
    "tsv": _delimited,
    "parquet": _parquet,
    "jsonl": _json_lines,
    "ndjson": _json_lines,
    "json": _json_file,
}
