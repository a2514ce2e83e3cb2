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


class Archive(Section):
    """A zip or tar of a tree of label folders."""

    source: Literal["archive"]
    path: str
    label_level: int = Field(default=1, ge=1)
    max_gigabytes: float = Field(default=50.0, gt=0)  # of all files together, unpacked


SOURCES: dict[str, type[Section]] = {"digits": Digits, "folder": Folder, "archive": Archive}
Ingest = Digits | Folder | Archive


def check_source(values: Any) -> Ingest:
    """Validate the section by the model of its source.

    Raises:
        UserError: the source is unknown, or a key is wrong.
    """
    source = values.get("source") if isinstance(values, dict) else None
    if source not in SOURCES:
        raise UserError(f"{FILE}: `ingest.source` is {source!r}; it can be {', '.join(SOURCES)}")
    return TypeAdapter(Ingest).validate_python(section(SOURCES[source], values, "ingest"))
