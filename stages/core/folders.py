"""Published parts of a data set, known by names of folders, and notes on labels for the user."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORDS = {
    "train": r"tr|trn|train(ing)?",
    "val": r"val|valid(ation)?|dev(elopment)?",
    "test": r"te|tst|test(ing)?|eval(uation)?|hold ?out",
}
_NAMES = {
    part: re.compile(rf"({words}) ?(set|data|split|part|folder|img|imgs|images?|pics?|pictures?|photos?)? ?\d*")
    for part, words in _WORDS.items()
}
MOST_LEVELS = 4  # of folders, among which published parts are looked for
COVERED = 0.9  # of the pictures must lie in a part
MOST = 0.95  # share of the pictures in one class above which there is a note


def part_named(name: str) -> str:
    """`train`, `val` or `test` where a folder is named so, in any of the usual words (val2017); else an empty text."""
    text = re.sub(r"[^a-z0-9]+", " ", name.casefold()).strip()
    return next((part for part, pattern in _NAMES.items() if pattern.fullmatch(text)), "")


def part_level(paths: Sequence[str]) -> int | None:
    """The number of folders above the published parts; None where the tree has no published parts.

    A tree has them where nearly all pictures lie in folders of one level that are named as training and another part,
    or where all folders of the level are named as parts: beside a folder `car`, `train` is a class.
    """
    trees = [path.split("/")[:-1] for path in paths]
    for level in range(MOST_LEVELS):
        inside = [tree for tree in trees if len(tree) > level]
        found = Counter(part for tree in inside if (part := part_named(tree[level])))
        divided = len(found) > 1 and "train" in found and found.total() >= COVERED * len(paths)
        alone = found.total() == len(inside) and len({tuple(tree[:level]) for tree in inside}) == 1
        if divided or (alone and inside):
            return level
    return None


def label_folders(paths: Sequence[str], level: int | None) -> list[list[str]]:
    """The folders of each picture that can name its label: without that of its published part.

    Where labels stand below the parts (train/cat/1.jpg), a picture elsewhere, or directly in a part, has none.

    Args:
        paths: of the pictures.
        level: of the parts, from `part_level`.
    """
    trees = [path.split("/")[:-1] for path in paths]
    if level is None:
        return trees
    parts = [len(tree) > level and bool(part_named(tree[level])) for tree in trees]
    kept = [tree[:level] + tree[level + 1 :] if part else tree for tree, part in zip(trees, parts, strict=True)]
    if len({tuple(tree[:level]) for tree, part in zip(trees, parts, strict=True) if part}) > 1:  # cat/train/1.jpg
        return kept
    if not any(part and len(folders) > level for folders, part in zip(kept, parts, strict=True)):
        return trees
    return [folders if part and len(folders) > level else [] for folders, part in zip(kept, parts, strict=True)]


def level_advice(paths: Sequence[str]) -> str:
    """The first level of folders that can name the labels, as advice on `ingest.label`; empty where no level can.

    Nearly all pictures must lie below folders of that level, and the folders must have more than one name, which are
    not all names of published parts.
    """
    trees = [path.split("/")[:-1] for path in paths if "://" not in path]
    for level in range(1, max(map(len, trees), default=0) + 1):
        named = [tree[level - 1] for tree in trees if len(tree) >= level]
        names = sorted({name for name in named if name.strip()})
        if len(named) >= COVERED * len(paths) and len(names) > 1 and not all(map(part_named, names)):
            labels = f"{len(names):,} labels: {_listed(names)}"
            return f"if folders name the labels, `ingest.label: {level}` gives {labels}"
    return ""


def notes(pictures: Sequence[tuple[str, str]], *, published: bool) -> list[str]:
    """Notes on labels that a user should read before a study is run, a sentence each.

    Args:
        pictures: path in the source, and label, of each picture that has one.
        published: whether `split` takes a part as it was published.
    """
    counts = Counter(label for _, label in pictures)
    if not counts:
        return []
    found = []
    parts = sorted(label for label in counts if part_named(label.partition("/")[0]))
    if parts:
        found.append(
            f"The labels {_listed(parts)} look like names of published parts (train, test), not of classes; "
            "`ingest.label` says where the label stands."
        )
    elif not published:
        found += _unused_parts([path for path, _ in pictures])
    label, most = counts.most_common(1)[0]
    if len(counts) == 1:
        advice = level_advice([path for path, _ in pictures]) or "`ingest.label` says where the label stands"
        found.append(f"All pictures have the label `{label}`: there is nothing to tell apart; {advice}.")
    elif most >= MOST * len(pictures):
        found.append(
            f"The class `{label}` holds {most:,} of {len(pictures):,} pictures: whoever always says `{label}` is right "
            "that often; `aggregate.compare: balanced_accuracy` counts every class the same."
        )
    single = sorted(label for label, number in counts.items() if number == 1)
    if single and len(counts) > 1:
        found.append(
            f"{'These classes have' if len(single) > 1 else 'This class has'} a single picture, which cannot stand in "
            f"train, validation and test: {_listed(single)}; `ingest.min_images` leaves small classes out."
        )
    return found


def _unused_parts(paths: Sequence[str]) -> list[str]:
    level = part_level(paths)
    if level is None:
        return []
    folders = sorted({"/".join(path.split("/")[: level + 1]) for path in paths if path.count("/") > level})
    asked: list[str] = []
    for part in ("test", "val"):
        named = [folder for folder in folders if part_named(folder.rpartition("/")[2]) == part]
        if len(named) == 1:  # `split` takes one folder, not one of each class (cat/test, dog/test)
            asked.append(f"{part}: {{folder: {named[0]}}}")
    advice = f"; to use {'them' if len(asked) > 1 else 'it'}: `split: {{{', '.join(asked)}}}`" if asked else ""
    said = f"The folders {_listed(folders)} look like published parts, but `split` mixes them and draws its own"
    return [f"{said}{advice}."]


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _listed(names: Sequence[str]) -> str:
    return listed([f"`{name}`" for name in names])
