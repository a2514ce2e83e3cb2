"""One table as text: what its columns are, whatever they are called, and which pictures its rows mean."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from stages.core.errors import UserError
from stages.core.folders import part_named
from stages.ingest import table_file
from stages.ingest.entry import Entry
from stages.ingest.table import Files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

_KIND = (
    r"(label|labels|class|classes|class_?name|category|target|species|breed|variety|diagnosis|dx|type|"
    r"genus|family|tag|genre|emotion|kind|y)([_ .-]?(name|id))?"
)
BARE = re.compile(_KIND, re.I)
LABEL = re.compile(rf"(.*[_ .-])?{_KIND}[_ .-]?\d?", re.I)
GROUP = re.compile(
    r"(.*[_ .-])?(patient|subject|video|clip|session|site|product|individual|lesion|case|sequence|series|group|scene|"
    r"animal|person|specimen|burst|shoot|camera|location|loc)([_ .-]?(id|name|no|nr|number))?",
    re.I,
)
EITHER = re.compile(r"animal|scene|product|location|site", re.I)  # a group, or what is on the picture
PATH = re.compile(r"(.*[_ .-])?(file_?name|path|file|filepath|image|image_?id|img|id|filename)", re.I)
_PART = re.compile(
    r"((is|in|for)[_ .-]?)?(train(ing)?|test(ing)?|val(id(ation)?)?|dev|holdout|eval(uation)?)[_ .-]?(set|flag)?|"
    r"((cv|k)[_ .-]?)?folds?[_ .-]?(id|no)?|(data)?[_ .-]?(split|subset|partition|set|usage)[_ .-]?(id|name)?",
    re.I,
)
_WHOLE = r"\d+\.0"  # a number of a class, as pandas writes it where others are missing
_FLAG = re.compile(r"\s*(\d+(\.0)?|true|false|yes|no|y|n|t|f)\s*", re.I)
LARGEST = 200_000_000  # bytes
_WIDE = 60  # columns; of a wider table (pixels in columns) only the outer ones are read, and those with a telling name
_MOST_PARTS = 20  # values of a column of folds
_LOOKED_AT = 400  # rows, to tell which column names the files


def read(file: Path, name: str, wanted: Sequence[str] = (), *, header: bool = True) -> pd.DataFrame | None:
    """A table as text, an empty text where it has no value; None where it is no table.

    Args:
        file: where it lies.
        name: what to call it.
        wanted: columns that are read however many there are.
        header: whether a CSV has names of columns; without, they are called 1, 2, 3.

    Raises:
        UserError: it is damaged.
    """
    import pandas as pd

    suffix = file.suffix.lower()
    try:
        if not 0 < file.stat().st_size <= LARGEST:
            return None
        if suffix in (".csv", ".tsv"):
            frame = _delimited(file, suffix, wanted) if header else _bare(file, suffix)
        elif suffix == ".parquet":
            table_file.check_parquet(file, name)
            frame = pd.read_parquet(file, dtype_backend="pyarrow")  # whole numbers stay so where some are missing
            frame = frame.astype(object).where(frame.notna(), None)
        elif suffix in (".jsonl", ".ndjson"):
            with file.open(encoding="utf-8") as text:
                frame = pd.DataFrame([json.loads(line) for line in text if line.strip()], dtype=object)
        else:
            whole = json.loads(file.read_text(encoding="utf-8"))
            flat = isinstance(whole, list) and bool(whole) and all(isinstance(one, dict) for one in whole)
            frame = pd.DataFrame(whole if flat else [], dtype=object)
    except (ValueError, RecursionError, OSError) as error:
        if suffix == ".json":
            return None  # settings of some program
        raise UserError(
            f"{name} cannot be read as a table ({str(error).strip()[:200]}); mend it, or save it as UTF-8"
        ) from None
    if frame.empty:
        return None
    frame.columns = [str(title) for title in frame.columns]
    return frame.fillna("") if suffix in (".csv", ".tsv") else frame.map(_text)


def _delimited(file: Path, suffix: str, wanted: Sequence[str]) -> pd.DataFrame:
    """A CSV; columns without a name are an index that some program wrote, and are left out."""
    import pandas as pd

    told = _told(file, suffix)
    frame: pd.DataFrame = pd.read_csv(file, **told, nrows=0)
    titles = [str(title) for title in frame.columns]
    kept = [title for title in titles if not re.fullmatch(r"\s*|Unnamed: \d+(_level_\d+)?", title)]
    if len(kept) > _WIDE:
        telling = (LABEL, GROUP, PATH)
        outer = {*kept[: _WIDE // 2], *kept[-_WIDE // 2 :], *wanted}
        kept = [one for one in kept if one.strip() in outer or any(like.fullmatch(one.strip()) for like in telling)]
    frame = pd.read_csv(file, **told, usecols=kept, index_col=False)
    return frame.rename(columns=str.strip)


def _bare(file: Path, suffix: str) -> pd.DataFrame:
    """A CSV without names of columns."""
    import pandas as pd

    frame: pd.DataFrame = pd.read_csv(file, **_told(file, suffix), header=None)
    return frame.rename(columns=lambda place: str(place + 1))


def _told(file: Path, suffix: str) -> dict[str, Any]:
    """What pandas is told of a CSV: values stay text, as `stages.ingest.table_file` reads them."""
    encoding = table_file.encoding(file)
    with file.open(encoding=encoding, newline="") as text:
        head = text.readline()
    separator = "\t" if suffix == ".tsv" else max(",;\t", key=head.count)
    return {"sep": separator, "dtype": str, "keep_default_na": False, "encoding": encoding}


def _text(value: Any) -> str:
    """A value as `stages.ingest.table_file` reads it; what is no text (a list, a date) is nothing."""
    return table_file.as_text(value) if isinstance(value, table_file.TEXT) else ""


class Index:
    """Finds the pictures that values of a table mean, as the stage `ingest` does."""

    def __init__(self, pictures: Sequence[str], table: str) -> None:
        self.pictures, self.table = pictures, table
        self.files = Files(Entry(path, path, "", "") for path in pictures)

    def __call__(self, values: Iterable[str]) -> list[str]:
        """The path of the picture that each value means, or an empty text."""
        found = self.files.find([(value, self.table) for value in values])
        return [entry.path if entry else "" for entry, _ in found]


def path_column(frame: pd.DataFrame, index: Index) -> str:
    """The column that names pictures; empty where none does."""
    head = frame.iloc[:: max(1, len(frame) // _LOOKED_AT)]
    shares = {name: sum(map(bool, index(head[name]))) / len(head) for name in frame.columns}
    best = max(shares, key=lambda name: (shares[name], bool(PATH.fullmatch(name))))
    return best if shares[best] >= 0.05 else ""


def label(frame: pd.DataFrame, taken: set[str]) -> tuple[str, dict[str, int]]:
    """The column that is most likely the label, and the others that could be it with their number of values."""
    possible: dict[str, int] = {}
    either: dict[str, int] = {}
    for name in frame.columns:
        values = frame[name][frame[name].str.strip() != ""]
        distinct = values.nunique()
        flags = bool(_PART.fullmatch(name)) and values.str.fullmatch(_FLAG).all()  # is_train, fold
        if name in taken or not 1 <= distinct <= max(2, len(values) / 2) or is_parts(values) or flags:
            continue
        if is_group(name, values):
            either |= {name: distinct} if EITHER.fullmatch(name) and distinct <= len(values) / 3 else {}
        elif not values.str.fullmatch(r"-?\d+\.\d+").any() or (is_label(name) and values.str.fullmatch(_WHOLE).all()):
            possible[name] = distinct
    possible = {name: count for name, count in possible.items() if name not in one_hot(frame)}
    named = [name for name in possible if is_label(name)]
    words = [name for name in named if not re.search(r"id$", name, re.I)]
    if words or named:
        # `dx` before `dx_type`; then as the columns stand.
        best = min(words or named, key=lambda name: (possible[name] < 2, not BARE.fullmatch(name)))
    else:
        several = [name for name, count in possible.items() if count > 1]
        texts = [name for name in several if not frame[name].head(200).str.fullmatch(r"\s*-?\d*\s*").all()]
        best = min(texts or either or several or possible, key=lambda name: possible.get(name, 0), default="")
    others = {} if len(named) == 1 else {name: count for name, count in possible.items() if name != best and count > 1}
    return best, others


def is_label(name: str) -> bool:
    """Whether a column is named like a label: `class_name`, `masterCategory`, `Type 1`."""
    return bool(LABEL.fullmatch(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)))


def one_hot(frame: pd.DataFrame) -> list[str]:
    """Columns that say one class together: 1 in one of them, 0 in the others."""
    said = {name: set(frame[name].str.strip().str.lower()) for name in frame.columns if not _PART.fullmatch(name)}
    pairs = ({"0", "1"}, {"0.0", "1.0"}, {"false", "true"})
    flags = next((found for pair in pairs if (found := [name for name in said if said[name] == pair])), [])
    share = (frame[flags].apply(holds).sum(axis=1) == 1).mean()
    return flags if (len(flags) > 2 and share > 0.9) or (len(flags) == 2 and share == 1) else []


def holds(flags: pd.Series[str]) -> pd.Series[bool]:
    """Where a column says that its label holds."""
    return flags.str.strip().str.lower().isin(table_file.HOLDS)


def is_parts(values: pd.Series[str]) -> bool:
    """Whether a column says train, val or test."""
    distinct = set(values.unique()) - {""}
    return bool(distinct) and len(distinct) <= 4 and all(map(part_named, distinct))


def may_be_parts(frame: pd.DataFrame, taken: set[str]) -> str:
    """A column that is named like parts (`is_train`, `fold`) and says none by name; empty where there is none."""
    for name in frame.columns:
        if name not in taken and _PART.fullmatch(name) and 2 <= frame[name].str.strip().nunique() <= _MOST_PARTS:
            return str(name)
    return ""


def is_group(name: str, values: pd.Series[str]) -> bool:
    """Whether a column is named like what pictures belong to (patient, video), and several of them do."""
    return bool(GROUP.fullmatch(name)) and 1 < values.nunique() < len(values) and not is_label(name)
