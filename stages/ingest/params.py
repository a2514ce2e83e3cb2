"""The section `ingest` of params.yaml: one model per source, so that a key of another source is refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, TypeAdapter

from stages.core.errors import UserError
from stages.core.params import FILE, Section, section


class Digits(Section):
    """scikit-learn's 1,797 handwritten digits, embedded in the package."""

    source: Literal["digits"]
    path: str  # a file with the SHA-256 that the package's data must have


class Folder(Section):
    """A tree of label folders, anywhere on disk."""

    source: Literal["folder"]
    path: str
    label_level: int = Field(default=1, ge=1)  # which folder below `path` names the label; 2 for train/cat/1.jpg
    fraction: float = Field(default=1.0, gt=0, le=1)  # of the files of each folder, drawn once and for all
    hidden: bool = False  # bring in hidden and system files too (.ipynb_checkpoints, @eaDir, Thumbs.db ...)
    links_out: bool = False  # follow links to files outside of `path` too


class Archive(Section):
    """A zip or tar of a tree of label folders."""

    source: Literal["archive"]
    path: str
    label_level: int = Field(default=1, ge=1)
    fraction: float = Field(default=1.0, gt=0, le=1)
    max_gigabytes: float = Field(default=50.0, gt=0)  # of all files together, unpacked
    hidden: bool = False


class Cifar10(Section):
    """torchvision's CIFAR-10, downloaded once."""

    source: Literal["cifar10"]
    path: str  # a file with the MD5 that the download must have


class Uecfood256(Section):
    """UECFOOD-256 as its archive unpacks."""

    source: Literal["uecfood256"]
    path: str
    boxes: Literal["whole", "crop"] = "whole"  # the whole photo, or what the boxes cut out of it


class Urls(Section):
    """A list of pictures to fetch: a CSV with the columns url, label, sha256."""

    source: Literal["urls"]
    path: str
    max_megabytes: float = Field(default=50.0, gt=0)  # of one picture
    timeout_seconds: float = Field(default=30.0, gt=0, le=86_400)  # of one address, with its redirects and retries
    retries: int = Field(default=3, ge=0)
    connections: int = Field(default=8, ge=1, le=256)  # at the same time
    allow_private: bool = False  # addresses of private networks and of this machine


SOURCES: dict[str, type[Section]] = {
    "digits": Digits,
    "folder": Folder,
    "archive": Archive,
    "cifar10": Cifar10,
    "uecfood256": Uecfood256,
    "urls": Urls,
}
Ingest = Digits | Folder | Archive | Cifar10 | Uecfood256 | Urls


def check_source(values: Any) -> Ingest:
    """Validate the section by the model of its source.

    Raises:
        UserError: the source is unknown, or a key is wrong.
    """
    source = values.get("source") if isinstance(values, dict) else None
    if source not in SOURCES:
        raise UserError(f"{FILE}: `ingest.source` is {source!r}; it can be {', '.join(SOURCES)}")
    return TypeAdapter(Ingest).validate_python(section(SOURCES[source], values, "ingest"))
