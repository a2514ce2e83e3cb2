"""What rules out a study of a folder: each error says what is wrong, and what to do."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from stages.core.errors import UserError
from studies.new import names, tables
from studies.new.listing import ARCHIVES, PACKED
from studies.new.words import listed, number

if TYPE_CHECKING:
    from studies.new.layout import Layout
    from studies.new.listing import Listing
    from studies.new.names import Parts
    from studies.new.pictures import Looked

LEAST = 3  # pictures of a class: one for each part of the split
# How a file of boxes of one picture begins: with a class and four shares or more, or as XML.
_YOLO = re.compile(rb"\s*\d+([ \t]+[\d.]+){4}")
_VOC = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<annotation\b")
_ABOUT = re.compile(r"(.*/)?(readme|licen[cs]e|requirements|change|notice|copying|package)[^/]*", re.I)
_ARRAYS = (".parquet", ".arrow", ".npy", ".npz", ".h5", ".hdf5", ".pkl", ".tfrecord", ".mat", ".db", ".lmdb")


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
        raise UserError(f"{root} holds no pictures{other}{hidden}{closed}; {_pictures_hint(listing)}")
    unlabelled = layout is None or len(layout.counts) < 2 or names.named_like_parts(layout.counts)
    if unlabelled and (boxes := _boxes_hint(listing)):
        raise UserError(f"{root}: {boxes}")
    if layout is None or not layout.counts:
        raise UserError(_unlabelled(listing, parts))
    counts = layout.counts
    if names.named_like_parts(counts):
        raise UserError(_parts_alone(listing, list(counts)))
    if len(counts) == 1:
        raise UserError(
            f"{root} has one class only, {next(iter(counts))!r}, so there is nothing to distinguish; name the "
            "folder above it if that holds the other classes, or add pictures of another class in a folder beside it"
            f"{_labels_hint(listing)}"
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


def _unlabelled(listing: Listing, parts: Parts | None) -> str:
    if parts:
        return _parts_alone(listing, [folder for folders in parts.folders.values() for folder in folders])
    if folds := names.folds(listing.pictures):
        return _parts_alone(listing, folds[1])
    return (
        f"{listing.root} holds {number(len(listing.pictures), 'picture', 'pictures')}, and neither folders, nor the "
        f"names of the files (for example {listing.pictures[0]!r}), nor a table say their labels; put the pictures of "
        "each class into a folder of its own, or add a CSV with a column of file names and one of labels"
        f"{_labels_hint(listing)}"
    )


def _parts_alone(listing: Listing, folders: list[str]) -> str:
    return (
        f"{listing.root}: the only folders are {listed(folders)}, which are parts of a data set and no labels; put the "
        "pictures of each class into a folder of its own below them (train/cat/1.jpg), or add a table of labels"
        f"{_labels_hint(listing)}"
    )


def _labels_hint(listing: Listing) -> str:
    """That a file beside the pictures may say the labels."""
    found = [name for name in (*listing.tables, *listing.rest) if not _ABOUT.fullmatch(name) and not _is_packed(name)]
    if not found:
        return ""
    more = f" (or one of {len(found) - 1:,} further files)" if len(found) > 1 else ""
    return (
        f"; if {found[0]!r}{more} says the labels, write a CSV from it with a first line `file,label` and a row for "
        "each picture"
    )


def _boxes_hint(listing: Listing) -> str:
    """That files beside the pictures are boxes, one file for each picture; an empty text where none are."""
    stems = {PurePosixPath(path).stem for path in listing.pictures}
    for kind, suffix, like in (("YOLO", ".txt", _YOLO), ("Pascal VOC", ".xml", _VOC)):
        found = [name for name in listing.rest if name.lower().endswith(suffix) and PurePosixPath(name).stem in stems]
        told = next((head for name in found if (head := listing.head(name)).strip()), b"")
        if like.match(told):
            return (
                f"{found[0]!r} and {len(found) - 1:,} further files say which boxes a picture has, in the form of "
                f"{kind}, and nothing else says the labels. A study needs one label for each picture: write a CSV from "
                "them with a first line `file,label` (docs/howto.md, 'Make a table from boxes', has the lines for it)"
            )
    return ""


def _pictures_hint(listing: Listing) -> str:
    """That other files may hold the pictures, or say where they are."""
    if found := [name for name in listing.rest if _is_packed(name)]:
        return f"unpack the archives in it, for example {found[0]!r}, or name one of them if it is a zip or tar of all"
    for name in listing.tables:
        try:
            listed = tables.addresses(listing.table(name), "")
        except (UserError, ValueError):
            continue
        if listed:
            return f"{name!r} lists addresses of pictures: name that table itself instead of the folder"
    if found := [name for name in (*listing.tables, *listing.rest) if name.lower().endswith(_ARRAYS)]:
        return f"if {found[0]!r} holds pictures, write each of them into a file, in a folder named by its label"
    return "name a folder that holds JPEG, PNG, WebP, HEIC or TIFF files"


def _is_packed(name: str) -> bool:
    return name.lower().endswith((*ARCHIVES, *PACKED))
