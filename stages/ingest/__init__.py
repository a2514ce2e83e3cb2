"""Stage `ingest`: bring the source into data/raw as it is, and say in manifest.csv what could not be brought in.

Nothing is judged here: whether a file is an image is for `clean` to say. Every entry of the source gets a row.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import files
from stages.core.errors import UserError
from stages.ingest import archive, cifar10, digits, folder, uecfood256, urls
from stages.ingest.entry import COLUMNS
from stages.ingest.params import Archive, Cifar10, Digits, Folder, Uecfood256, Urls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stages.ingest.entry import Entry
    from stages.ingest.params import Ingest

RAW = Path("data/raw")


def ingest(source: Ingest) -> list[Entry]:
    """Fill data/raw from the source: whole, or not at all.

    Returns:
        A row for every entry of the source, sorted by path.

    Raises:
        UserError: the source is missing, of the wrong kind or empty.
    """
    with files.fresh_folder(RAW) as raw:
        rows = sorted(_bring(source, raw / "files"), key=lambda entry: entry.path)
        if not rows:
            raise UserError(f"{source.path} holds no files; `ingest.path` must lead to a tree of label folders")
        files.write_rows(raw / "manifest.csv", COLUMNS, [entry.row() for entry in rows])
    return rows


def _bring(source: Ingest, target: Path) -> Iterable[Entry]:
    target.mkdir()
    match source:
        case Digits():
            return digits.bring(Path(source.path), target)
        case Folder():
            return folder.bring(Path(source.path), target, source.label_level, source.fraction)
        case Archive():
            path = Path(source.path)
            return archive.bring(path, target, source.label_level, source.max_gigabytes, source.fraction)
        case Cifar10():
            return cifar10.bring(Path(source.path), target)
        case Uecfood256():
            return uecfood256.bring(Path(source.path), target, source.boxes)
        case Urls():
            return urls.bring(source, target)
