"""A table that says which picture has which label, and perhaps which group and which published part."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from PIL import Image

from stages.core.errors import UserError
from stages.ingest import table_file
from stages.ingest.entry import Entry, printable, tidy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stages.ingest.params import Archive, Folder, Table


def join(entries: list[Entry], source: Folder | Archive, table: Table, raw: Path) -> list[Entry]:
    """Give each entry the label, group and part of its row. A file without a row is not kept, and its entry says so.

    With a part, the entry stands under the part's folder (`test/1.jpg`), where `split.test: {folder: test}` finds it.

    Raises:
        UserError: there is no such table, or it cannot be read.
    """
    tables = [entry for entry in entries if entry.file and fnmatchcase(entry.path, table.file)]
    if not tables:
        raise UserError(
            f"`ingest.table.file` is {table.file}, which is not in {source.path}; name it relative to `ingest.path`"
        )
    if source.label != "table":
        table = table.model_copy(update={"label": None})
    files = _Files(entry for entry in entries if not fnmatchcase(entry.path, table.file))
    joined: list[Entry] = []
    with_row: set[str] = set()
    seen: set[tuple[str, str, str]] = set()
    for one in tables:
        folder = one.path.rpartition("/")[0]
        for row in table_file.rows(raw / one.file, one.path, table):
            entry, problem = files.find(row.path, folder)
            if entry is None and problem == "missing_file" and source.fraction < 1:
                continue  # it may be there, and was not drawn
            if entry is None:
                entry = Entry(printable(row.path), "", "", source.source, problem=problem)
            with_row.add(entry.path)
            label = printable(tidy(row.label)) if source.label == "table" else entry.label
            group = printable(tidy(row.group)) or entry.group
            problem = entry.problem or row.problem
            if (entry.path, label, group) in seen:
                problem = problem or "twice_in_table"
            seen.add((entry.path, label, group))
            joined.append(
                replace(
                    entry, path=_below(tidy(row.part), entry.path), file="" if problem else entry.file, label=label,
                    group=group, problem=problem,
                )
            )  # fmt: skip
    if not with_row & files.paths:
        raise UserError(
            f"none of {len(joined):,} rows of `ingest.table` names a file of {source.path}; `ingest.table.path` is the "
            f"column with their paths or names, here {table.path}"
        )
    kept = {entry.file for entry in joined}
    without = [entry for entry in entries if entry.path not in with_row]
    for file in {entry.file for entry in entries} - kept - {""}:
        (raw / file).unlink()
    return joined + [replace(e, file="", problem=e.problem or "not_in_table") for e in without]


class _Files:
    """The files of the source, found by what a table may call them: path, name, or name without its suffix."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._paths: dict[str, Entry] = {}
        self.paths: set[str] = set()
        self._names: dict[str, list[Entry]] = defaultdict(list)
        self._pictures = Image.registered_extensions()
        for entry in entries:
            path = _composed(entry.path)
            self._paths[path] = entry
            self.paths.add(entry.path)
            name = PurePosixPath(path)
            for called in {name.name, name.stem}:
                self._names[called].append(entry)

    def find(self, text: str, folder: str) -> tuple[Entry | None, str]:
        """The file that a row of a table in `folder` names; or none, and the reason code."""
        path = _composed(text.strip().replace("\\", "/"))
        path = "/".join(part for part in path.split("/") if part not in {"", "."})
        for exact in (f"{folder}/{path}", path):
            if exact in self._paths:
                return self._paths[exact], ""
        named = self._names.get(path.rpartition("/")[2], [])
        if len(named) > 1:  # 001.jpg beside 001.txt: the table means the picture
            named = [entry for entry in named if PurePosixPath(entry.path).suffix.lower() in self._pictures] or named
        if len(named) == 1:
            return named[0], ""
        return None, "several_files" if named else "missing_file"


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _below(part: str, path: str) -> str:
    return path if not part or path.startswith(f"{part}/") else f"{part}/{path}"
