"""Where the labels stand: the folder a picture lies in, one above it, the whole path, the file's name, or a table."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stages.core.folders import COVERED, label_folders, part_level
from stages.ingest.entry import printable
from stages.ingest.labels import at_level, of_folders
from studies.new import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from studies.new.names import Parts
    from studies.new.tables import Table

# Names of folders that sort pictures by something else than what is on them.
# A name has one of these words or several (images_original), and perhaps a letter or number.
_DRAWN = r"(ground[ _-]?)?truth|gt|annotation|segmentation|(tri)?mask|(tri)?map|label"  # masks, which look alike
_VERSIONS = (
    r"raw|original|thumb(nail)?|preview|aug(mented|mentation)?|resized?|rescaled|downscaled|crop(ped)?|(pre)?processed|"
    r"enhanced|flipped|rotated|normali[sz]ed|colou?r|gr[ae]y(scale)?|rgb|backup|segmented|duplicate|cop(y|ie)|\d+x\d+|"
    rf"{_DRAWN}"
)
_PLACES = (
    r"img|image|photo|picture|pic|frame|jpe?g|png|data|file|batch|part|set|session|seq|sequence|clip|fold|"
    r"video|vid|cam|camera|folder|dir|series|scene|subject|subj|patient|pat|user|day|week|year|date|site|location|loc|"
    r"chunk|shot|run|take|clinic|hospital|scanner|device|side|left|right|front|back|top|bottom|view|angle"
)
_END = r"[\s_.-]*\w?\d*(x\d+)?(px)?"
_SORTED_BY = re.compile(rf"(({_VERSIONS}|{_PLACES})s?[\s_.-]*)+?{_END}|{names.FOLD}", re.I)
_VERSION = re.compile(rf"(({_PLACES})s?[\s_.-]+)?({_VERSIONS})s?([\s_.-]+({_PLACES})s?)?{_END}", re.I)
_MASKS = re.compile(rf"(({_PLACES})s?[\s_.-]+)?({_DRAWN})s?([\s_.-]+({_PLACES})s?)?{_END}", re.I)
_NUMBER = re.compile(r"([\d\s_.:-]+x)?[\d\s_.:-]+(x|px)?", re.I)  # 2023-05, 40X, 256x256
TABLE = 0.5  # of the pictures must have a label in a table, so that it counts more than folders do
UPPER = 10  # folders above the labels that are named by number, from which on they may be patients or shoots


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
        table: the table that says labels, parts or groups; None where `ingest` gets none.
        torn: pictures that have several labels.
        whole: the labels of all pictures, where a table of groups leaves some out.
    """

    rule: str | int
    labels: dict[str, str]
    why: str
    keys: dict[str, Any] = field(default_factory=dict)
    group: str | None = None
    others: dict[str, int] = field(default_factory=dict)
    table: Table | None = None
    torn: frozenset[str] = frozenset()
    whole: dict[str, str] | None = None

    @property
    def counts(self) -> Counter[str]:
        """Pictures of each label, the most frequent first."""
        counted = Counter(label for label in self.labels.values() if label)
        return Counter(dict(sorted(counted.items(), key=lambda one: (-one[1], one[0]))))


def decide(paths: Sequence[str], published: Parts | None, tables: Sequence[Table], wanted: str | None) -> Layout | None:
    """The layout that everybody would mean, or the one that is wanted; None where no label can be found.

    Args:
        paths: of the pictures, relative to the top folder.
        published: the parts that the tree is divided into.
        tables: those that name pictures of the folder, the best first.
        wanted: what `ingest.label` shall be; None: decide.
    """
    found = _decide(paths, published, tables) if wanted is None else _wanted(paths, published, tables, wanted)
    return found and _beside(found, published, tables)


