"""What names tell: a label (`cat_001.jpg`), a series that belongs together (`clip07_0001.jpg`), a published part.

A published part is a folder or a value of a table that is named as training, validation or test.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from stages.core.folders import part_level, part_named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

MATCHED = 0.95  # of the names must follow the pattern
LETTERS = 5  # single ones at the end of a name, from which on they may be labels; fewer are sides (L, R)
PER_LABEL = 3  # pictures of a label in the mean, so that a pattern tells labels and not files
# The first pattern that fits is taken. A label ends in no separator; vowel signs of Thai or Hindi are no \w.
LABELS = (
    r"^(?P<label>[^\d]*[^\d\s_.()#-])[\s_.()#-]*\d+[^/]*$",  # cat_001.jpg, cat.0.jpg, great_pyrenees_12 (copy).jpg
    r"^\d+[\s_.-]+(?P<label>[^\d]*[^\d\s_.()#-])\.\w+$",  # 001_cat.jpg
    r"^(?P<label>[^\s_.()#-]+)[_-][^/]*\.\w+$",  # cat_a.jpg
    r"^[^/]*[_-](?P<label>[^\s_.()#-]+)\.\w+$",  # a_cat.jpg
)
CAMERA = {"img", "image", "dsc", "dscn", "dscf", "pic", "picture", "photo", "frame", "scan", "screenshot", "pxl", "mvi",
          "dcim", "file", "untitled", "vid", "gopr", "whatsapp image"}  # fmt: skip
# Of a path. From the narrowest on.
SERIES = (
    r"^(?P<group>.*\d[^/\d]*)[_.\s-]+(?:[A-Za-z]{0,6}[_-]?)\d+\.\w+$",  # clip07_0001.jpg, P12_left_3.jpg
    r"^(?P<group>(?:.*/)?[A-Za-z]*\d+)[_-][^/]*[A-Za-z][^/]*\.\w+$",  # P001_left.jpg
)
FOLDER = r"^(?P<group>.*)/[^/]+$"  # the folder that the picture lies in
FOLDER_ABOVE = r"^(?P<group>.*)/[^/]+/[^/]+$"
BELOW = r"^[^/]+/(?P<group>.+)\.\w+$"  # what stands below the first folder, without the ending
THINGS = 3  # of a label in the mean, so that they can be divided
UPPER = r"^(?P<group>[^/]+)/"  # the first folder
# At the end of a name: a version or a side of the picture (7_Daisy_v0.jpg, 7_left.jpg).
_VERSION = re.compile(
    r"[a-z]{0,2}\d+|ver(sion)?\d*|left|right|front|back|top|bottom|side|copy|crop(ped)?|orig(inal)?|aug(mented)?\d*|"
    r"small|large|thumb(nail)?|mask|seg|gt|label|flip(ped)?|rot(ated)?\d*|gr[ae]y|final|edited|\d+x\d+",
    re.I)  # fmt: skip
FOLD = (  # of a cross-validation
    r"((cv|k|x)[\s_.-]?)?(fold|split)s?([\s_.-]?\d+|[\s_.-][a-z])|(cv|xval)[\s_.-]?\d+|\d+(st|nd|rd|th)?[\s_.-]?fold"
)
_DATE = re.compile(r"\d{6,}")  # or the number of a phone's picture: no label


class Found(NamedTuple):
    """A pattern, and what it gives for each path (an empty text where it does not match)."""

    pattern: str
    values: dict[str, str]


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

    def leaks(self, groups: Iterable[Sequence[str]]) -> dict[str, int]:
        """How many pictures of each held-out part have a copy in the training part."""
        found: Counter[str] = Counter()
        for group in groups:
            inside = [self.of(path) for path in group]
            if "train" in inside:
                found.update(part for part in inside if part in ("val", "test"))
        return dict(found)


def after(pattern: str, folders: int) -> str:
    """The pattern, from behind so many folders on: what it names may stand below each of them."""
    return f"^(?:[^/]+/){{{folders}}}{pattern[1:]}" if folders else pattern


def is_fold(folder: str) -> bool:
    """Whether a folder is named like a fold of a cross-validation."""
    return bool(re.fullmatch(FOLD, folder, re.I))


def folds(paths: Sequence[str]) -> tuple[str, list[str]] | None:
    """The pattern of folders that are named like folds, and their names; None where no level has such folders alone."""
    trails = [path.split("/")[:-1] for path in paths]
    for level in range(min(map(len, trails), default=0)):
        found = sorted({trail[level] for trail in trails})
        if len(found) > 1 and all(map(is_fold, found)):
            return after(UPPER, level), found
    return None


def labels(paths: Sequence[str], judged: Sequence[str]) -> Found | None:
    """The pattern by which names tell labels; None where none does. It must hold for those that are judged."""
    names = {path: PurePosixPath(path).name for path in paths}
    for pattern in LABELS:
        compiled = re.compile(pattern)
        hits = {path: match["label"] if (match := compiled.match(name)) else "" for path, name in names.items()}
        counts = Counter(hits[path] for path in judged if hits[path])
        known = len({label.casefold() for label in counts if not _DATE.fullmatch(label)} - CAMERA)
        if pattern in (LABELS[1], LABELS[-1]):  # the label stands at the end
            few = len(counts) < LETTERS
            known -= sum(bool(_VERSION.fullmatch(label)) or (few and len(label) == 1) for label in counts)
        lone = sum(count for count in counts.values() if count == 1)
        if (
            known >= 2
            and counts.total() >= MATCHED * len(judged)
            and counts.total() >= PER_LABEL * len(counts)
            and lone <= 0.1 * len(judged)
        ):
            return Found(pattern, hits)
    return None


def groups_of(paths: Sequence[str], pattern: str) -> dict[str, str]:
    """What a pattern gives as the group of each path; an empty text where it does not match."""
    compiled = re.compile(pattern)
    matches = {path: compiled.fullmatch(path) or compiled.search(path) for path in paths}
    return {path: match["group"] or "" if match else "" for path, match in matches.items()}


def series(paths: Sequence[str], label: Mapping[str, str], folders: int = 0) -> Found | None:
    """The pattern by which names tell series, from behind so many folders on; None where they do not.

    A series has several pictures, a label has several series, and most pictures are in a series: else the number
    in front is a label's, or each file has its own.
    """
    for pattern in [after(one, folders) for one in SERIES]:
        hits = groups_of(paths, pattern)
        sizes = Counter(hit for hit in hits.values() if hit)
        inside = sum(size for size in sizes.values() if size > 1)
        per_label: defaultdict[str, set[str]] = defaultdict(set)
        for path, hit in hits.items():
            if hit:
                per_label[label.get(path, "")].add(hit)
        several = per_label and sorted(map(len, per_label.values()))[len(per_label) // 2] >= 2
        if several and inside >= 0.8 * len(paths) and sizes.total() >= 2 * len(sizes):
            return Found(pattern, hits)
    return None


def parts(paths: Sequence[str]) -> Parts | None:
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


def parts_of_column(values: Mapping[str, str]) -> Parts | None:
    """The parts that a column of a table names; `ingest` then lists the pictures in folders of those names."""
    folders: defaultdict[str, set[str]] = defaultdict(set)
    for value in values.values():
        if part := part_named(value):
            folders[part].add(value.strip())
    if len(folders) < 2 or "train" not in folders:
        return None
    given = {path: part_named(value) for path, value in values.items()}
    return Parts(0, {part: sorted(found) for part, found in folders.items()}, given=given)


def named_like_parts(labels: Collection[str]) -> bool:
    """Whether all labels are the names of parts or of folds: somebody took a divided folder for labels."""
    return len(labels) > 1 and (all(map(part_named, labels)) or all(map(is_fold, labels)))
