"""The decisions of a study: read from `data/curation.csv`, changed one step at a time, each step can be undone.

What `clean` could not apply is refused here, in words. A label that no other picture has is asked about: it ends the
split later, and is often a slip of the pen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stages.core import curation, files
from stages.core.errors import UserError
from stages.core.labels import sight

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stages.core.curation import Decision
    from stages.curate.findings import Picture, Study

SEEN = Path(".cache/curate/seen.json")
METRICS = Path("reports/metrics.json")
Subject = tuple[str, ...]


class ConflictError(Exception):
    """The decision to be changed is not the one that the person saw: another tab, or an editor, changed it."""


@dataclass(frozen=True)
class Step:
    """One step: the decisions before and after it, by what they are about; None: no decision."""

    before: dict[Subject, Decision | None]
    after: dict[Subject, Decision | None]

    @property
    def said(self) -> str:
        """The step in words, for the person who undoes it."""
        every = [new or old for new, old in zip(self.after.values(), self.before.values(), strict=True)]
        words = [f"{one.path}: {curation.said(one)}" for one in every if one]
        taken = "" if any(self.after.values()) else "taken back: "
        return taken + words[0] + (f", and {len(words) - 1} more" if len(words) > 1 else "")

    @property
    def back(self) -> Step:
        """The step that takes this one back."""
        return Step(self.after, self.before)


class Store:
    """The file is read again before each change, so that a change by someone else is never overwritten."""

    def __init__(self, root: Path, who: str) -> None:
        """Open the decisions of the study in `root`; `who` is written beside each new one."""
        self.file, self._seen_file, self._metrics = root / curation.FILE, root / SEEN, root / METRICS
        self.who = who
        self.undoable: list[Step] = []
        self.redoable: list[Step] = []
        self._lock = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._known: dict[Subject, Decision] = {}
        self.seen: set[str] = self._read_seen()

    def decisions(self) -> dict[Subject, Decision]:
        """All decisions, as the file has them now."""
        stat = self.file.stat() if self.file.exists() else None
        state = (stat.st_mtime_ns, stat.st_size) if stat else None
        if state != self._state or state is None:
            self._known, self._state = {one.subject: one for one in curation.read(self.file)}, state
        return self._known

    def decide(self, new: dict[Subject, Decision | None], expected: dict[Subject, str]) -> bool:
        """Make one step of decisions; None takes a decision back. False where nothing would change.

        Args:
            new: by what they are about.
            expected: what the person saw there: the words of `shown`.

        Raises:
            ConflictError: something else stands there now.
        """
        with self._lock:
            known = self.decisions()
            if any(shown(known.get(subject)) != was for subject, was in expected.items()):
                raise ConflictError("this was changed elsewhere; the page shows the new state")
            step = Step({subject: known.get(subject) for subject in new}, new)
            if step.before == step.after:
                return False
            self._write(step)
            self.undoable.append(step)
            self.redoable.clear()
            return True

    def undo(self) -> Step | None:
        """Take the last step back; None where there is none. One that no longer fits is forgotten.

        Raises:
            ConflictError: another tab, or an editor, has changed what the step was about.
        """
        return self._take(self.undoable, self.redoable, back=True)

    def redo(self) -> Step | None:
        """Make the last step that was taken back again; as `undo`."""
        return self._take(self.redoable, self.undoable, back=False)

    def _take(self, source: list[Step], target: list[Step], *, back: bool) -> Step | None:
        with self._lock:
            if not source:
                return None
            step = source[-1]
            try:
                self._write(step.back if back else step)
            except ConflictError:
                source.pop()
                raise
            target.append(source.pop())
            return step

    def look(self, ids: Iterable[str]) -> None:
        """Remember which findings were looked at: in the cache, since it is no decision."""
        with self._lock:
            new = set(ids) - self.seen
            if new:
                self.seen |= new
                files.write_json(self._seen_file, sorted(self.seen))

    def stamp(self) -> dict[str, str]:
        """Who decides, when, and the digest of the metrics.json (with test figures) that lay in the study then."""
        when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        seen = files.sha256(self._metrics)[:16] if self._metrics.is_file() else ""
        return {"who": self.who, "when": when, "seen": seen}

    def _write(self, step: Step) -> None:
        known = dict(self.decisions())
        if any(known.get(subject) != before for subject, before in step.before.items()):
            raise ConflictError("the decision was changed elsewhere since, so this step is left out")
        for subject, one in step.after.items():
            known.pop(subject, None)
            if one:
                known[subject] = one
        curation.write(known.values(), self.file)

    def _read_seen(self) -> set[str]:
        with contextlib.suppress(OSError, UserError):  # it is a cache: not there, or damaged
            return set(files.read_json(self._seen_file, list[str]))
        return set()


def shown(one: Decision | None) -> str:
    """A decision in the words in which the page keeps it, for comparison."""
    return f"{one.decision} {one.value}".strip() if one else ""


def pairs(
    decision: str, pictures: Sequence[Picture], others: Sequence[Picture], more: dict[str, str]
) -> list[Decision]:
    """The decisions on pairs.

    Those that belong together: the first with each of the rest. Those that are not the same: each with each of the
    others; where there are none, all with each other.

    Raises:
        UserError: there is no pair, or `clean` cannot part one.
    """
    chosen: Iterable[tuple[Picture, Picture]]
    if decision == "together":
        chosen = product(pictures[:1], pictures[1:])
    else:
        chosen = product(pictures, others) if others else combinations(pictures, 2)
    found = list(chosen)
    if not found:
        raise UserError("choose two pictures or more")
    for one, other in found:
        if one.name == other.name:  # a table may give one file two labels: two rows, one name
            raise UserError("these rows are one picture; give it another label, or drop it")
        if decision == "not_same" and one.sha256 == other.sha256:
            raise UserError(f"{one.name} and {other.name} are the same file, byte for byte; drop one, or mark both")
    return [curation.pair(decision, (one.name, one.sha256), (other.name, other.sha256), **more) for one, other in found]


def refuse_to_keep(picture: Picture, study: Study) -> None:
    """Refuse to keep a picture that has no label, or several.

    Raises:
        UserError: it has none, or several.
    """
    labels = study.labels_of[picture.name]
    if labels != {picture.label} or not picture.label:
        why = "several labels" if len(labels) > 1 else "no label"
        raise UserError(f"the source names {picture.name} under {why}; give it one instead (r)")


class Doubt(NamedTuple):
    """What to ask a person before a label is taken, and the label that may be meant instead."""

    ask: str
    instead: str = ""


def doubt(
    value: str, chosen: Iterable[Picture], every: Iterable[Picture], decisions: Mapping[Subject, Decision],
    least: int,
) -> Doubt | None:  # fmt: skip
    """What to ask before `chosen` get the label `value`; None where there is nothing to ask.

    Args:
        value: the new label.
        chosen: the pictures that get it.
        every: the pictures of the study.
        decisions: those made so far, by what they are about.
        least: how many pictures of a label the split needs.
    """
    every = list(every)
    given = {one.value for one in decisions.values() if one.decision == "relabel"}
    known = ({picture.label for picture in every} | given) - {""}
    alike = sorted(label for label in known if sight(label) == sight(value))
    if value not in known and alike:
        return Doubt(f"Did you mean “{alike[0]}”? “{value}” looks the same, but is another label.", alike[0])
    count = len({_image(one) for one in chosen} | {_image(one) for one in every if _label(one, decisions) == value})
    if value in known and count > 1:
        return None
    new = "a new label" if value not in known else "the label of no other picture"
    few = f" The split needs at least {least} of each label and stops with fewer." if count < least else ""
    return Doubt(f"“{value}” is {new}: {count} {'picture' if count == 1 else 'pictures'}.{few}")


def _image(picture: Picture) -> str:
    """One name for a picture and its left-out copies."""
    return picture.image_id or picture.copy_of or picture.name


def _label(picture: Picture, decisions: Mapping[Subject, Decision]) -> str:
    """The label that a picture will be kept under; empty where it will be left out."""
    one = decisions.get((picture.name,))
    if one and one.decision in ("drop", "relabel"):
        return one.value
    return picture.label if one or picture.status == "kept" else ""
