"""Where the labels stand: the folder a picture lies in, one above it, the whole path, the file's name, or a table."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stages.ingest.entry import tidy
from studies.new import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.new.parts import Parts
    from studies.new.tables import Table

# Names of folders that sort pictures by something else than what is on them.
_SORTED_BY = re.compile(
    r"(img|image|photo|picture|pic|frame|raw|jpe?g|png|original|data|file|batch|part|set|session|seq|sequence|clip|"
    r"video|vid|cam|camera|folder|dir|series|scene|subject|subj|patient|pat|user|day|week|year|date|site|location|loc|"
    r"chunk|shot|run|take|clinic|hospital|scanner|device|side|left|right|front|back|top|bottom|view|angle)s?[\s_.-]*\w?\d*",
    re.I,
)
_NUMBER = re.compile(r"[\d\s_.:-]+")
TABLE = 0.5  # of the pictures must have a label in a table, so that it counts more than folders do


@dataclass(frozen=True)
class Layout:
    """How labels are read.

    Attributes:
        rule: what `ingest.label` is told: parent | a level | path | name | table.
        labels: picture -> label; empty where it has none.
        why: the sentence that says it to the user.
        keys: what else the section `ingest` needs.
        group: a pattern that names what belongs together, where the layout itself tells one.
        others: further ways that make sense -> how many labels they give. Where there are any, the user is asked.
    """

    rule: str | int
    labels: dict[str, str]
    why: str
    keys: dict[str, Any] = field(default_factory=dict)
    group: str | None = None
    others: dict[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """Pictures of each label, the most frequent first."""
        counted = Counter(label for label in self.labels.values() if label)
        return Counter(dict(sorted(counted.items(), key=lambda one: (-one[1], one[0]))))


def label_of(path: str, rule: str | int, part_level: int | None = None) -> str:
    """The label that a rule of folders gives a picture; the folder of a published part is none."""
    folders = path.split("/")[:-1]
    if isinstance(rule, int):
        return tidy(folders[rule - 1]) if len(folders) >= rule else ""
    kept = [folder for i, folder in enumerate(folders, 1) if i != part_level]
    if not kept:
        return ""
    return tidy(kept[-1]) if rule == "parent" else "/".join(map(tidy, kept))


def decide(paths: Sequence[str], published: Parts | None, tables: Sequence[Table], wanted: str | None) -> Layout | None:
    """The layout that everybody would mean, or the one that is wanted; None where no label can be found.

    Args:
        paths: of the pictures, relative to the top folder.
        published: the parts that the tree is divided into.
        tables: those that name pictures of the folder, the best first.
        wanted: what `ingest.label` shall be; None: decide.
    """
    if wanted is not None:
        return _wanted(paths, published, tables, wanted)
    table = by_table(tables[0]) if tables and tables[0].label else None
    folders = by_folders(paths, published)
    if table is None or folders is None:
        alone = folders is None or len(folders.counts) < 2
        return table or (by_name(paths) if alone else None) or folders
    if len(folders.counts) > 1 and _agree(table, folders):
        return folders
    if sum(map(bool, table.labels.values())) < TABLE * len(paths):
        return folders
    others = {str(folders.rule): len(folders.counts)} if len(folders.counts) > 1 else {}
    return Layout(table.rule, table.labels, table.why, table.keys, table.group, others)


def _wanted(paths: Sequence[str], published: Parts | None, tables: Sequence[Table], wanted: str) -> Layout | None:
    if wanted == "table":
        return by_table(tables[0]) if tables and tables[0].label else None
    if wanted == "name":
        return by_name(paths)
    rule: str | int = int(wanted) if wanted.isdigit() else wanted
    return _of_folders(paths, rule, published)


def by_table(table: Table) -> Layout:
    """The labels that a table gives."""
    return Layout("table", table.labels, table.said(), {"table": table.keys()})


def by_name(paths: Sequence[str]) -> Layout | None:
    """The labels that the names of files give."""
    found = names.labels(paths)
    if found is None:
        return None
    example = next(path for path in paths if found.values[path])
    why = f"The label is part of each file's name: {example.split('/')[-1]!r} is {found.values[example]!r}."
    return Layout("name", found.values, why, {"name_pattern": found.pattern})


def by_folders(paths: Sequence[str], published: Parts | None) -> Layout | None:
    """The labels that folders give; None where all pictures lie in one place."""
    level = published.level if published else None
    trails = {path: _trail(path, level) for path in paths}
    if not any(trails.values()):
        return None
    common = _common([trail for trail in trails.values() if trail])
    inner = [trail[common:] for trail in trails.values()]
    if not any(inner):  # one folder for all: it is the only label, which is said later
        return _of_folders(paths, "parent", published)
    deepest = max(map(len, inner))
    if deepest == 1:
        return _of_folders(paths, "parent", published)
    return _nested(paths, published, inner, common)


def _nested(
    paths: Sequence[str], published: Parts | None, inner: Sequence[tuple[str, ...]], common: int
) -> Layout | None:
    """Folders within folders: which of them is the label?"""
    places: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for trail in inner:
        if trail:
            places[trail[-1]].add(trail)
    repeated = sum(len(places[trail[-1]]) > 1 for trail in inner if trail) / len(paths)
    sorting = sum(_sorts(trail, places) for trail in inner if len(trail) > 1)
    deep = sum(len(trail) > 1 for trail in inner)
    before = common + (1 if published and published.level <= common + 1 else 0)
    if sorting >= 0.9 * deep > 0:
        layout = _of_folders(paths, before + 1, published)
        return layout and _with_group(layout, inner)
    if repeated == 0:
        return _of_folders(paths, "parent", published)
    first = _of_folders(paths, before + 1, published)
    if repeated <= 0.5:
        return _of_folders(paths, "path", published)
    parent = _of_folders(paths, "parent", published)
    above = {trail[0] for trail in inner if len(trail) > 1}
    if parent and all(_SORTED_BY.fullmatch(name) or _NUMBER.fullmatch(name) for name in above):
        return parent  # site1/cat, site2/cat
    whole = _of_folders(paths, "path", published)
    others = {str(one.rule): len(one.counts) for one in (first, whole) if one}
    return parent and Layout(parent.rule, parent.labels, parent.why, parent.keys, None, others)


def _sorts(trail: tuple[str, ...], places: dict[str, set[tuple[str, ...]]]) -> bool:
    """Whether the last folder sorts pictures of one label (cat/batch1, cat/images) and names none itself."""
    name = trail[-1]
    return bool(_SORTED_BY.fullmatch(name)) or (bool(_NUMBER.fullmatch(name)) and len(places[name]) > 1)


def _with_group(layout: Layout, inner: Sequence[tuple[str, ...]]) -> Layout:
    """Pictures that lie in one of several folders of a label were taken together, as the names say."""
    below: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for trail in inner:
        if trail:
            below[trail[0]].add(trail)
    several = sum(len(found) > 1 for found in below.values()) > len(below) / 2
    group = names.FOLDER if several else None
    return Layout(layout.rule, layout.labels, layout.why, layout.keys, group, layout.others)


def _of_folders(paths: Sequence[str], rule: str | int, published: Parts | None) -> Layout:
    level = published.level if published else None
    labels = {path: label_of(path, rule, level) for path in paths}
    keys: dict[str, Any] = {}
    if rule != "parent" and not isinstance(rule, int):
        why = "The label is the whole path of folders, since folders with the same name lie in several places"
    elif rule == "parent" and published and published.below_labels:
        return _of_folders(paths, published.level - 1, published)
    else:
        where = "that a picture lies in" if rule == "parent" else f"at level {rule} below the top folder"
        why = f"The label is the folder {where}"
    example = next((path for path in paths if labels[path]), None)
    why += f": {example!r} is {labels[example]!r}." if example else "."
    return Layout(rule, labels, why, keys)


def _trail(path: str, part_level: int | None) -> tuple[str, ...]:
    return tuple(folder for i, folder in enumerate(path.split("/")[:-1], 1) if i != part_level)


def _common(trails: Sequence[tuple[str, ...]]) -> int:
    """How many folders all paths begin with."""
    first, last = min(trails), max(trails)
    same = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        same += 1
    return same


def _agree(one: Layout, other: Layout) -> bool:
    """Whether two layouts give the same classes, whatever they call them."""
    pairs = {(one.labels[path], other.labels[path]) for path in one.labels if one.labels[path]}
    return bool(pairs) and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
