"""Groups of pictures that the split may not divide: by a column of a table, by folders, or by the names of files."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scipy.cluster.hierarchy import DisjointSet

from stages.core.errors import UserError
from stages.ingest import pattern
from studies.new import names
from studies.new.words import listed, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from studies.new.layout import Layout
    from studies.new.names import Parts
    from studies.new.pictures import Looked

GROUPS = 2  # of a class for each part of the split that is drawn, since `clean` joins groups that share a picture


@dataclass(frozen=True)
class Groups:
    """What the study keeps together.

    Attributes:
        layout: the labels; its table names a column of groups only if that is taken.
        pattern: what `ingest.group` is told; None where nothing or a column is taken.
        values: picture -> group, of those that have one.
        note: what else is to be said.
        few: labels that have too few groups to be divided with certainty.
    """

    layout: Layout
    pattern: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    note: str = ""
    few: Sequence[str] = ()

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
        if self.few:
            said.append(
                f"{_have(self.few)} few groups. If the study stops at the split, gather more of them, or use "
                "`--group none`."
            )
        return said


def choose(layout: Layout, parts: Parts | None, looked: Looked, options: Any, ask: Callable[..., str]) -> Groups:
    """What is kept together: what the flag says, else what is seen and the user confirms.

    Args:
        layout: the labels.
        parts: the published ones.
        looked: which pictures are copies.
        options: `group`: auto, none, a column, or a pattern; `split`.
        ask: asks the user.

    Raises:
        UserError: the flag is no pattern, matches nothing, or gives fewer than two groups.
    """
    without = _without_column(layout)
    chosen, what = (None, "") if options.group == "none" else _possible(layout, without, parts, options)
    groups = sorted({group for path, group in chosen.values.items() if layout.labels.get(path)}) if chosen else []
    if options.group not in (None, "auto", "none") and len(groups) < 2:
        raise UserError(
            f"--group is {options.group!r}, which gives {len(groups)} groups, and at least two are needed; the "
            "values must be text or numbers (write a date as text); name another column, or leave the flag out"
        )
    if chosen is None or len(groups) < 2:
        return Groups(without)
    parts = None if options.split == "new" or not (parts and parts.usable) else parts
    chosen = replace(chosen, few=_few(layout, chosen.values, parts, [*looked.alike, *looked.turned]))
    if options.group is not None:
        return chosen
    why = (
        f" {_have(chosen.few)} too few of them for a split that is certain to give some to each part (those that share "
        "a picture count as one). If they are not kept together, pictures of one group may be in training and in test."
        if chosen.few
        else ""
    )
    question = (
        f"{what.format(len(groups))} (for example {groups[0]!r} and {groups[-1]!r}), such as the frames of a video or "
        f"several pictures of one thing.{why} Keep each group in one part of the split?"
    )
    answer, flag = ("no", "--group auto") if chosen.few else ("yes", "--group none")
    return chosen if ask(question, ["yes", "no"], answer, flag, options) == "yes" else Groups(without)


def _possible(layout: Layout, without: Layout, parts: Parts | None, options: Any) -> tuple[Groups | None, str]:
    """The groups that the flag names or that are seen, and what shows them."""
    column = (layout.keys.get("table") or {}).get("group")
    if column and options.group in (None, "auto", column):
        assert layout.table is not None  # noqa: S101 - its keys are there
        values = {path: group for path, group in layout.table.groups.items() if group}
        return Groups(layout, None, values), f"The column {column!r} of {layout.table.file!r} names {{}} groups"
    if options.group not in (None, "auto"):
        return Groups(without, str(options.group), _given(layout, options.group)), ""
    paths = [path for path, label in layout.labels.items() if label]
    found, what = _seen(layout, paths, parts.level if parts else 0)
    note = ""
    if found and parts and options.split != "new" and _restarts(parts, found.values):
        found, what = _seen(layout, paths, 0)
        note = (
            " Most group names occur in several parts of the data set, so the same name in two parts is taken for two "
            "groups."
        )
    if found is None:
        return None, ""
    return Groups(without, found.pattern, {path: group for path, group in found.values.items() if group}, note), what


def _seen(layout: Layout, paths: list[str], level: int) -> tuple[names.Found | None, str]:
    """The pattern that folders or names of files show, and what shows it; folds of a cross-validation are no groups."""
    if layout.group is not None:
        folders = (names.FOLDER, names.FOLDER_ABOVE)
        pattern = names.after(layout.group, level) if layout.group in folders else layout.group
        found = names.Found(pattern, names.groups_of(paths, pattern))
        if not _are_folds(layout, paths, found.values):
            return found, "The folders look like {} series"
    by_name = names.series(paths, layout.labels, level)
    if by_name and _are_folds(layout, paths, by_name.values):
        by_name = None
    return by_name, "File names look like {} series"


def _are_folds(layout: Layout, paths: list[str], values: Mapping[str, str]) -> bool:
    folds = names.folds(paths)
    if folds is None:
        return False
    fold = names.groups_of(paths, folds[0])
    return len({values[path] for path in paths}) <= len({(fold[path], layout.labels[path]) for path in paths})


def _restarts(parts: Parts, values: dict[str, str]) -> bool:
    """Whether most groups of the published training part stand in another part too."""
    inside: defaultdict[str, set[str]] = defaultdict(set)
    for path, group in values.items():
        inside[parts.of(path)].add(group)
    return len(inside["train"] & (inside["val"] | inside["test"])) > 0.5 * len(inside["train"])


def _few(layout: Layout, values: Mapping[str, str], parts: Parts | None, alike: Sequence[Sequence[str]]) -> list[str]:
    """Labels with fewer groups than the parts that are drawn want; a picture without a group is one by itself.

    Groups that share a picture are one, as they are for `clean`.
    """
    drawn = 3 - len({"val", "test"} & set(parts.folders)) if parts else 3
    if drawn == 1:  # all parts are published
        return []
    group = {path: values.get(path) or f"/{path}" for path in layout.labels}
    joined = DisjointSet(group.values())
    for first, *others in alike:
        for other in others:
            if first in group and other in group:
                joined.merge(group[first], group[other])
    found = {
        (label, joined[group[path]])
        for path, label in layout.labels.items()
        if label and (parts is None or parts.of(path) == "train")
    }
    counts = Counter(label for label, _ in found)
    least = GROUPS * drawn
    return [label for label, pictures in layout.counts.items() if counts[label] < least <= pictures]


def _have(labels: Sequence[str]) -> str:
    return f"{listed(list(labels))} {'has' if len(labels) == 1 else 'have'}"


def _without_column(layout: Layout) -> Layout:
    """The layout without its column of groups, and without a table that then says nothing."""
    table = {key: value for key, value in (layout.keys.get("table") or {}).items() if key != "group"}
    keys = {key: value for key, value in layout.keys.items() if key != "table"}
    if table.get("label") or table.get("part"):
        keys["table"] = table
        return replace(layout, keys=keys)
    return replace(layout, keys=keys, labels=layout.whole or layout.labels, table=None)


def _given(layout: Layout, text: str) -> dict[str, str]:
    """The groups that a pattern of the user names, by the code of `ingest.group`.

    Raises:
        UserError: it is no pattern with a group, or matches nothing.
    """
    try:
        pattern.check(text, "group")
    except ValueError as error:
        raise UserError(f"--group is {text!r}, which is no column of the table; as a pattern, {error}") from None
    paths = list(layout.labels)
    found = pattern.found("--group", text, "group", paths)
    return {path: group for path, group in zip(paths, found, strict=True) if group}
