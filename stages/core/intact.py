"""Checks of files that one stage has written for another; errors name the damage and the command that mends it.

A missing column or key is an error when it is read (`Row`, `Record`), so that no reader has to list all that it uses.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pandas as pd
    from numpy.typing import NDArray

# A spreadsheet computes a cell that begins with one of these characters, also in their full-width forms and behind
# invisible characters, and a formula may open addresses.
FORMULA, _UNSEEN = "=+-@\t\r\uff1d\uff0b\uff0d\uff20", "' \n\v\f\xa0\u200b\ufeff"
_MADE_BY = {  # folder -> stage; the files directly in `reports` are those of aggregate
    "data/raw": "ingest", "data/clean": "clean", "data/split": "split", "reports": "aggregate",
    "reports/clean": "clean", "reports/audit": "audit", "reports/pictures": "pictures",
    "reports/figures": "report", "reports/tables": "report",
}  # fmt: skip


def damaged(path: str | Path, why: str) -> UserError:
    """The error that names a damaged file, the reason and the command that makes the file again."""
    return UserError(f"{path} is damaged ({why}); {_again(PurePath(path))}")


def inside(manifest: Path, folder: str, path: str) -> Path:
    """The file that a row of a manifest names: `folder` stands beside the manifest, which may come from elsewhere.

    Raises:
        UserError: the path leads out of the folder.
    """
    parts = path.split("/")
    if parts[0] != folder or ".." in parts or "\0" in path:
        raise damaged(manifest, f"the path {path[:200]!r} does not lie in {folder}/")
    return manifest.parent / path


def _again(path: PurePath) -> str:
    parts = path.parts
    stage = _MADE_BY.get("/".join(parts[:2])) or _MADE_BY.get(parts[0])
    if parts[0] == "runs" and len(parts) == 4:
        stage = f"train@{parts[1]}-{parts[2]}"
    if parts[0] == "results" and len(parts) >= 5:
        stage = f"{parts[3]}@{parts[1]}-{parts[2]}"
    return f"`dvc repro {stage}` makes it again" if stage else f"`git checkout {path}` brings it back, if git knows it"


class Row(dict[str, str]):
    """A row of a CSV; a column that is not there is a `UserError`."""

    path: Path

    def __missing__(self, column: str) -> str:
        raise damaged(self.path, f"it has no column {column!r}")


class Record(dict[str, Any]):
    """A mapping in a JSON file; a key that is not there is a `UserError`."""

    path: Path

    def __missing__(self, key: str) -> Any:
        raise damaged(self.path, f"it has no {key!r}")


def rows(path: Path, text: str, numbers: Collection[str], *, by_hand: bool) -> list[dict[str, str]]:
    """The rows of a CSV as text, formulas as they were.

    Args:
        path: to name.
        text: of the file.
        numbers: columns that hold a number or nothing.
        by_hand: a person wrote it, so the last line may lack its end.
    """
    header, lines = _lines(path, text, by_hand=by_hand)
    found: list[dict[str, str]] = []
    for number, line in enumerate(lines, 2):
        row = Row(zip(header, line, strict=True))
        row.path = path
        for column in numbers:
            if not _is_number(row[column] or "0"):
                raise damaged(path, f"row {number} has {row[column]!r} where {column} is a number")
        found.append(row)
    return found


def _lines(path: Path, text: str, *, by_hand: bool) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the fields of each row: as many."""
    try:
        header, *lines = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
    except csv.Error as error:
        raise damaged(path, str(error)) from None
    if not header:
        raise damaged(path, "it is empty")
    if len(set(header)) < len(header):
        raise damaged(path, "two columns have the same name")
    if not by_hand and not text.endswith("\n"):
        raise damaged(path, "it ends within a row")
    for number, line in enumerate(lines, 2):
        if line and len(line) != len(header):
            raise damaged(path, f"row {number} has {len(line)} fields, the first row {len(header)}")
    return header, [[unescaped(field) for field in line] for line in lines if line]


