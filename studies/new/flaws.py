"""What is wrong with a folder: what no study can be made of, and what the user should know before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.core.errors import UserError
from studies.new import parts as published

if TYPE_CHECKING:
    from studies.new.layout import Layout
    from studies.new.listing import Listing
    from studies.new.parts import Parts
    from studies.new.pictures import Looked

LEAST = 3  # pictures of a class: one for each part of the split
MOST = 0.95  # share of the pictures in one class, above which the rest is hardly a class


def refuse(listing: Listing, layout: Layout | None, parts: Parts | None) -> Layout:
    """The layout, if a study can be made of it.

    Raises:
        UserError: says what is wrong, and what to do.
    """
    root = listing.root
    if not listing.pictures:
        other = f", but {listing.others + len(listing.tables)} other files" if listing.others or listing.tables else ""
        hidden = f" ({listing.hidden} hidden files were left out)" if listing.hidden else ""
        closed = f"; {len(listing.closed)} of its folders may not be read by this user" if listing.closed else ""
        raise UserError(
            f"{root} holds no pictures{other}{hidden}{closed}; name a folder that holds JPEG, PNG, WebP or TIFF files"
        )
    if layout is None or not layout.counts:
        raise UserError(_unlabelled(listing, parts))
    counts = layout.counts
    if published.named_like_parts(counts):
        raise UserError(_parts_alone(listing, list(counts)))
    if len(counts) == 1:
        raise UserError(
            f"{root} has one class only, {next(iter(counts))!r}, so there is nothing to distinguish; name the "
            "folder above it if that holds the other classes, or add pictures of another class in a folder beside it"
        )
    large = sum(count >= LEAST for count in counts.values())
    if large < 2:
        raise UserError(
            f"{root}: {len(counts) - large} of {len(counts)} classes have fewer than {LEAST} pictures (as "
            f"{listed(list(counts)[-3:])}), and training, validation and test need one each; add pictures, or choose "
            "another label with `--label` (parent, path, name, table, or the number of a folder's level)"
        )
    return layout


def _unlabelled(listing: Listing, parts: Parts | None) -> str:
    if parts:
        return _parts_alone(listing, [folder for folders in parts.folders.values() for folder in folders])
    return (
        f"{listing.root}: {number(len(listing.pictures), 'picture lies', 'pictures lie')} in one folder, and neither "
        f"folders, nor the names of the files (as {listing.pictures[0]!r}), nor a table say their labels; put the "
        "pictures of each class into a folder of its own, or add a CSV with a column of file names and one of labels"
    )


def _parts_alone(listing: Listing, folders: list[str]) -> str:
    return (
        f"{listing.root}: the only folders are {listed(folders)}, which are parts of a data set and no labels; put the "
        "pictures of each class into a folder of its own below them (train/cat/1.jpg), or add a table of labels"
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
    unlabelled = sum(not label for label in layout.labels.values())
    if unlabelled:
        example = next(path for path, label in layout.labels.items() if not label)
        found.append(
            f"{number(unlabelled, 'picture has', 'pictures have')} no label and will be left out, as {example!r}."
        )
    if looked.broken:
        found.append(
            f"{number(len(looked.broken), 'file', 'files')} cannot be opened and will be left out, as "
            f"{looked.broken[0]!r}."
        )
    if listing.links:
        found.append(
            f"{number(len(listing.links), 'link leads', 'links lead')} to a folder, nowhere, or out of the folder, as "
            f"{listing.links[0]!r}. Such links are not followed."
        )
    if listing.closed:
        found.append(f"{listed(listing.closed)} cannot be read by this user, so the study will lack their pictures.")
    found += _conflicts(layout, looked)
    if parts:
        found += _leaks(parts, looked)
    return found


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
        f"{number(len(torn), 'picture stands', 'pictures stand')} under several labels, as {one!r} and {other!r}. "
        f"{they} will be left out under each label (`clean.label_conflicts`); correct the labels if you can."
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
