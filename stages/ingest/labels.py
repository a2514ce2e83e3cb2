"""The label and the group of every entry of a folder or an archive: from its path, its name or a table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stages.core import console
from stages.core.errors import UserError
from stages.core.folders import label_folders, level_advice, part_level
from stages.core.labels import tidy
from stages.ingest import pattern, table
from stages.ingest.entry import HIDDEN, Entry, is_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.ingest.params import Archive, Folder


def give(entries: list[Entry], source: Folder | Archive, raw: Path) -> list[Entry]:
    """The entries with label and group, as the section `ingest` says; hidden files get both from a table alone.

    Args:
        entries: what was brought in, and what could not be.
        source: the section.
        raw: the folder below which their files lie.

    Raises:
        UserError: a pattern matches nothing, the table is not there or lacks a column, or no entry has a label.
    """
    hidden = [entry for entry in entries if entry.problem == HIDDEN]
    shown = [entry for entry in entries if entry.problem != HIDDEN]
    paths = [entry.path for entry in shown]
    if source.label != "table":
        shown = [replace(e, label=label) for e, label in zip(shown, _labels(source, paths), strict=True)]
    if source.group:
        groups = pattern.found("ingest.group.pattern", source.group.pattern, "group", paths)
        shown = [replace(e, group=group) for e, group in zip(shown, groups, strict=True)]
    if source.table:
        shown, hidden = table.join([*shown, *hidden], source, source.table, raw), []
    if shown and not any(entry.label for entry in shown):
        by_folder = source.label not in ("table", "name")
        advice = (level_advice(_pictures(paths) or paths) if by_folder else "") or (
            "put the pictures into folders named by their labels, or take the label from a table (`label: table`) or "
            "from the names of the files (`label: name`)"
        )
        why = f"has a label by `ingest.label: {source.label}`, for example {paths[0]!r}"
        raise UserError(f"no file of {source.path} {why}; {advice}")
    if not _pictures(paths):
        console.say(
            f"no file of {source.path} is named like a picture, for example 1.jpg; `ingest.path` must lead to the "
            "pictures"
        )
    return hidden + shown


def of_folders(paths: Sequence[str], rule: str) -> list[str]:
    """The label of each path by the folder that holds it (`parent`), or all folders joined (`path`).

    The folder of a published part is no part of a label.
    """
    folders = [list(map(tidy, above)) for above in label_folders(paths, part_level(_pictures(paths) or paths))]
    return ["/".join(above if rule == "path" else above[-1:]) for above in folders]


def at_level(path: str, level: int) -> str:
    """The name of the folder `level` steps below the source, or empty for an entry that lies above it."""
    folders = path.split("/")[:-1]
    return tidy(folders[level - 1]) if len(folders) >= level else ""


def _labels(source: Folder | Archive, paths: Sequence[str]) -> list[str]:
    if isinstance(source.label, int):
        return [at_level(path, source.label) for path in paths]
    if source.name_pattern:
        names = [path.rpartition("/")[2] for path in paths]
        return [tidy(label) for label in pattern.found("ingest.name_pattern", source.name_pattern, "label", names)]
    return of_folders(paths, source.label)


def _pictures(paths: Sequence[str]) -> Sequence[str]:
    return [path for path in paths if is_picture(path)]