def frame(path: Path, text: str, columns: Collection[str], numbers: Collection[str]) -> pd.DataFrame:
    """A CSV of ours as a table of text, `numbers` as numbers: for those with a row for every image."""
    import pandas as pd

    header, lines = _lines(path, text, by_hand=False)
    _has(path, header, [*columns, *numbers])
    return numeric(path, pd.DataFrame(lines, columns=header, dtype="str"), numbers)


def parquet(path: Path, data: bytes, columns: Collection[str], numbers: Collection[str]) -> pd.DataFrame:
    """A Parquet file of ours as a table of text, `numbers` as numbers.

    A float32 becomes the float64 with the same shortest decimal, as if it had been written to a CSV.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        found = pd.read_parquet(io.BytesIO(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, " ".join(str(error).split())[:200]) from None
    _has(path, found.columns, [*columns, *numbers])
    for column in found.columns:
        found[column] = found[column].astype("str")
    return numeric(path, found, numbers)


def _has(path: Path, header: Collection[str], wanted: Collection[str]) -> None:
    for column in wanted:
        if column not in header:
            raise damaged(path, f"it has no column {column!r}")


def numeric(path: Path, found: pd.DataFrame, numbers: Collection[str]) -> pd.DataFrame:
    """The table with the columns `numbers` as numbers."""
    import pandas as pd

    try:
        return found.assign(**{name: pd.to_numeric(found[name].replace("", None)) for name in numbers})
    except (ValueError, TypeError) as error:
        raise damaged(path, str(error)) from None


def escaped(value: Any) -> Any:
    """A field that a spreadsheet shows as it is: text like a formula gets an apostrophe; `unescaped` takes it off."""
    return f"'{value}" if isinstance(value, str) and _like_formula(value) else value


def unescaped(value: str) -> str:
    """The inverse of `escaped`."""
    return value[1:] if value.startswith("'") and _like_formula(value) else value


def _like_formula(text: str) -> bool:
    first = text.lstrip(_UNSEEN)[:1]
    return first != "" and first in FORMULA and not (first in "+-" and _is_number(text))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def value(path: Path, text: str, shape: Any) -> Any:
    """The value in a JSON file, whose type is `shape`."""
    from pydantic import TypeAdapter, ValidationError

    def record(pairs: list[tuple[str, Any]]) -> Record:
        made = Record(pairs)
        made.path = path
        return made

    try:
        found = json.loads(text, object_pairs_hook=record)
        TypeAdapter(shape).validate_python(found)
    except json.JSONDecodeError as error:
        raise damaged(path, f"no JSON: {error}") from None
    except RecursionError:
        raise damaged(path, "it is nested too deep") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise damaged(path, f"{where}: {first['msg']}" if where else first["msg"]) from None
    except ValueError as error:  # a number with thousands of digits
        raise damaged(path, str(error)) from None
    return found


def arrays(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """These arrays of an .npz file."""
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError, NotImplementedError) as error:
        raise damaged(path, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from None


def tensors(path: Path) -> dict[str, Any]:
    """The tensors of a .safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise damaged(path, " ".join(str(error).split())[:200]) from None


def unlike_lock() -> list[tuple[str, str]]:
    """Outputs here that differ from dvc.lock: (path, stage). Looked for only after a stage failed."""
    from ruamel.yaml import YAML

    lock = Path("dvc.lock")
    stages = (YAML(typ="safe").load(lock.read_text("utf-8")) or {}).get("stages", {}) if lock.is_file() else {}
    outs = [(out, name) for name, stage in stages.items() for out in stage.get("outs", [])]
    return [
        (out["path"], name) for out, name in outs if Path(out["path"]).exists() and md5(Path(out["path"])) != out["md5"]
    ]


def md5(path: Path) -> str:
    """The MD5 that DVC 3 records for a file or a folder; empty for a pipe or a device, which may never end."""
    if path.is_dir():
        return folder_md5(listing(path))
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def listing(folder: Path) -> dict[str, str]:
    """The files of a folder, relative path -> MD5."""
    return {path.relative_to(folder).as_posix(): md5(path) for path in folder.rglob("*") if path.is_file()}


def folder_md5(files: Mapping[str, str]) -> str:
    """DVC's MD5 of a folder, from the MD5 of its files by relative path."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
