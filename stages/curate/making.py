"""Decisions from what a person pointed at; those that `clean` could not apply are refused here, in words."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING

from stages.core import curation
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stages.core.curation import Decision
    from stages.curate.findings import Picture, Study


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
    """A picture is kept under its label, so it needs one and no more.

    Raises:
        UserError: it has none, or several.
    """
    labels = study.labels_of[picture.name]
    if labels != {picture.label} or not picture.label:
        why = "several labels" if len(labels) > 1 else "no label"
        raise UserError(f"the source names {picture.name} under {why}; give it one instead (r)")
