"""What belongs together and may not be divided: by a column of a table, by folders, or by the names of files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stages.core.errors import UserError
from studies.new import names
from studies.new.flaws import listed, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from studies.new.layout import Layout
    from studies.new.parts import Parts

GROUPS = 3  # of a class: one for each part of the split


@dataclass(frozen=True)
class Groups:
    """What the study keeps together.

    Attributes:
        layout: the labels; its table names a column of groups only if that is taken.
        pattern: what `ingest.group` is told; None where nothing or a column is taken.
        values: picture -> group, of those that have one.
        note: what else is to be said.
    """

    layout: Layout
    pattern: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def crossing(self, parts: Parts) -> int:
        """How many training pictures belong to a group that stands in another published part too."""
        held_out = {group for path, group in self.values.items() if parts.of(path) in ("val", "test")}
        return sum(parts.of(path) == "train" and group in held_out for path, group in self.values.items())

    def said(self) -> list[str]:
        """The sentences that say it."""
        found = sorted({group for path, group in self.values.items() if self.layout.labels.get(path)})
        if not found:
            return []
        together = number(len(found), "group", "groups")
        said = [f"Pictures of one group stay together in every split: {together}, for example {found[0]!r}.{self.note}"]
        if few := _few(self.layout, self.values):
            said.append(
                f"{listed(few)} {'has' if len(few) == 1 else 'have'} fewer than {GROUPS} groups, so that not every "
                "part of the split can have one; if the study stops there, gather more of them or use `--group none`."
            )
        return said


def choose(layout: Layout, parts: Parts | None, options: Any, ask: Callable[..., str]) -> Groups:
    """What is kept together: what the flag says, else what is seen and the user confirms.

    Args:
        layout: the labels.
        parts: the published ones.
        options: `group`: auto, none, a column, or a pattern.
        ask: asks the user.

    Raises:
        UserError: the flag is no pattern, or matches nothing.
    """
    column = (layout.keys.get("table") or {}).get("group")
    without = _without_column(layout)
    if options.group == "none":
        return Groups(without)
    if column and options.group in (None, "auto", column):
        assert layout.table is not None  # noqa: S101 - its keys are there
        chosen = Groups(layout, None, {path: group for path, group in layout.table.groups.items() if group})
        what = f"The column {column!r} of {layout.table.file!r} names {{}} groups"
    elif options.group not in (None, "auto"):
        return Groups(without, str(options.group), _given(layout, options.group))
    else:
        paths = [path for path, label in layout.labels.items() if label]
        found, what = _seen(layout, paths, parts.level if parts else 0)
        note = ""
        if found and parts and options.split != "new" and _restarts(parts, found.values):
            found, what = _seen(layout, paths, 0)
            note = (
                " Most group names occur in several parts of the data set, so the same name in two parts is taken for "
                "two groups."
            )
        if found is None:
            return Groups(without)
        chosen = Groups(without, found.pattern, {path: group for path, group in found.values.items() if group}, note)
    if options.group == column and column:
        return chosen
    groups = sorted({group for path, group in chosen.values.items() if layout.labels.get(path)})
    if len(groups) < 2:
        return Groups(without)
    few = _few(layout, chosen.values)
    why = f" {listed(few)} {'has' if len(few) == 1 else 'have'} fewer than {GROUPS}, one for each part." if few else ""
    question = (
        f"{what.format(len(groups))} (for example {groups[0]!r} and {groups[-1]!r}), such as the frames of a video or "
        f"several pictures of one thing.{why} Keep each group in one part of the split?"
    )
    return (
        chosen if ask(question, ["yes", "no"], "no" if few else "yes", "--group", options) == "yes" else Groups(without)
    )


def _seen(layout: Layout, paths: list[str], level: int) -> tuple[names.Found | None, str]:
    """The pattern that folders or names of files show, and what shows it."""
    if layout.group is None:
        return names.series(paths, layout.labels, level), "File names look like {} series"
    folders = (names.FOLDER, names.FOLDER_ABOVE)
    pattern = names.after(layout.group, level) if layout.group in folders else layout.group
    return names.Found(pattern, names.groups_of(paths, pattern)), "The folders look like {} series"


def _restarts(parts: Parts, values: dict[str, str]) -> bool:
    """Whether most groups of the published training part stand in another part too."""
    inside: defaultdict[str, set[str]] = defaultdict(set)
    for path, group in values.items():
        inside[parts.of(path)].add(group)
    return len(inside["train"] & (inside["val"] | inside["test"])) > 0.5 * len(inside["train"])


def _few(layout: Layout, values: dict[str, str]) -> list[str]:
    """Labels with fewer groups than a split has parts; a picture without a group is one by itself."""
    found = {(label, values.get(path) or f"/{path}") for path, label in layout.labels.items() if label}
    counts = Counter(label for label, _ in found)
    return [label for label, pictures in layout.counts.items() if counts[label] < GROUPS <= pictures]


def _without_column(layout: Layout) -> Layout:
    """The layout without its column of groups, and without a table that then says nothing."""
    table = {key: value for key, value in (layout.keys.get("table") or {}).items() if key != "group"}
    keys = {key: value for key, value in layout.keys.items() if key != "table"}
    if table.get("label") or table.get("part"):
        keys["table"] = table
        return replace(layout, keys=keys)
    return replace(layout, keys=keys, labels=layout.whole or layout.labels, table=None)


def _given(layout: Layout, pattern: str) -> dict[str, str]:
    """What a pattern of the user gives."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group is {pattern!r}, which is no regular expression ({error})") from None
    if "group" not in compiled.groupindex:
        raise UserError(
            f"--group is {pattern!r}, which is no column of the table; to name groups by a pattern, put (?P<group>...) "
            "around what names the group"
        )
    found = names.groups_of(list(layout.labels), pattern)
    if not any(found.values()):
        raise UserError(
            f"--group is {pattern!r}, which matches none of {len(found):,} paths; the first is {next(iter(found))!r}"
        )
    return {path: group for path, group in found.items() if group}
