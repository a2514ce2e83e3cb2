"""The pictures of a study, and findings: pictures to look at together."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stages.core import files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stages.clean.decode import Box

KINDS = {
    "conflict": "one picture under several labels",
    "suspect": "label that most networks or the audit contradict",
    "copies": "copies",
    "alike": "look-alikes",
    "near": "just not similar enough",
    "quarantined": "left out",
    "outlier": "unlike all others",
    "size": "unusual size",
    "decided": "decided by hand before",
}
MOST = 60  # pictures of one finding that are shown
Row = dict[str, str]


@dataclass
class Picture:
    """A row of the ledger. name: what it is called in data/curation.csv. file, image: where its bytes may lie.

    copy_of: the image that was kept in its place.
    """

    number: int
    name: str
    sha256: str
    label: str
    status: str
    reason: str
    detail: str
    image_id: str
    copy_of: str = ""
    file: str = ""
    image: str = ""
    box: Box | None = None
    size: tuple[int, int] | None = None

    @property
    def mark(self) -> str:
        """A short digest of name and content: in another study the same number is another picture."""
        return hashlib.sha256(f"{self.name}\0{self.sha256}".encode("utf-8", "surrogateescape")).hexdigest()[:12]


@dataclass
class Finding:
    """Some pictures to look at together. said: why. hint: a label that may be the right one."""

    kind: str
    pictures: list[Picture]
    said: str
    hint: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        """Give it an id by its kind and pictures, which stays the same when clean runs again."""
        text = "\0".join([self.kind, *sorted(picture.name for picture in self.pictures)])
        self.id = hashlib.sha256(text.encode()).hexdigest()[:12]


def rows(path: Path) -> list[Row]:
    """The rows of a table; none where it is not there."""
    return files.read_rows(path) if path.is_file() else []


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Findings of each kind, in the order of `KINDS`."""
    found = Counter(finding.kind for finding in findings)
    return {kind: found[kind] for kind in KINDS if found[kind]}