def _decide(paths: Sequence[str], published: Parts | None, tables: Sequence[Table]) -> Layout | None:
    folders = by_folders(paths)
    if folders and names.named_like_parts(folders.counts):  # nothing stands below the parts
        folders = None
    if folders is None or len(folders.counts) < 2:
        told = next((by_table(table) for table in tables if table.classes > 1), None)
        alone = next((by_table(table) for table in tables if table.label), None)
        return told or by_name(paths, published) or folders or alone
    ways = {str(folders.rule): len(folders.counts)}
    sorted_by = all(map(_SORTED_BY.fullmatch, folders.counts))  # batch1, batch2
    if tables and tables[0].classes > 1:
        table = by_table(tables[0])
        if _agree(table, folders) or sum(map(bool, table.labels.values())) < TABLE * len(paths):
            return folders
        if tables[0].sure or sorted_by:
            return replace(table, others=ways)
    if sorted_by and (name := by_name(paths, published)):
        return replace(name, others=ways)
    return folders


def _beside(layout: Layout, published: Parts | None, tables: Sequence[Table]) -> Layout:
    """Labels that are no table's, with the groups and parts of a table; `ingest` takes no picture that lacks a row."""
    if layout.table:
        return layout
    for table in tables:
        keys = table.beside()
        if published:  # the folders divide the pictures already
            keys.pop("part", None)
        named = {**table.groups, **table.parts}
        if ("part" in keys or "group" in keys) and len(named) >= COVERED * len(layout.labels):
            labels = {path: label if path in named else "" for path, label in layout.labels.items()}
            return replace(layout, labels=labels, keys=layout.keys | {"table": keys}, table=table,
                           whole=layout.labels)  # fmt: skip
    return layout


def _wanted(paths: Sequence[str], published: Parts | None, tables: Sequence[Table], wanted: str) -> Layout | None:
    if wanted == "table":
        return by_table(tables[0]) if tables and tables[0].label else None
    if wanted == "name":
        return by_name(paths, published)
    return _of_folders(paths, int(wanted) if wanted.isdigit() else wanted)


def by_table(table: Table) -> Layout:
    """The labels that a table gives."""
    keys = table.keys()
    if keys.get("group") == table.label:
        del keys["group"]
    return Layout("table", table.labels, table.said(), {"table": keys}, table=table, torn=table.torn)


def by_name(paths: Sequence[str], published: Parts | None) -> Layout | None:
    """The labels that the names of files give; test pictures may have none (train/cat.0.jpg, test/1.jpg)."""
    judged = [path for path in paths if published.of(path) == "train"] if published else []
    found = names.labels(paths, judged or paths)
    if found is None:
        return None
    example = next(path for path in paths if found.values[path])
    why = f"The label is part of each file's name: {example.split('/')[-1]!r} is {found.values[example]!r}."
    return Layout("name", found.values, why, {"name_pattern": found.pattern})


def by_folders(paths: Sequence[str]) -> Layout | None:
    """The labels that folders give; None where all pictures lie in one place."""
    level = part_level(paths)
    trails = [tuple(folders) for folders in label_folders(paths, level)]
    if not any(trails):
        return None
    common = _common([trail for trail in trails if trail])
    inner = [trail[common:] for trail in trails]
    deepest = max(map(len, inner))
    if deepest <= 1:  # one folder for all is the only label, which is said later
        return _of_folders(paths, "parent")
    return _nested(paths, inner, common + (level is not None and level <= common))


def _nested(paths: Sequence[str], inner: Sequence[tuple[str, ...]], before: int) -> Layout:
    """Folders within folders: which of them is the label? `before` folders stand above them."""
    places: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for trail in inner:
        if trail:
            places[trail[-1]].add(trail)
    repeated = sum(len(places[trail[-1]]) > 1 for trail in inner if trail) / len(paths)
    sorting = sum(_sorts(trail, places) for trail in inner if len(trail) > 1)
    deep = sum(len(trail) > 1 for trail in inner)
    above = {trail[0] for trail in inner if len(trail) > 1}
    numbered = len(above) >= UPPER and len({re.sub(r"\d+", "", name) for name in above}) == 1  # p001, p002
    sorted_above = numbered or all(_SORTED_BY.fullmatch(name) or _NUMBER.fullmatch(name) for name in above)
    first, parent = _of_folders(paths, before + 1), _of_folders(paths, "parent")
    if sorted_above and repeated > 0.5:  # site1/cat, site2/cat; 10253/0, 10254/0
        parent = replace(parent, group=_versions(paths, above, before) or _upper(above, before, numbered=numbered))
        if sorting < 0.9 * deep:
            return parent
        if all(map(_NUMBER.fullmatch, places)):
            return replace(parent, others={str(first.rule): len(first.counts)})
        return replace(_with_group(first, inner), others={"parent": len(parent.counts)})
    sorts = sorting >= 0.9 * deep > 0
    if sorts or (len(above) > 1 and _counted(trail for trail in inner if len(trail) > 1)):
        return replace(_with_group(first, inner), others={} if sorts else {"parent": len(parent.counts)})
    whole = _of_folders(paths, "path")
    direct = len(above & {trail[0] for trail in inner if len(trail) == 1}) > len(above) / 2
    if repeated and direct:  # cat/1.jpg, cat/good/2.jpg: both are cats
        found = replace(first, others={"path": len(whole.counts)})
    elif repeated <= 0.5:
        found = whole if repeated else replace(parent, others={str(first.rule): len(first.counts)} if direct else {})
    else:
        found = replace(parent, others={str(one.rule): len(one.counts) for one in (first, whole)})
    return found


