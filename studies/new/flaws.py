"""Flaws of a folder: those that rule out a study, and those that the user should know before anything runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stages.core.errors import UserError
from stages.core.labels import alike
from studies.new import doubts, hints, names
from studies.new import parts as published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.new.layout import Layout
    from studies.new.listing import Listing
    from studies.new.parts import Parts
    from studies.new.pictures import Looked
    from studies.new.tables import Table

_PART_WORD = re.compile(r"train(ing)?|val(id(ation)?)?|test(ing)?|eval|pred|holdout|unlabell?ed")
LEAST = 3  # pictures of a class: one for each part of the split
MOST = 0.95  # share of the pictures in one class, above which the rest is hardly a class


def refuse(listing: Listing, layout: Layout | None, parts: Parts | None) -> Layout:
    """The layout, if a study can be made of it.

    Raises:
        UserError: says what is wrong, and what to do.
    """
    root = listing.root
    if not listing.pictures:
        others = listing.others + len(listing.tables)
        other = f", but {number(others, 'other file', 'other files')}" if others else ""
        if listing.links:
            raise UserError(
                f"{root} holds no pictures{other}, but {number(len(listing.links), 'link', 'links')} to places outside "
                f"of it, for example {listing.links[0]!r}; copy the pictures (`cp -rL` follows links), or write "
                "params.yaml by hand with `ingest.links_out: true`"
            )
        hidden = f" ({listing.hidden} hidden files were left out)" if listing.hidden else ""
        closed = f"; {len(listing.closed)} of its folders may not be read by this user" if listing.closed else ""
        raise UserError(f"{root} holds no pictures{other}{hidden}{closed}; {hints.pictures(listing)}")
    unlabelled = layout is None or len(layout.counts) < 2 or published.named_like_parts(layout.counts)
    if unlabelled and (boxes := hints.boxes(listing)):
        raise UserError(f"{root}: {boxes}")
    if layout is None or not layout.counts:
        raise UserError(_unlabelled(listing, parts))
    counts = layout.counts
    if published.named_like_parts(counts):
        raise UserError(_parts_alone(listing, list(counts)))
    if len(counts) == 1:
        raise UserError(
            f"{root} has one class only, {next(iter(counts))!r}, so there is nothing to distinguish; name the "
            "folder above it if that holds the other classes, or add pictures of another class in a folder beside it"
            f"{hints.labels(listing)}"
        )
    large = sum(count >= LEAST for count in counts.values())
    if large < 2:
        raise UserError(
            f"{root}: {len(counts) - large} of {len(counts)} classes have fewer than {LEAST} pictures (for example "
            f"{listed(list(counts)[-3:])}), and training, validation and test need one each; add pictures, or choose "
            "another label with `--label` (parent, path, name, table, or the number of a folder's level)"
        )
    return layout


def refuse_damage(listing: Listing, looked: Looked) -> Looked:
    """What was seen, if any picture could be opened.

    Raises:
        UserError: none could.
    """
    if looked.opened and not looked.sizes:
        raise UserError(
            f"{listing.root}: none of {number(looked.opened, 'picture', 'pictures')} that were opened can be read, "
            f"for example {looked.broken[0]!r}; copy or fetch them again"
        )
    return looked


def of_tables(found: Sequence[Table], unread: Sequence[str], layout: Layout) -> list[str]:
    """What the user should know about tables: rows and tables that are not used."""
    said = [f"{why}. The table is not used." for why in unread]
    used = layout.table
    if used and used.missing:
        what = number(len(used.missing), "file that is", "files that are")
        said.append(
            f"{used.file!r} names {what} not there, for example {used.missing[0]!r}: add the files, or delete their "
            "rows. The study lists such rows and leaves them out."
        )
    if layout.torn:
        said.append(
            f"{number(len(layout.torn), 'picture has', 'pictures have')} several labels in the table, for example "
            f"{min(layout.torn)!r}, and will be left out; correct the table if you can."
        )
    if used and layout.rule == "table" and used.others and not used.sure:
        said.append(
            f"The label could also be the column {' or '.join(map(repr, [*used.others][:5]))} of {used.file!r}: "
            "`--label-column` chooses it."
        )
    for table in found:
        column = table.group or table.part
        if not used and column and (table.groups or table.parts):
            rows = len(table.groups or table.parts)
            said.append(
                f"The column {column!r} of {table.file!r} is not used, since it has rows for {rows:,} of "
                f"{len(layout.labels):,} pictures only. Complete the table to use it."
            )
        if layout.rule != "table":
            continue
        more = sum(bool(label) and not layout.labels[path] for path, label in table.labels.items())
        if table is not used and more and table.classes > 1:
            said.append(
                f"{table.file!r} has labels too, of {number(more, 'further picture', 'further pictures')}, but a study "
                "reads one table. Put the rows of both into one table to use them."
            )
    return said


def _unlabelled(listing: Listing, parts: Parts | None) -> str:
    if parts:
        return _parts_alone(listing, [folder for folders in parts.folders.values() for folder in folders])
    if folds := names.folds(listing.pictures):
        return _parts_alone(listing, folds[1])
    return (
        f"{listing.root} holds {number(len(listing.pictures), 'picture', 'pictures')}, and neither folders, nor the "
        f"names of the files (for example {listing.pictures[0]!r}), nor a table say their labels; put the pictures of "
        "each class into a folder of its own, or add a CSV with a column of file names and one of labels"
        f"{hints.labels(listing)}"
    )


def _parts_alone(listing: Listing, folders: list[str]) -> str:
    return (
        f"{listing.root}: the only folders are {listed(folders)}, which are parts of a data set and no labels; put the "
        "pictures of each class into a folder of its own below them (train/cat/1.jpg), or add a table of labels"
        f"{hints.labels(listing)}"
    )


def tell(listing: Listing, layout: Layout, looked: Looked, parts: Parts | None) -> list[str]:
    """What the user should know about the data before anything runs."""
    found = []
    counts, total = layout.counts, sum(layout.counts.values())
    label, most = next(iter(counts.items()))
    if most >= MOST * total:
        found.append(
            f"{label!r} has {100 * most / total:.0f} % of the pictures: a network that always answers {label!r} "
            "is right that often. Add pictures of the other classes if you can."
        )
    unlabelled = sum(not label for path, label in layout.labels.items() if path not in layout.torn)
    if unlabelled:
        example = next(path for path, label in layout.labels.items() if not label and path not in layout.torn)
        found.append(
            f"{number(unlabelled, 'picture has', 'pictures have')} no label and will be left out, for example "
            f"{example!r}."
        )
    found += [
        f"The labels {listed(same)} look the same, but are separate classes: rename their folders or rows."
        for same in alike(set(counts))
    ]
    if like := [label for label in counts if _like_a_part(label)]:
        found.append(
            f"{listed(like)} {'is' if len(like) == 1 else 'are'} named like parts of a data set (training, test), but "
            "will be classes; if they are none, move their folders elsewhere, or rename them to train and test."
        )
    found += doubts.tell(listing, layout, parts)
    if looked.broken:
        found.append(
            f"{number(len(looked.broken), 'file', 'files')} cannot be opened and will be left out, for example "
            f"{looked.broken[0]!r}."
        )
    if listing.links:
        found.append(
            f"{number(len(listing.links), 'link leads', 'links lead')} to a folder, nowhere, or out of the folder, "
            f"for example {listing.links[0]!r}. Such links are not followed."
        )
    if listing.closed:
        found.append(f"{listed(listing.closed)} cannot be read by this user, so the study will lack their pictures.")
    found += _conflicts(layout, looked)
    if parts:
        found += _leaks(parts, looked)
    return found


def _like_a_part(label: str) -> bool:
    """trainA, seg_pred, test_old; a bare `train` beside `car` is a vehicle."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|[^A-Za-z]+", " ", label).lower().split()
    return len(spaced) + len(re.findall(r"\d", label)) > 1 and any(map(_PART_WORD.fullmatch, spaced))


def _conflicts(layout: Layout, looked: Looked) -> list[str]:
    """One picture under two labels."""
    groups = [[path for path in group if layout.labels.get(path)] for group in looked.alike]
    torn = [group for group in groups if len({layout.labels[path] for path in group}) > 1]
    if not torn:
        return []
    one, *rest = torn[0]
    other = next(path for path in rest if layout.labels[path] != layout.labels[one])
    they = "It" if len(torn) == 1 else "They"
    said = (
        f"{number(len(torn), 'picture stands', 'pictures stand')} under several labels, for example {one!r} and "
        f"{other!r}. {they} will be left out under each label (`clean.label_conflicts`); correct the labels if you can."
    )
    return [said]


def _leaks(parts: Parts, looked: Looked) -> list[str]:
    leaks = published.leaks(parts, looked.alike)
    if not leaks:
        return []
    said = " and ".join(f"{count} of the {part} pictures" for part, count in sorted(leaks.items()))
    return [f"{said} have a copy in the training part: a leak. The study leaves such copies out of training."]


def number(count: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many}"


def listed(items: list[str], most: int = 5) -> str:
    """Some names of a list."""
    shown = ", ".join(map(repr, items[:most]))
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown
