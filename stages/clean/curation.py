"""Decisions by hand, labels that contradict each other, and small classes: what they change about the rows.

Decisions that a person made (`data/curation.csv`) are fitted to the rows, applied, and told in the ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from stages.core import curation
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.cluster.hierarchy import DisjointSet

    from stages.clean.decide import Entry
    from stages.clean.match import Pair
    from stages.clean.params import Clean, SmallClasses
    from stages.core.curation import Decision

_CODES = {"drop": "dropped_by_hand", "keep": "kept_by_hand", "relabel": "relabelled_by_hand"}
_OTHER = "other"  # the class that small ones are merged into
_NAMED = 5  # labels, and files of each, that are named of a large set


@dataclass
class Hand:
    """Decisions that fit, with the positions that they are about, and those that do not, with the reason."""

    fitting: list[tuple[Decision, list[int]]] = field(default_factory=list)
    refused: list[tuple[Decision, str]] = field(default_factory=list)

    def pairs(self, decision: str) -> list[tuple[int, int]]:
        """The positions of the pairs with this decision."""
        return [(k[0], k[-1]) for one, k in self.fitting if one.decision == decision]

    def parts(self, groups: DisjointSet, pair: Pair) -> bool:
        """Whether joining the groups of a pair would join two pictures that a person told apart."""
        ends = {groups[pair.a], groups[pair.b]}
        return any({groups[a], groups[b]} == ends for a, b in self.pairs("not_same"))

    def refuse_bound(self, groups: DisjointSet) -> None:
        """Refuse to part pictures that stay in one group all the same, so that such a decision changes nothing."""
        for one, found in list(self.fitting):
            if one.decision == "not_same" and groups.connected(found[0], found[-1]):
                self.fitting.remove((one, found))
                self.refused.append((one, "a group that the source names, or other decisions by hand, join the two"))


def fit(entries: Sequence[Entry], decisions: Sequence[Decision]) -> Hand:
    """Apply to the rows what is about one picture, and check that the rest fits."""
    hand = Hand()
    rows: dict[str, list[int]] = {}
    for k, entry in enumerate(entries):
        rows.setdefault(curation.name(entry.path, entry.box), []).append(k)
    for one in sorted(decisions, key=lambda one: one.decision in curation.PAIR):  # pairs last: both must be in use
        places = [rows.get(name, []) for name in one.subject]
        if why := _misfit(one, [[entries[k] for k in found] for found in places]):
            hand.refused.append((one, why))
            continue
        hand.fitting.append((one, [k for found in places for k in found]))
        for entry in (entries[k] for k in places[0] if one.decision in curation.PICTURE):
            _apply(one, entry)
    return hand


def _misfit(one: Decision, rows: list[list[Entry]]) -> str:
    """Why a decision cannot be applied; empty if it can."""
    every = [entry for found in rows for entry in found]
    if not all(rows):
        return "the file is not in the data"
    if any(entry.print.sha256 not in one.sha256.split(" ")[i] for i, found in enumerate(rows) for entry in found):
        return "the content of the file has changed"
    if one.decision != "drop" and any(entry.print.refused for entry in every):
        return "no picture can be read from the file"
    labels = {entry.label for entry in every}
    if one.decision == "keep" and ("" in labels or len(labels) > 1):  # a table of labels may name a file twice
        return f"the source names the file under {'several labels' if len(labels) > 1 else 'no label'}; use `relabel`"
    if one.decision in curation.PAIR and not all(entry.usable for entry in every):
        return "one of the two is not among the pictures that are compared"
    same = one.decision == "not_same" and rows[0][0].print.pixels == rows[1][0].print.pixels
    return "both have the same pixels" if same else ""


def _apply(one: Decision, entry: Entry) -> None:
    entry.hand, entry.label = one.decision, one.value or entry.label
    if one.decision == "drop":
        entry.refuse(_CODES["drop"], f"dropped by hand: {one.reason or 'no reason was given'}")
    elif not entry.usable:  # decided: a label where none stood, or that a damaged picture is good enough
        entry.status, entry.reason, entry.detail = "kept", entry.print.reason, entry.print.detail


def tell(entries: Sequence[Entry], hand: Hand) -> None:
    """Write each decision and its reason into the rows; those that could have no effect become refused."""
    for one, found in list(hand.fitting):
        rows = [entries[k] for k in found]
        if one.decision in ("keep", "relabel") and all(entry.status == "quarantined" for entry in rows):
            hand.fitting.remove((one, found))
            hand.refused.append((one, f"the picture is left out all the same: {rows[0].detail}"))
        elif one.decision != "drop":
            for entry in rows:
                told = f"by hand, {curation.said(one)}: {one.reason or 'no reason was given'}"
                entry.tell(_CODES.get(one.decision, f"{one.decision}_by_hand"), told)


def summary(entries: Sequence[Entry], before: Sequence[Entry], hand: Hand) -> dict[str, Any]:
    """What was decided, and what came of it: the rows as they are, against the rows without any decision."""
    both = list(zip(entries, before, strict=True))
    lost = Counter(
        old.label for new, old in both if old.status == "kept" and (new.status, new.label) != ("kept", old.label)
    )
    gained: dict[str, list[str]] = {}
    for entry in entries:
        if entry.status == "kept" and entry.hand == "relabel":
            gained.setdefault(entry.label, []).append(entry.path)
    return {
        "decisions": len(hand.fitting) + len(hand.refused),
        "applied": dict(sorted(Counter(one.decision for one, _ in hand.fitting).items())),
        "after_test_figures": sum(bool(one.seen) for one, _ in hand.fitting),
        "kept": sum(old.status != "kept" == new.status for new, old in both),
        "left_out": sum(new.status != "kept" == old.status for new, old in both),
        "relabelled": sum(new.status == old.status == "kept" and new.label != old.label for new, old in both),
        "gained": dict(sorted(gained.items())),  # label -> paths of pictures that a decision put under it
        "lost": dict(sorted(lost.items())),  # label -> pictures that are not kept under it any more
        "not_applied": [[*one.subject, one.decision, why] for one, why in sorted(hand.refused, key=str)],
    }


def contradict(entries: list[Entry], members: list[int], verdicts: dict[tuple[int, int], Pair]) -> bool:
    """Whether two labels stand on one picture, proven by itself and not by a chain of copies."""
    labels: dict[int, set[str]] = defaultdict(set)
    for k in members:
        labels[entries[k].first_equal].add(entries[k].label)
    if len(set().union(*labels.values())) == 1:
        return False
    return any(len(said) > 1 for said in labels.values()) or any(
        labels[a] != labels[b] and (a, b) in verdicts for a, b in combinations(sorted(labels), 2)
    )


def resolve(entries: list[Entry], members: list[int], clean: Clean) -> list[int]:
    """Settle a conflict: what stays of copies with several labels."""
    said = _labels_of([entries[k] for k in members])
    (winner, most), (_, second) = Counter(entries[k].label for k in members).most_common(2)
    why, right = "the same picture has several labels", {entries[k].label for k in members if entries[k].hand}
    if right:
        why = "by hand, the picture got another label"
    elif clean.label_conflicts == "fail":
        raise UserError(f"one picture, several labels: {said}; correct the labels, or set clean.label_conflicts")
    elif clean.label_conflicts == "keep_all":
        for k in members:
            entries[k].tell("label_conflict", f"stands under several labels and is kept under each: {said}")
        return members
    elif clean.label_conflicts == "keep_majority" and most > second:
        right = {winner}
    for k in members:
        if entries[k].label not in right:
            entries[k].refuse("label_conflict", f"{why}: {said}")
    return [k for k in members if entries[k].status == "kept"]


def _labels_of(members: Sequence[Entry]) -> str:
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


def settle_small(entries: Sequence[Entry], small: SmallClasses) -> None:
    """Leave out, or merge into `other`, what belongs to a class with fewer than `least` kept pictures."""
    if small.fate == "keep":
        return
    if small.fate == "merge":
        for entry, count in _of_small(entries, small):
            told = f"its class `{entry.label}` has {count} pictures, fewer than ingest.min_images: {small.least}"
            entry.tell("small_class", told)
            entry.label = _OTHER
    for entry, count in _of_small(entries, small):
        entry.duplicate_of = ""
        entry.refuse("small_class", f"the class has {count} pictures, fewer than ingest.min_images: {small.least}")


def _of_small(entries: Sequence[Entry], small: SmallClasses) -> list[tuple[Entry, int]]:
    counts = Counter(entry.label for entry in entries if entry.status == "kept")
    inside = [entry for entry in entries if entry.status in ("kept", "duplicate")]
    return [(entry, counts[entry.label]) for entry in inside if counts[entry.label] < small.least]