def _upper(above: set[str], before: int, *, numbered: bool) -> str | None:
    """camera1/cat, camera2/cat: the upper folder is a place or time, unless it is a version of the pictures."""
    places = all(map(_SORTED_BY.fullmatch, above)) and not any(map(_VERSION.fullmatch, above))
    return names.after(names.UPPER, before) if numbered or places or len(above) >= UPPER else None


def _versions(paths: Sequence[str], above: set[str], before: int) -> str | None:
    """color/cat/1.jpg and grayscale/cat/1.jpg are versions of one picture. Masks look alike, and would join all."""
    if not any(map(_VERSION.fullmatch, above)) or any(map(_MASKS.fullmatch, above)):
        return None
    pattern = names.after(names.BELOW, before)
    pictures = set(names.groups_of(paths, pattern).values())
    return pattern if len(pictures) < 0.8 * len(paths) else None


def _sorts(trail: tuple[str, ...], places: dict[str, set[tuple[str, ...]]]) -> bool:
    """Whether the last folder sorts pictures of one label (cat/batch1, cat/images) and names none itself."""
    name = trail[-1]
    return bool(_SORTED_BY.fullmatch(name)) or (bool(_NUMBER.fullmatch(name)) and len(places[name]) > 1)


def _counted(trails: Iterable[tuple[str, ...]]) -> bool:
    """Whether the last folders differ by numbers alone, within each folder above them (Jump/v_Jump_g01, g02)."""
    names_of: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for trail in trails:
        names_of[trail[:-1]].add(trail[-1])
    return all(len(found) > 1 and len({re.sub(r"\d+", "", name) for name in found}) == 1 for found in names_of.values())


def _with_group(layout: Layout, inner: Sequence[tuple[str, ...]]) -> Layout:
    """Pictures that lie in one of several folders of a label were taken together, as the names say."""
    below: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    deep = {trail for trail in inner if len(trail) > 1}
    last = {trail[-1] for trail in deep}
    if 2 * len(list(filter(_VERSION.fullmatch, last))) >= len(last):  # cat/original, cat/augmented
        return layout
    for trail in inner:
        if trail:
            below[trail[0]].add(trail)
    things = {trail[:-1] for trail in deep}  # patient1/40X, patient1/100X: the patient counts
    shared = len(things) >= names.THINGS * len(below) and len(last) < len(things)
    if shared and len({len(trail) for trail in inner}) == 1 and len(deep) > len(things):
        return replace(layout, group=names.FOLDER_ABOVE)
    several = sum(len(found) > 1 for found in below.values()) > len(below) / 2
    return replace(layout, group=names.FOLDER if several else None)


def _of_folders(paths: Sequence[str], rule: str | int) -> Layout:
    if isinstance(rule, int):
        labels = {path: printable(at_level(path, rule)) for path in paths}
        why = f"The label is the folder at level {rule} below the top folder"
    else:
        labels = dict(zip(paths, map(printable, of_folders(paths, rule)), strict=True))
        why = "The label is the folder that a picture lies in"
        if rule == "path":
            why = "The label is the whole path of folders, since folders with the same name lie in several places"
    example = next((path for path in paths if labels[path]), None)
    why += f": {example!r} is {labels[example]!r}." if example else "."
    return Layout(rule, labels, why)


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
