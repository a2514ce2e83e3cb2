"""Published parts: folders whose names say training, validation or test."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_WORD = {
    "train": r"tr|trn|train(ing)?",
    "val": r"val|valid(ation)?|dev(elopment)?",
    "test": r"te|tst|test(ing)?|eval(uation)?|hold ?out",
}
_NAME = {
    part: re.compile(rf"({words}) ?(set|data|split|part|folder|img|imgs|images?|pics?|pictures?|photos?)? ?\d*")
    for part, words in _WORD.items()
}
MOST_LEVELS = 4  # below the top folder, where parts are looked for
COVERED = 0.9  # of the pictures must lie in a part


@dataclass(frozen=True)
class Parts:
    """Where the published parts lie.

    Attributes:
        level: which folder below the top one is the part, from 1.
        folders: part -> the folders that hold it, relative to the top one.
        below_labels: the parts lie within the folders of the labels (cat/train/1.jpg).
        given: picture -> part, where a table says it and the folders do not.
    """

    level: int
    folders: dict[str, list[str]]
    below_labels: bool = False
    given: dict[str, str] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether `split` can take them: each is one folder, and one is there to be tested on."""
        held_out = [part for part in ("val", "test") if part in self.folders]
        return "train" in self.folders and bool(held_out) and all(len(self.folders[part]) == 1 for part in held_out)

    def of(self, path: str) -> str:
        """The part of a picture, or an empty text."""
        if self.given:
            return self.given.get(path, "")
        found = (part for part, folders in self.folders.items() for f in folders if path.startswith(f"{f}/"))
        return next(found, "")


def part_named(name: str) -> str:
    """`train`, `val` or `test` where the name says so, in any of the usual words; else an empty text."""
    text = re.sub(r"[^a-z0-9]+", " ", name.casefold()).strip()
    return next((part for part, pattern in _NAME.items() if pattern.fullmatch(text)), "")


def find(paths: Sequence[str]) -> Parts | None:
    """The parts in a tree of pictures; None where it is not divided."""
    folders = [path.split("/")[:-1] for path in paths]
    for level in range(1, MOST_LEVELS + 1):
        named = [part_named(f[level - 1]) if len(f) >= level else "" for f in folders]
        parts = Counter(name for name in named if name)
        if len(parts) < 2 or "train" not in parts or parts.total() < COVERED * len(paths):
            continue
        places: defaultdict[str, set[str]] = defaultdict(set)
        for path, name in zip(folders, named, strict=True):
            if name:
                places[name].add("/".join(path[:level]))
        above = {"/".join(f[: level - 1]) for f in folders if len(f) >= level}
        return Parts(level, {part: sorted(places[part]) for part in parts}, below_labels=len(above) > 1)
    return None


def of_column(values: Mapping[str, str]) -> Parts | None:
    """The parts that a column of a table names; `ingest` then lists the pictures in folders of those names."""
    folders: defaultdict[str, set[str]] = defaultdict(set)
    for value in values.values():
        if part := part_named(value):
            folders[part].add(value.strip())
    if len(folders) < 2 or "train" not in folders:
        return None
    given = {path: part_named(value) for path, value in values.items()}
    return Parts(0, {part: sorted(found) for part, found in folders.items()}, given=given)


def leaks(parts: Parts, groups: Iterable[Sequence[str]]) -> dict[str, int]:
    """How many pictures of each held-out part have a copy in the training part."""
    found: Counter[str] = Counter()
    for group in groups:
        inside = [parts.of(path) for path in group]
        if "train" in inside:
            found.update(part for part in inside if part in ("val", "test"))
    return dict(found)


def named_like_parts(labels: Mapping[str, int]) -> bool:
    """Whether all labels are the names of parts: somebody took a divided folder for labels."""
    return len(labels) > 1 and all(part_named(label) for label in labels)
