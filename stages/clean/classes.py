"""Classes with too few pictures, counted when copies and damaged files are gone; pictures in several classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.clean.decide import Entry

OTHER = "other"  # the class that small ones are merged into
_NAMED = 5  # labels, and files of each, that are named of a large set


@dataclass(frozen=True)
class SmallClasses:
    """`ingest.min_images` and `ingest.small_classes`: what counts is what is left after cleaning."""

    least: int = 1
    fate: str = "drop"

    @classmethod
    def of(cls, section: object) -> SmallClasses:
        """What the section `ingest` asks for; `cells` and `ingest` check what stands there."""
        values: dict[str, Any] = section if isinstance(section, dict) else {}
        return cls(values.get("min_images", 1), values.get("small_classes", "drop"))


def settle(entries: Sequence[Entry], small: SmallClasses) -> None:
    """Leave out, or merge into `other`, what belongs to a class with fewer than `least` kept pictures."""
    if small.fate == "keep":
        return
    if small.fate == "merge":
        for entry, count in _of_small(entries, small):
            told = f"its class `{entry.label}` has {count} pictures, fewer than ingest.min_images: {small.least}"
            entry.tell("small_class", told)
            entry.label = OTHER
    for entry, count in _of_small(entries, small):
        entry.duplicate_of = ""
        entry.refuse("small_class", f"the class has {count} pictures, fewer than ingest.min_images: {small.least}")


def _of_small(entries: Sequence[Entry], small: SmallClasses) -> list[tuple[Entry, int]]:
    counts = Counter(entry.label for entry in entries if entry.status == "kept")
    inside = [entry for entry in entries if entry.status in ("kept", "duplicate")]
    return [(entry, counts[entry.label]) for entry in inside if counts[entry.label] < small.least]


def said(members: Sequence[Entry]) -> str:
    """Which labels stand on one picture. Each of its rows says so, so of many rows only some are named."""
    if len(members) <= 2 * _NAMED:
        return "; ".join(f"{entry.path} is {entry.label}" for entry in members)
    paths: dict[str, list[str]] = defaultdict(list)
    for entry in members:
        paths[entry.label].append(entry.path)
    most = sorted(paths, key=lambda label: (-len(paths[label]), label))
    words = [_some(label, paths[label]) for label in most[:_NAMED]]
    rest = sum(len(paths[label]) for label in most[_NAMED:])
    return "; ".join(words + [f"{rest} files have {len(most) - _NAMED} other labels"] * (rest > 0))


def _some(label: str, paths: list[str]) -> str:
    number = f"{len(paths)} files are" if len(paths) > 1 else "1 file is"
    return f"{number} {label} ({', '.join(paths[:_NAMED])}{', ...' * (len(paths) > _NAMED)})"
