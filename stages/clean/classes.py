"""Classes with too few pictures, counted when copies and damaged files are gone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.clean.decide import Entry

OTHER = "other"  # the class that small ones are merged into


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
            entry.detail = "; ".join(filter(None, [entry.detail, told]))
            entry.reason = entry.reason or "small_class"
            entry.label = OTHER
    for entry, count in _of_small(entries, small):
        entry.duplicate_of = ""
        entry.refuse("small_class", f"the class has {count} pictures, fewer than ingest.min_images: {small.least}")


def _of_small(entries: Sequence[Entry], small: SmallClasses) -> list[tuple[Entry, int]]:
    counts = Counter(entry.label for entry in entries if entry.status == "kept")
    inside = [entry for entry in entries if entry.status in ("kept", "duplicate")]
    return [(entry, counts[entry.label]) for entry in inside if counts[entry.label] < small.least]
