"""Hints at the end of an error: where unreadable pictures or labels may be, and how to make them readable."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from stages.core.errors import UserError
from studies.new import tables
from studies.new.listing import ARCHIVES, PACKED

if TYPE_CHECKING:
    from studies.new.listing import Listing

# How a file of boxes of one picture begins: with a class and four shares or more, or as XML.
_YOLO = re.compile(rb"\s*\d+([ \t]+[\d.]+){4}")
_VOC = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<annotation\b")
_ABOUT = re.compile(r"(.*/)?(readme|licen[cs]e|requirements|change|notice|copying|package)[^/]*", re.I)
_ARRAYS = (".parquet", ".arrow", ".npy", ".npz", ".h5", ".hdf5", ".pkl", ".tfrecord", ".mat", ".db", ".lmdb")


def labels(listing: Listing) -> str:
    """That a file beside the pictures may say the labels."""
    found = [name for name in (*listing.tables, *listing.rest) if not _ABOUT.fullmatch(name) and not _is_packed(name)]
    if not found:
        return ""
    more = f" (or one of {len(found) - 1:,} further files)" if len(found) > 1 else ""
    return (
        f"; if {found[0]!r}{more} says the labels, write a CSV from it with a first line `file,label` and a row for "
        "each picture"
    )


def boxes(listing: Listing) -> str:
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


def pictures(listing: Listing) -> str:
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
