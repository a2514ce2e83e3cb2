"""Whether a new label is meant: one that no other picture has ends the split later, and is often a slip of the pen."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stages.core.labels import sight

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stages.core.curation import Decision
    from stages.curate.finding import Picture


class Doubt(NamedTuple):
    """What to ask a person before a label is taken, and the label that may be meant instead."""

    ask: str
    instead: str = ""


def doubt(
    value: str, chosen: Iterable[Picture], every: Iterable[Picture], decisions: Mapping[tuple[str, ...], Decision],
    least: int,
) -> Doubt | None:  # fmt: skip
    """What is odd about giving `chosen` the label `value`; None where nothing is.

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


def _label(picture: Picture, decisions: Mapping[tuple[str, ...], Decision]) -> str:
    """The label that a picture will be kept under; empty where it will be left out."""
    one = decisions.get((picture.name,))
    if one and one.decision in ("drop", "relabel"):
        return one.value
    return picture.label if one or picture.status == "kept" else ""
