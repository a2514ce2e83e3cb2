"""Tables beside the pictures: which column names the file, which the label, whatever they are called."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from stages.core.errors import UserError
from studies.new import parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from studies.new.listing import Listing

LABEL = re.compile(
    r"(.*[_ .-])?(label|labels|class|classes|class_?name|category|target|species|breed|variety|diagnosis|dx|type|"
    r"genus|family|tag|genre|emotion|kind|y)([_ .-]?(name|id))?",
    re.I,
)
GROUP = re.compile(
    r"(.*[_ .-])?(patient|subject|video|clip|session|site|product|individual|lesion|case|sequence|series|group|scene|"
    r"animal|person|specimen|burst|shoot|camera|location|loc)([_ .-]?(id|name|no|nr|number))?",
    re.I,
)
PATH = re.compile(r"(.*[_ .-])?(file_?name|path|file|filepath|image|image_?id|img|id|filename)", re.I)
_ADDRESS = re.compile(r"https?://", re.I)
_LARGEST = 200_000_000  # bytes
_LOOKED_AT = 2000  # rows, to tell the columns


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
        kind: columns | coco.
        parts: picture -> what the column of parts says.
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
    kind: str = "columns"
    parts: dict[str, str] = field(default_factory=dict)
    url: str = ""
    rows: list[dict[str, str]] = field(default_factory=list)  # of addresses

    def keys(self) -> dict[str, str]:
        """What `ingest.table` is told."""
        found = {"file": self.file}
        found |= {"path": self.path} | ({"label": self.label} if self.label else {})
        found |= {name: value for name in ("part", "group") if (value := getattr(self, name))}
        return found

    def said(self) -> str:
        """Where the label stands, in a sentence."""
        if self.kind == "coco":
            return f"The label is the category that {self.file!r} (COCO) gives each picture."
        return f"The label is the column {self.label!r} of {self.file!r}, whose column {self.path!r} names the files."


def read(file: Path) -> pd.DataFrame | None:
    """A table as text, an empty text where it has no value; None where it is no table.

    Raises:
        UserError: it is damaged.
    """
    import pandas as pd

    suffix = file.suffix.lower()
    try:
        if file.stat().st_size > _LARGEST:
            return None
        if suffix in (".csv", ".tsv"):
            with file.open(encoding="utf-8-sig", newline="") as text:
                head = text.readline()
            separator = "\t" if suffix == ".tsv" else max(",;\t", key=head.count)
            frame = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        elif suffix == ".parquet":
            frame = pd.read_parquet(file)
        elif suffix in (".jsonl", ".ndjson"):
            with file.open(encoding="utf-8") as text:
                frame = pd.DataFrame([json.loads(line) for line in text if line.strip()])
        else:
            whole = json.loads(file.read_text(encoding="utf-8"))
            flat = isinstance(whole, list) and bool(whole) and all(isinstance(one, dict) for one in whole)
            frame = pd.DataFrame(whole if flat else [])
    except (ValueError, UnicodeDecodeError, OSError) as error:
        if suffix == ".json":
            return None  # settings of some program
        raise UserError(
            f"{file} cannot be read as a table ({str(error)[:200]}); mend it, or save it as UTF-8"
        ) from None
    if frame.empty:
        return None
    frame.columns = [str(name) for name in frame.columns]
    return frame.map(lambda value: "" if value is None or value != value else str(value))  # noqa: PLR0124 - NaN


def find(listing: Listing, label: str | None = None) -> list[Table]:
    """The tables that name at least some pictures of the folder; the one that labels most stands first."""
    found = []
    for name in listing.tables:
        file = listing.root / name
        if file.suffix.lower() == ".json" and (coco := _coco(file, name, listing)):
            found.append(coco)
        elif (frame := read(file)) is not None and (table := columns(frame, name, listing, label)):
            found.append(table)
    found = _joined(found)
    return sorted(found, key=lambda one: (-sum(map(bool, one.labels.values())), one.file))


def _joined(found: list[Table]) -> list[Table]:
    """Tables of one name and the same columns (train/metadata.csv, test/metadata.csv) are one table."""
    alike: dict[tuple[str, ...], list[Table]] = {}
    for one in found:
        name = one.file.rpartition("/")[2]
        alike.setdefault((name, one.path, one.label, one.part, one.group, one.kind), []).append(one)
    tables = []
    for (name, *_), same in alike.items():
        if len(same) == 1:
            tables += same
            continue
        labels = dict.fromkeys(same[0].labels, "")
        for one in same:
            labels |= {path: label for path, label in one.labels.items() if label}
        file = f"*/{name}" if all("/" in one.file for one in same) else f"*{name}"
        missing = [path for one in same for path in one.missing]
        divided = {path: part for one in same for path, part in one.parts.items()}
        named = sum(one.named for one in same)
        tables.append(replace(same[0], file=file, labels=labels, missing=missing, named=named, parts=divided))
    return tables


def addresses(file: Path) -> Table | None:
    """A table of addresses; None where it holds none."""
    frame = read(file)
    if frame is None:
        return None
    for name in frame.columns:
        values = frame[name]
        if len(values) and values.str.match(_ADDRESS).mean() > 0.9:
            label, others = _label(frame, {name})
            digest = next((c for c in frame.columns if re.fullmatch(r"sha-?_?256", c, re.I)), None)
            rows = [
                {"url": row[name], "label": row[label] if label else "", "sha256": row[digest] if digest else ""}
                for row in frame.to_dict("records")
            ]
            labels = {row["url"]: row["label"] for row in rows}
            return Table(file.name, name, label, labels, [], len(rows), others, url=name, rows=rows)
    return None


def columns(frame: pd.DataFrame, file: str, listing: Listing, wanted: str | None = None) -> Table | None:
    """Tell the columns of a table apart; None where none of them names pictures."""
    index = Index(listing.pictures, str(PurePosixPath(file).parent))
    head = frame.head(_LOOKED_AT)
    shares = {name: sum(map(bool, map(index, head[name]))) / len(head) for name in head.columns}
    path = max(shares, key=lambda name: (shares[name], bool(PATH.fullmatch(name))))
    if shares[path] < 0.05:
        return None
    places = [index(value) for value in frame[path]]
    label, others = (wanted, {}) if wanted in frame.columns and wanted else _label(frame, {path})
    labels = dict.fromkeys(listing.pictures, "")
    if label:
        labels |= {place: value for place, value in zip(places, frame[label], strict=True) if place}
    missing = [value for value, place in zip(frame[path], places, strict=True) if value and not place]
    taken = {path, label}
    part = next((c for c in frame.columns if c not in taken and _is_parts(frame[c])), "")
    group = next((c for c in frame.columns if c not in {*taken, part} and _is_group(c, frame[c])), "")
    divided = {place: value for place, value in zip(places, frame[part], strict=True) if place} if part else {}
    return Table(file, path, label, labels, missing, len(places), others, part, group, parts=divided)


class Index:
    """Finds the picture that a value of a table means, as `stages.ingest.table` does: a path, or a name known once."""

    def __init__(self, pictures: Sequence[str], beside: str) -> None:
        self.beside = "" if beside == "." else f"{beside}/"
        self.paths = {unicodedata.normalize("NFC", path): path for path in pictures}
        self.called: dict[str, str] = {}
        for known, path in self.paths.items():
            for name in {PurePosixPath(known).name, PurePosixPath(known).stem}:
                self.called[name] = "" if name in self.called else path  # a name of two pictures means neither

    def __call__(self, value: str) -> str:
        """The path of the picture, or an empty text."""
        value = unicodedata.normalize("NFC", value.strip().replace("\\", "/"))
        value = "/".join(part for part in value.split("/") if part not in {"", "."})
        exact = self.paths.get(self.beside + value) or self.paths.get(value)
        return exact or self.called.get(value.rpartition("/")[2], "")


def _label(frame: pd.DataFrame, taken: set[str]) -> tuple[str, dict[str, int]]:
    """The column that is most likely the label, and the others that could be it with their number of values."""
    possible = {}
    for name in frame.columns:
        values = frame[name][frame[name] != ""]
        distinct = values.nunique()
        if name in taken or not 1 <= distinct <= max(2, len(values) / 2) or _is_parts(values):
            continue
        if not _is_group(name, values) and not values.head(200).str.fullmatch(r"-?\d+\.\d+").any():
            possible[name] = distinct
    named = [name for name in possible if LABEL.fullmatch(name)]
    words = [name for name in named if not re.search(r"id$", name, re.I)]
    candidates = words or named or [name for name, count in possible.items() if count > 1] or list(possible)
    if not candidates:
        return "", {}
    best = min(candidates, key=lambda name: (not LABEL.fullmatch(name), possible[name] < 2, possible[name]))
    others = {} if len(named) == 1 else {name: count for name, count in possible.items() if name != best and count > 1}
    return best, others


def _is_parts(values: pd.Series[str]) -> bool:
    distinct = set(values.unique()) - {""}
    return bool(distinct) and len(distinct) <= 4 and all(map(parts.part_named, distinct))


def _is_group(name: str, values: pd.Series[str]) -> bool:
    return bool(GROUP.fullmatch(name)) and 1 < values.nunique() < len(values) and not LABEL.fullmatch(name)


def _coco(file: Path, name: str, listing: Listing) -> Table | None:
    """A file of COCO: images, annotations, categories; a picture that shows one category has it as its label."""
    if file.stat().st_size > _LARGEST:
        return None
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(whole, dict) or not {"images", "annotations", "categories"} <= set(whole):
            return None
        kinds = {one["id"]: str(one["name"]) for one in whole["categories"]}
        shown: dict[Any, Counter[str]] = {}
        for one in whole["annotations"]:
            shown.setdefault(one["image_id"], Counter())[kinds[one["category_id"]]] += 1
        index = Index(listing.pictures, str(PurePosixPath(name).parent))
        labels, missing = dict.fromkeys(listing.pictures, ""), []
        for one in whole["images"]:
            place = index(str(one["file_name"]))
            if not place:
                missing.append(str(one["file_name"]))
            elif len(shown.get(one["id"], ())) == 1:  # one that shows several categories has no label
                labels[place] = next(iter(shown[one["id"]]))
    except (ValueError, KeyError, TypeError):
        return None
    if not any(labels.values()):
        return None
    return Table(name, "file_name", "category", labels, missing, len(whole["images"]), kind="coco")
