"""The section `ingest` of params.yaml: one model per source, so that a key of another source is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import AfterValidator, Field, model_validator

from stages.core.errors import UserError
from stages.core.params import FILE, Section, section
from stages.ingest import pattern


class Digits(Section):
    """scikit-learn's 1,797 handwritten digits, embedded in the package."""

    source: Literal["digits"]
    path: str  # a file with the SHA-256 that the package's data must have
    planted: bool = False  # true: as a scrape leaves them, with copies, wrong labels, broken files (data/planted.csv)


class Table(Section):
    """A table of the pictures: CSV, TSV, JSON Lines, Parquet or COCO, told by how its name ends."""

    file: str  # relative to `ingest.path`; `*` stands for anything: `*/metadata.csv`
    path: str = "file_name"  # the column with the path, or the name, of a picture
    label: str | list[str] | None = "label"  # several columns: the one with a 1 names the label
    part: str | None = None  # train, test ...: the picture is listed in a folder of that name
    group: str | None = None
    header: bool = True  # of a CSV or TSV; false: the first line is a row too, and the columns are called 1, 2, 3

    @property
    def columns(self) -> dict[str, str]:
        """What a row says -> the name of its column."""
        label = self.label if isinstance(self.label, str) else None
        named = {"path": self.path, "label": label, "part": self.part, "group": self.group}
        return {field: column for field, column in named.items() if column}

    @property
    def flags(self) -> list[str]:
        """The columns of which one says 1, where each label has its own."""
        return self.label if isinstance(self.label, list) else []


class Group(Section):
    """Which pictures belong together, by their path below the source."""

    pattern: Annotated[str, AfterValidator(lambda text: pattern.check(text, "group"))]


class Tree(Section):
    """What folders and archives have in common.

    Attributes:
        path: where it is.
        label: the folder that holds the file (`parent`), the folder so many steps below `path` (a number), all folders
            joined (`path`), part of the file's name (`name`), or a column of a table (`table`).
        name_pattern: with `label: name`: a regular expression with a group `label`.
        table: the file and its columns; needed for `label: table`, else it can give groups and parts.
        group: pictures of one group never stand in two parts of a split.
        min_images: classes with fewer pictures after cleaning are treated as `small_classes` says.
        small_classes: drop: they are left out; merge: they become the class `other`; keep: nothing is done.
        fraction: share of the files of each folder that is brought in, drawn once and for all.
        hidden: bring in hidden and system files too (.ipynb_checkpoints, @eaDir, Thumbs.db ...).
    """

    path: str
    label: Literal["parent", "path", "name", "table"] | Annotated[int, Field(ge=1)] = "parent"
    name_pattern: Annotated[str, AfterValidator(lambda text: pattern.check(text, "label"))] | None = None
    table: Table | None = None
    group: Group | None = None
    min_images: int = Field(default=1, ge=1)
    small_classes: Literal["drop", "merge", "keep"] = "drop"
    fraction: float = Field(default=1.0, gt=0, le=1)
    hidden: bool = False

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if (self.label == "name") != (self.name_pattern is not None):
            raise ValueError("`label: name` and `name_pattern` need each other")
        if self.label == "table" and (self.table is None or not self.table.label):
            raise ValueError("`label: table` needs `table`, with a file and a column `label`")
        if self.group and self.table and self.table.group:
            raise ValueError("`group` and `table.group` exclude each other; name one of them")
        return self


class Folder(Tree):
    """A tree of pictures, anywhere on disk."""

    source: Literal["folder"]
    links_out: bool = False  # follow links to files outside of `path` too


class Archive(Tree):
    """A zip or tar of a tree of pictures."""

    source: Literal["archive"]
    max_gigabytes: float = Field(default=50.0, gt=0)  # of all files together, unpacked


class Cifar10(Section):
    """torchvision's CIFAR-10, downloaded once."""

    source: Literal["cifar10"]
    path: str  # a file with the MD5 that the download must have


class Uecfood256(Section):
    """UECFOOD-256 as its archive unpacks."""

    source: Literal["uecfood256"]
    path: str  # the folder that the archive unpacks to
    boxes: Literal["whole", "crop"] = "whole"  # the whole photo, or what the boxes cut out of it


class Urls(Section):
    """A list of pictures to fetch: a CSV with the columns url, label, sha256."""

    source: Literal["urls"]
    path: str  # the CSV
    max_megabytes: float = Field(default=50.0, gt=0)  # of one picture
    timeout_seconds: float = Field(default=30.0, gt=0, le=86_400)  # of one address, with its redirects and retries
    retries: int = Field(default=3, ge=0)
    connections: int = Field(default=8, ge=1, le=256)  # at the same time
    allow_private: bool = False  # addresses of private networks and of this machine


Ingest = Digits | Folder | Archive | Cifar10 | Uecfood256 | Urls
SOURCES: dict[str, type[Section]] = {
    get_args(model.model_fields["source"].annotation)[0]: model for model in get_args(Ingest)
}


def check_source(values: Any) -> Ingest:
    """Validate the section by the model of its source.

    Raises:
        UserError: the source is unknown, or a key is wrong.
    """
    source = values.get("source") if isinstance(values, dict) else None
    if source not in SOURCES:
        raise UserError(f"{FILE}: `ingest.source` is {source!r}; it can be {', '.join(SOURCES)}")
    return cast("Ingest", section(SOURCES[source], values, "ingest"))
