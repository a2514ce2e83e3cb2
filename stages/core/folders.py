"""What names of folders and labels say about a data set: its published parts, and what a user should look at."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRAIN, _VAL, _TEST = "train(?:ing)?", "val|valid|validation|dev", "test(?:ing)?|eval|evaluation|hold[ _-]?out"
_TAIL = r"(?:[ _-]?(?:set|data|split|images|imgs))?[ _-]?[0-9]*"  # train_set, val2017
MOST = 0.95  # share of the pictures above which one class is told


def is_part(name: str) -> bool:
    """Whether a folder is named as published parts are: train, Validation, TEST, dev, val2017 ..."""
    return _is(name, f"{_TRAIN}|{_VAL}|{_TEST}")


def part_level(paths: Sequence[str]) -> int | None:
    """How many folders stand above the published parts; None where the tree has no such parts.

    A tree has them where all folders of one level are named as parts: beside a folder `car`, `train` is a class.
    """
    trees = [tree for path in paths if (tree := path.split("/")[:-1])]
    level = 0
    while names := {tree[level] for tree in trees if len(tree) > level}:
        if all(map(is_part, names)):
            return level
        if len(names) > 1:
            return None
        level += 1
    return None


def notes(pictures: Sequence[tuple[str, str]], *, published: bool) -> list[str]:
    """What a user should look at before a study is run: a sentence each.

    Args:
        pictures: path in the source, and label, of each picture that has one.
        published: whether `split` takes a part as it was published.
    """
    counts = Counter(label for _, label in pictures)
    if not counts:
        return []
    found = []
    parts = sorted(label for label in counts if is_part(label.partition("/")[0]))
    if parts:
        found.append(
            f"The labels {_listed(parts)} look like names of published parts (train, test), not of classes; "
            "`ingest.label` says where the label stands."
        )
    elif not published:
        found += _unused_parts([path for path, _ in pictures])
    label, most = counts.most_common(1)[0]
    if len(counts) == 1:
        found.append(f"All pictures have the label `{label}`: there is nothing to tell apart; is `ingest.label` right?")
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
    asked = []
    for part, names in (("test", _TEST), ("val", _VAL)):
        named = [folder for folder in folders if _is(folder.rpartition("/")[2], names)]
        asked += [f"{part}: {{folder: {named[0]}}}"] if named else []
    advice = f"; to use {'them' if len(asked) > 1 else 'it'}: `split: {{{', '.join(asked)}}}`" if asked else ""
    said = f"The folders {_listed(folders)} look like published parts, but `split` mixes them and draws its own"
    return [f"{said}{advice}."]


def _is(name: str, names: str) -> bool:
    return re.fullmatch(f"(?:{names}){_TAIL}", name.strip(), re.IGNORECASE) is not None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{name}`" for name in names[:5]) + more
