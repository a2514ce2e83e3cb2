"""From fingerprints and pairs to what becomes of every row: kept, duplicate or quarantined.

The same files give the same decisions whatever their order: rows are sorted first, and every tie ends at the path.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stages.clean import curation, match
from stages.clean.curation import Hand
from stages.clean.params import SmallClasses
from stages.core.curation import natural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stages.clean.decode import Box
    from stages.clean.describe import Print
    from stages.clean.match import Pair
    from stages.clean.params import Clean

ID_LENGTH = 16  # hexadecimal digits: among 10 million pictures a clash has odds of 1 to 370,000, and is noticed


@dataclass
class Entry:
    """One row of the raw manifest, and what becomes of it."""

    path: str
    label: str
    source_group: str  # what the source says belongs together; empty where it says nothing
    box: Box | None
    print: Print
    status: str = "quarantined"
    reason: str = ""
    detail: str = ""
    image_id: str = ""
    duplicate_of: str = ""
    group_id: str = ""
    rank: int = 0  # of the published part that it stands in, 0 for the one that must stay whole
    first_equal: int = -1  # position of the first row with the same pixels
    hand: str = ""  # drop, keep or relabel, if a person decided so

    @property
    def usable(self) -> bool:
        """Whether it holds a picture with a label."""
        return not self.reason or self.status == "kept"

    def refuse(self, reason: str, detail: str) -> None:
        """Put it into quarantine."""
        self.status, self.reason, self.detail = "quarantined", reason, detail

    def tell(self, reason: str, sentence: str) -> None:
        """Add a sentence to what is said of it; the first reason stands."""
        self.reason = self.reason or reason
        self.detail = "; ".join(filter(None, [self.detail, sentence]))


@dataclass
class Decisions:
    """All rows with their fate, the pairs behind it, the groups, and what a reader must be warned of.

    cut: pairs that were not joined, since their group would grow beyond `clean.match.max_group`.
    """

    entries: list[Entry]
    pairs: list[Pair]
    conflicts: list[list[int]] = field(default_factory=list)
    groups: list[list[int]] = field(default_factory=list)
    cut: list[Pair] = field(default_factory=list)
    by_hand: dict[str, Any] = field(default_factory=dict)


def decide(
    entries: list[Entry],
    pairs: Sequence[Pair],
    clean: Clean,
    small: SmallClasses | None = None,
    hand: Hand | None = None,
) -> Decisions:
    """Decide on every entry.

    Args:
        entries: sorted rows; those that cannot be used are quarantined already.
        pairs: verdicts on pairs of positions in `entries`; of pictures with equal pixels only the first stands in them.
        clean: what to do with duplicates and conflicts.
        small: what to do with small classes.
        hand: what a person decided; of the decisions on one picture `entries` know.

    Raises:
        UserError: two labels stand on one picture and `clean.label_conflicts` is `fail`.
    """
    hand = hand or Hand()
    usable = [k for k, e in enumerate(entries) if e.usable]
    copies = match.Linked()
    seen: dict[str, int] = {}
    for k in usable:
        entries[k].status = "kept"
        entries[k].first_equal = seen.setdefault(entries[k].print.pixels, k)
        copies.merge(entries[k].first_equal, k)
    joined = _bound(entries, usable, hand)
    hand.refuse_bound(joined)
    done = Decisions(entries, _of_use(entries, usable, pairs, hand))
    verdicts = {(p.a, p.b): p for p in done.pairs if p.verdict == "same"}
    for pair in _strongest_first(verdicts.values()):
        if not hand.parts(joined, pair):
            joined.merge(pair.a, pair.b)
            copies.merge(pair.a, pair.b)
    sets = sorted(sorted(members) for members in copies.subsets())
    groups = _group(done, joined, clean, hand)
    _name(entries, usable)
    if clean.duplicates != "ignore":
        for members in sets:
            if len(members) > 1:
                _settle(done, members, verdicts, clean)
    curation.settle_small(entries, small or SmallClasses())
    _assign(done, groups)
    _tell_turned(done)
    curation.tell(entries, hand)
    return done


def _of_use(entries: list[Entry], usable: list[int], pairs: Sequence[Pair], hand: Hand) -> list[Pair]:
    """The pairs of pictures in use, each picture at its first position, less those that a person told apart."""
    first = {entries[k].print.pixels: entries[k].first_equal for k in usable}
    of = {k: first[e.print.pixels] for k, e in enumerate(entries) if e.print.pixels in first}
    apart = {frozenset((of[a], of[b])) for a, b in hand.pairs("not_same")}
    found = [match.placed(pair, of) for pair in pairs if pair.a in of and pair.b in of]
    return [pair for pair in found if frozenset((pair.a, pair.b)) not in apart]


def _bound(entries: list[Entry], usable: list[int], hand: Hand) -> match.Linked:
    """Sets that stay together whatever is compared: same pixels, group of the source or file, or joined by a person."""
    groups = match.Linked()
    first: dict[tuple[str, str], int] = {}
    for k in usable:
        groups.merge(entries[k].first_equal, k)
        for value in ("group", entries[k].source_group), ("file", entries[k].print.sha256):
            if value[1]:
                groups.merge(first.setdefault(value, k), k)
    for a, b in hand.pairs("together"):
        groups.merge(a, b)
    return groups


def _strongest_first(pairs: Iterable[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda p: (-p.strength, p.a, p.b))


def _group(done: Decisions, groups: match.Linked, clean: Clean, hand: Hand) -> list[list[int]]:
    """Groups that must not be split apart: those that are joined already, then similar pairs up to the cap."""
    for pair in _strongest_first(done.pairs):
        if pair.verdict == "similar" and not groups.connected(pair.a, pair.b) and not hand.parts(groups, pair):
            if groups.subset_size(pair.a) + groups.subset_size(pair.b) > clean.match.max_group:
                done.cut.append(pair)
            else:
                groups.merge(pair.a, pair.b)
    return sorted(sorted(members) for members in groups.subsets())


def _name(entries: list[Entry], usable: list[int]) -> None:
    """Ids from content; rows with the same bytes and box get -2, -3 in the order of their paths."""
    taken: Counter[str] = Counter()
    for k in usable:
        entry = entries[k]
        box = "-" + "-".join(map(str, entry.box)) if entry.box else ""
        stem = entry.print.sha256[:ID_LENGTH] + box
        taken[stem] += 1
        entry.image_id = stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"


def _settle(done: Decisions, members: list[int], verdicts: dict[tuple[int, int], Pair], clean: Clean) -> None:
    """Decide within one set of copies: first on its labels, then on which copy stays."""
    entries = done.entries
    if curation.contradict(entries, members, verdicts):
        done.conflicts.append(members)
        members = curation.resolve(entries, members, clean)
    if clean.duplicates != "drop":
        return
    for label in sorted({entries[k].label for k in members}):
        _drop(entries, [k for k in members if entries[k].label == label], verdicts)


def _drop(entries: list[Entry], members: list[int], verdicts: dict[tuple[int, int], Pair]) -> None:
    """Of copies under one label the best stays, and whatever is not proven to be a copy of one that stays."""
    open_ = sorted(members, key=lambda k: (entries[k].hand != "keep", _quality(entries[k])))
    while open_:
        best, rest = open_[0], []
        for k in open_[1:]:
            if entries[k].hand != "keep" and (why := _copy_of(entries[best], entries[k], verdicts)):
                entries[k].status, entries[k].reason, entries[k].detail = "duplicate", *why
                entries[k].duplicate_of = entries[best].image_id
            else:
                rest.append(k)
        open_ = rest


def _quality(entry: Entry) -> tuple[int, tuple[int, bool, int], tuple[list[str | tuple[int, str]], str]]:
    """Best first: in a published part, the better file, path."""
    return entry.rank, entry.print.quality, natural(entry.path)


def _copy_of(kept: Entry, one: Entry, verdicts: dict[tuple[int, int], Pair]) -> tuple[str, str] | None:
    """Reason and detail if `one` is proven, by itself and not by a chain, to be a copy of `kept`."""
    if one.print.sha256 == kept.print.sha256 and one.box == kept.box:
        return "same_bytes", f"of {kept.path}"
    if one.print.pixels == kept.print.pixels:
        return "same_pixels", f"of {kept.path}"
    pair = verdicts.get((min(one.first_equal, kept.first_equal), max(one.first_equal, kept.first_equal)))
    return ("near_duplicate", f"of {kept.path}: {pair.said}") if pair else None


def _assign(done: Decisions, groups: list[list[int]]) -> None:
    """Group ids: the smallest image id of the kept members."""
    for entry in done.entries:
        if entry.status == "kept":
            entry.group_id = entry.image_id
    for members in groups:
        if len(members) > 1:
            done.groups.append(members)
        kept = [done.entries[k] for k in members if done.entries[k].status == "kept"]
        first = min((e.image_id for e in kept), default="")
        for entry in kept:
            entry.group_id = first
    for entry in done.entries:
        if entry.status != "kept":
            entry.image_id = ""


def _tell_turned(done: Decisions) -> None:
    """Name the turned copies that are kept, each beside the other. Of copies the one that stays is meant."""
    by_id = {e.image_id: k for k, e in enumerate(done.entries) if e.status == "kept"}
    stays = {k: by_id.get(e.duplicate_of, k) for k, e in enumerate(done.entries)}
    done.cut = [match.placed(pair, stays) for pair in done.cut]
    for pair in done.pairs:
        one, other = done.entries[stays[pair.a]], done.entries[stays[pair.b]]
        if pair.verdict == "similar" and pair.turned and one.status == other.status == "kept" and one is not other:
            for entry, beside in ((one, other), (other, one)):
                if "turned" not in entry.reason:
                    entry.tell("turned_copy", f"shows {beside.path} {pair.turned}")
