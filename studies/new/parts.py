"""Published parts: folders whose names say training, validation or test."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stages.core.folders import part_level, part_named
from studies.new import names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


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


def find(paths: Sequence[str]) -> Parts | None:
    """The parts in a tree of pictures; None where it is not divided into training and another part."""
    level = part_level(paths)
    if level is None:
        return None
    places: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        folders = path.split("/")[:-1]
        if len(folders) > level and (part := part_named(folders[level])):
            places[part].add("/".join(folders[: level + 1]))
    if len(places) < 2 or "train" not in places:
        return None
    above = {folder.rpartition("/")[0] for found in places.values() for folder in found}
    return Parts(level + 1, {part: sorted(found) for part, found in places.items()}, below_labels=len(above) > 1)


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


def named_like_parts(labels: Collection[str]) -> bool:
    """Whether all labels are the names of parts or of folds: somebody took a divided folder for labels."""
    return len(labels) > 1 and (all(map(part_named, labels)) or all(map(names.is_fold, labels)))
