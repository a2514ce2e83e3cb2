"""Tables beside the pictures: which of them names files, and what it says of each."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stages.core.errors import UserError
from stages.core.labels import tidy
from stages.ingest import entry, params, table_file
from stages.ingest.entry import printable
from studies.new import columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from studies.new.listing import Listing

_ADDRESS = re.compile(r"https?://", re.I)


@dataclass(frozen=True)
class Table:
    """A table that names pictures.

    Attributes:
        file: relative to the folder of pictures.
        path: its column of files; `url` is one of addresses.
        label: its column of labels; empty where none is known.
        labels: picture -> label, empty for those that the table does not name.
        missing: files that it names and that are not there.
        named: rows that name a file or an address.
        others: further columns that could be the label -> how many values they have.
        part, group: columns that divide the pictures, or say what belongs together.
        unread: a column that may divide the pictures too, but says neither train nor test.
        kind: columns | coco.
        parts, groups: picture -> what the column of parts or of groups says.
        torn: pictures that stand in several rows with different labels.
        sure: the label's column is named like one, or the user named it.
        flags: columns of which one says 1, and whose names are the labels; `label` then names them all.
        header: whether it has names of columns.
    """

    file: str
    path: str
    label: str
    labels: dict[str, str]
    missing: list[str] = field(default_factory=list)
    named: int = 0
    others: dict[str, int] = field(default_factory=dict)
    part: str = ""
    group: str = ""
    unread: str = ""
    kind: str = "columns"
    parts: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    torn: frozenset[str] = frozenset()
    sure: bool = True
    flags: tuple[str, ...] = ()
    header: bool = True
    url: str = ""
    rows: list[dict[str, str]] = field(default_factory=list)  # of addresses

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return len(set(self.labels.values()) - {""})

    def keys(self) -> dict[str, Any]:
        """What `ingest.table` is told where the table says the label."""
        return self.beside() | {"label": list(self.flags) or self.label}

    def beside(self) -> dict[str, Any]:
        """The same where something else says the label."""
        found: dict[str, Any] = {"file": self.file, "path": self.path, "label": None}
        found |= {} if self.header else {"header": False}
        return found | {name: value for name in ("part", "group") if (value := getattr(self, name))}

    def said(self) -> str:
        """Where the label stands, in a sentence."""
        if self.kind == "coco":
            return f"The label is the category that {self.file!r} (COCO) gives each picture."
        if self.flags:
            return f"The label is the name of the column of {self.file!r} that says 1 ({self.label})."
        if not self.header:
            return (
                f"The label is column {self.label} of {self.file!r}, whose first line names no columns; column "
                f"{self.path} names the files."
            )
        return f"The label is the column {self.label!r} of {self.file!r}, whose column {self.path!r} names the files."


def find(listing: Listing, label: str = "", group: str = "") -> tuple[list[Table], list[str]]:
    """The tables that name at least some pictures, the best first; and why others could not be read.

    Args:
        listing: the names.
        label: the column that shall be the label; tables that have it stand first.
        group: the column that shall be the group, where a table has it.
    """
    found, unread = [], []
    for name in listing.tables:
        file = listing.table(name)
        try:
            if file.suffix.lower() == ".json" and (coco := _coco(file, name, listing)):
                found.append(coco)
            elif (frame := columns.read(file, name, [label, group])) is not None:
                index = columns.Index(listing.pictures, name)
                header = file.suffix.lower() not in (".csv", ".tsv") or not any(index(frame.columns))
                if not header and (frame := columns.read(file, name, header=False)) is None:
                    continue
                found += _columns(frame, name, index, label, group, header=header)
        except UserError as error:
            unread.append(str(error))
    found = _joined(found, listing.tables)

    def rank(one: Table) -> tuple[bool, bool, int, str]:
        return (bool(label) and one.label != label, one.classes < 2, -sum(map(bool, one.labels.values())), one.file)

    return sorted(found, key=rank), unread


def _joined(found: list[Table], tables: Sequence[str]) -> list[Table]:
    """Tables of one name and the same columns (train/metadata.csv, test/metadata.csv) are one table.

    So are those of different names (instances_train.json, instances_val.json), if they label different pictures.
    """
    by_name = _united(found, tables, lambda one: one.file.rpartition("/")[2])
    return _united(by_name, tables, lambda _: "")


def _united(found: list[Table], tables: Sequence[str], named: Callable[[Table], str]) -> list[Table]:
    alike: dict[tuple[str, ...], list[Table]] = {}
    for one in found:
        alike.setdefault((named(one), one.path, one.label, one.part, one.group, one.kind, str(one.header)), []).append(
            one
        )
    joined = []
    for (name, *_), same in alike.items():
        labelled = Counter(path for one in same for path, label in one.labels.items() if label or path in one.torn)
        file = _glob([one.file for one in same], tables)
        if len(same) == 1 or not file or (not name and max(labelled.values(), default=0) > 1):
            joined += same
            continue
        labels = dict.fromkeys(same[0].labels, "")
        for one in same:
            labels |= {path: label for path, label in one.labels.items() if label}
        joined.append(
            replace(
                same[0], file=file, labels=labels, named=sum(one.named for one in same),
                missing=[path for one in same for path in one.missing],
                parts={path: part for one in same for path, part in one.parts.items()},
                groups={path: group for one in same for path, group in one.groups.items()},
                torn=frozenset().union(*(one.torn for one in same)),
            )
        )  # fmt: skip
    return joined


def _glob(files: Sequence[str], tables: Sequence[str]) -> str:
    """A pattern that fits these tables and no other table; empty where there is none.

    Beside a test/metadata.csv without labels, `*[ln]/metadata.csv` fits those of train and val.
    """
    folders, names = [file.rpartition("/")[0] for file in files], {file.rpartition("/")[2] for file in files}
    first = os.path.commonprefix(files)  # noqa: RUF071 - of characters
    last = os.path.commonprefix([file[::-1] for file in files])[::-1]  # noqa: RUF071
    patterns = [f"{first}*{last}"]
    if len(names) == 1 and all(folders):
        name = "".join(names)
        ends, begins = ("".join(sorted({folder[at] for folder in folders})) for at in (-1, 0))
        patterns = [f"*/{name}", f"*[{ends}]/{name}", f"[{begins}]*/{name}"]
    if len(names) == 1:
        patterns.append(f"*{''.join(names)}")
    fits = (p for p in patterns if sorted(entry.named(tables, p)) == sorted(files))
    return next(fits, "")


def addresses(file: Path, wanted: str = "") -> Table | None:
    """A table of addresses; None where it holds none.

    Raises:
        UserError: it cannot be read, or has no column of labels.
    """
    frame = columns.read(file, str(file), [wanted])
    if frame is None:
        return None
    for name in frame.columns:
        values = frame[name]
        if len(values) and values.str.match(_ADDRESS).mean() > 0.9:
            return _of_addresses(frame, file, name, wanted)
    return None


def _of_addresses(frame: pd.DataFrame, file: Path, name: str, wanted: str) -> Table:
    if wanted and wanted not in frame.columns:
        raise UserError(f"--label-column is {wanted!r}, but {file} has the columns {', '.join(frame.columns)}")
    label, others = (wanted, {}) if wanted else columns.label(frame, {name})
    if not label:
        raise UserError(
            f"{file} has addresses in its column {name!r}, and no column that could be the label; add one, or name it "
            "with --label-column"
        )
    digest = next((c for c in frame.columns if re.fullmatch(r"sha-?_?256", c, re.I)), None)
    rows = [
        {"url": row[name], "label": tidy(row[label]), "sha256": row[digest] if digest else ""}
        for row in frame.to_dict("records")
    ]
    labels = {row["url"]: row["label"] for row in rows}
    return Table(file.name, name, label, labels, [], len(rows), others, url=name, rows=rows)


def _columns(
    frame: pd.DataFrame, file: str, index: columns.Index, wanted: str, group: str, *, header: bool
) -> list[Table]:
    """The table by its columns; nothing where none of them names pictures."""
    path = columns.path_column(frame, index)
    if not path:
        return []
    places = index(frame[path])
    label, others = (wanted, {}) if wanted and wanted in frame.columns else columns.label(frame, {path})
    part = next((c for c in frame.columns if c not in {path, label} and columns.is_parts(frame[c])), "")
    sure = bool(label) and (label == wanted or columns.is_label(label))
    flags = [] if sure else columns.one_hot(frame)
    if len(flags) == 2 and label and frame[label].nunique() > 2:  # two sides of one remark: indoor, outdoor
        others, flags = others | {", ".join(flags): 2}, []
    if flags:
        label, others, sure = ", ".join(flags), {}, len(flags) > 2
        said_of = [[one for one in flags if row[one]] for row in frame[flags].apply(columns.holds).to_dict("records")]
    else:
        said_of = [[value] for value in frame[label]] if label else []
    free = [c for c in frame.columns if c not in {path, part, *flags} and not (c == label and sure)]
    groups = [group] if group in free else [c for c in free if columns.is_group(c, frame[c])]
    group = next(iter(groups), "")
    given: dict[str, set[str]] = {picture: set() for picture in index.pictures}
    for place, values in zip(places, said_of, strict=False):
        if place:
            given[place] |= {said for value in values if (said := printable(tidy(value)))}
    labels = {picture: "".join(values) if len(values) == 1 else "" for picture, values in given.items()}
    missing = [value for value, place in zip(frame[path], places, strict=True) if value and not place]
    return [
        Table(
            file, path, label, labels, missing, len(places), others, part, group,
            parts=_of(places, frame, part), groups=_of(places, frame, group),
            torn=frozenset(place for place, values in given.items() if len(values) > 1),
            sure=sure, flags=tuple(flags), header=header,
            unread="" if part else columns.may_be_parts(frame, {path, label, group, *flags}),
        )
    ]  # fmt: skip


def _of(places: Sequence[str], frame: pd.DataFrame, column: str) -> dict[str, str]:
    """What a column says of each picture."""
    if not column:
        return {}
    return {place: tidy(value) for place, value in zip(places, frame[column], strict=True) if place}


def _coco(file: Path, name: str, listing: Listing) -> Table | None:
    """A file of COCO, as `ingest` reads it; None where it is none, or labels no picture."""
    if file.stat().st_size > columns.LARGEST:
        return None
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        _, images = table_file.coco(whole, name, params.Table(file=name, label="category"))
        names = [str(image["file_name"]) for image in images]
    except (UserError, ValueError, KeyError, RecursionError):
        return None
    labels, missing, torn = dict.fromkeys(listing.pictures, ""), [], set()
    for image, file_name, place in zip(images, names, columns.Index(listing.pictures, name)(names), strict=True):
        if not place:
            missing.append(file_name)
        elif table_file.PROBLEM in image:
            torn.add(place)
        elif image["category"]:
            labels[place] = printable(tidy(image["category"]))
    if not any(labels.values()):
        return None
    return Table(name, "file_name", "category", labels, missing, len(images), kind="coco", torn=frozenset(torn))
