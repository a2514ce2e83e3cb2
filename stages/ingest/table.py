"""A table that says which picture has which label, and perhaps which group and which published part."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from stages.core.errors import UserError
from stages.core.folders import part_named
from stages.core.labels import tidy
from stages.ingest import table_file
from stages.ingest.entry import HIDDEN, Entry, is_picture, named, plain, printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stages.ingest.params import Archive, Folder, Table

_WAYS = {
    HIDDEN: "`ingest.hidden: true` lets it in",
    "link_leads_out": "`ingest.links_out: true` lets links be followed",
}
Found = tuple[Entry | None, str]
_MISSING: Found = (None, "missing_file")


def join(entries: list[Entry], source: Folder | Archive, table: Table, raw: Path) -> list[Entry]:
    """Give each entry the label, group and part of its row. A file without a row is not kept, and its entry says so.

    With a part, the entry stands under the part's folder (`test/1.jpg`), where `split.test: {folder: test}` finds it.

    Raises:
        UserError: there is no such table, or it cannot be read.
    """
    meant = named((entry.path for entry in entries), table.file)
    of_tables = [entry for entry in entries if entry.path in meant]
    tables = [entry for entry in of_tables if entry.file]
    if not tables:
        problem = of_tables[0].problem if of_tables else ""
        why = f"could not be brought in from {source.path} ({problem})" if of_tables else f"is not in {source.path}"
        way = _WAYS.get(problem, "put the file itself there") if of_tables else "name it relative to `ingest.path`"
        raise UserError(f"`ingest.table.file` is {table.file}, which {why}; {way}")
    if source.label != "table":
        table = table.model_copy(update={"label": None})
    files = Files(entry for entry in entries if entry.path not in meant)
    joined: list[Entry] = []
    with_row: set[str] = set()
    seen: set[tuple[str, str, str]] = set()
    rows = [(row, one.path) for one in tables for row in table_file.rows(raw / one.file, one.path, table)]
    for (row, _), (found, why) in zip(rows, files.find([(row.path, at) for row, at in rows]), strict=True):
        if why == "missing_file" and source.fraction < 1:
            continue  # it may be there, and was not drawn
        entry = found or Entry(printable(row.path), "", "", source.source, problem=why)
        with_row.add(entry.path)
        label = printable(tidy(row.label)) if source.label == "table" else entry.label
        group = printable(tidy(row.group)) or entry.group
        again = "twice_in_table" if (entry.path, label, group) in seen else ""
        problem = entry.problem or row.problem or again
        seen.add((entry.path, label, group))
        path = _below(printable(tidy(row.part)), entry.path)
        file = "" if problem else entry.file
        joined.append(replace(entry, path=path, file=file, label=label, group=group, problem=problem))
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


class Files:
    """The files of the source, by their names in a table: path, name, or name without its suffix."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.paths: set[str] = set()
        self._at: dict[str, list[Entry]] = defaultdict(list)
        self._names: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            self.paths.add(entry.path)
            path = _composed(entry.path)
            self._at[path].append(entry)
            name = PurePosixPath(path)
            for called in {name.name, name.stem}:
                self._names[called].append(entry)

    def find(self, asked: list[tuple[str, str]]) -> list[Found]:
        """The file that each row names, or none and the reason code.

        A file that a row names by its path, no other row names by the name alone: that row's own file is not here.

        Args:
            asked: what stands in the row, and the path of the table.
        """
        paths = [(plain(text.strip()), table) for text, table in asked]
        found: list[Found] = [_MISSING] * len(paths)
        for way in (self._by_path, self._by_name, self._by_stem):  # each for the rows that found no file before
            taken = {entry.path for entry, _ in found if entry}
            found = [one if one != _MISSING else way(*at, taken) for one, at in zip(found, paths, strict=True)]
        # cats/1.png and dogs/1.png, where only birds/1.png is: neither is it
        rows = list(enumerate(zip(found, paths, strict=True)))
        other = {k: (entry.path, path) for k, ((entry, _), (path, _)) in rows if entry and _other_folder(path, entry)}
        rivals = Counter(path for path, _ in set(other.values()))
        return [_MISSING if k in other and rivals[other[k][0]] > 1 else one for k, (one, _) in rows]

    def _by_path(self, path: str, table: str, _taken: set[str]) -> Found:
        folder = table.rpartition("/")[0]
        for whole in (f"{folder}/{path}", path):
            here = self._at.get(_composed(whole), [])
            here = [entry for entry in here if entry.path == whole] or here  # two that differ in their form of accents
            if here:
                return _one(here)
        return _MISSING

    def _by_name(self, path: str, table: str, taken: set[str]) -> Found:
        above, _, name = path.rpartition("/")
        folder, part = table.rpartition("/")[0], part_of_table(table)
        beside = {above, f"{folder}/{above}".strip("/")}
        named = self._names.get(_composed(name), [])
        here = [entry for entry in named if entry.path.rpartition("/")[0] in beside]
        named = here or [entry for entry in named if entry.path not in taken]
        for better in (
            lambda entry: not _other_folder(path, entry),
            lambda entry: entry.problem != HIDDEN,
            lambda entry: not part or in_part(entry.path, part),
            lambda entry: PurePosixPath(_composed(entry.path)).name == _composed(name),
            lambda entry: PurePosixPath(entry.path).name == name,
            lambda entry: is_picture(entry.path),  # 1.png, not 1.txt
        ):
            named = [entry for entry in named if better(entry)] or named
        return _one(named)

    def _by_stem(self, path: str, table: str, taken: set[str]) -> Found:
        """1.jpg, where 1.png is, and no other row names it."""
        found = self._by_name(path.rpartition(".")[0], table, taken) if is_picture(path) else _MISSING
        if (entry := found[0]) and (entry.path in taken or not is_picture(entry.path)):
            return _MISSING
        return found


def part_of_table(table: str) -> str:
    """The part that a table is named by: `train.csv`, `val_labels.csv`; else an empty text."""
    words = re.split(r"[^a-z]+", PurePosixPath(table).stem.casefold())
    return next((part for word in words if (part := part_named(word))), "")


def in_part(path: str, part: str) -> bool:
    """Whether a folder above the file is named by the part."""
    return any(part_named(folder) == part for folder in path.split("/")[:-1])


def _one(named: list[Entry]) -> Found:
    if len(named) == 1:
        return named[0], ""
    return (None, "several_files") if named else _MISSING


def _other_folder(path: str, entry: Entry) -> bool:
    """Whether a row's path has folders, and neither it nor the entry's path is the end of the other."""
    row, whole = f"/{_composed(path)}", PurePosixPath(f"/{_composed(entry.path)}")
    names = str(whole), str(whole.with_suffix(""))
    return "/" in path and not any(row.endswith(name) or name.endswith(row) for name in names)


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _below(part: str, path: str) -> str:
    return path if not part or path.startswith(f"{part}/") else f"{part}/{path}"
