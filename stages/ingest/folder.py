"""Source `folder`: a tree of label folders, anywhere on disk, with whatever a scrape left in it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from PIL import Image

from stages.core import console
from stages.core.errors import UserError
from stages.ingest.entry import Entry, draw, label_of, printable


def bring(source: Path, target: Path, label_level: int, fraction: float = 1.0) -> list[Entry]:
    """Copy the files below `source` to `target`, under their own paths: all, or a `fraction` of each folder.

    Links to files are followed; links to folders are not (they can lead back up), and are named in the manifest.

    Raises:
        UserError: `source` is not a folder that can be read.
    """
    if not source.is_dir():
        raise UserError(
            f"`ingest.path` is {source}, which is not a folder; name the folder that holds the label folders"
        )
    entries = []
    for path in console.progress(draw(_walk(source), fraction), desc="ingest", unit=" files"):
        name = printable(path)
        problem = _copy(source / path, target / name)
        file = "" if problem else f"files/{name}"
        entries.append(Entry(name, file, label_of(name, label_level), "folder", problem=problem))
    return entries


def _walk(source: Path) -> list[str]:
    """Paths of all files, of links to folders and of folders that are named like a picture, relative to `source`."""
    found = []

    def refuse(error: OSError) -> None:
        found.append(os.path.relpath(error.filename, source))

    for folder, subfolders, names in os.walk(source, onerror=refuse):
        odd = [name for name in subfolders if Path(folder, name).is_symlink() or _named_like_a_picture(name)]
        found += [os.path.relpath(os.path.join(folder, name), source) for name in names + odd]  # noqa: PTH118 - bytes names
    return sorted(found)


def _named_like_a_picture(name: str) -> bool:
    return Path(name).suffix.lower() in Image.registered_extensions()


def _copy(source: Path, target: Path) -> str:
    """Copy one file; returns the reason code when that is impossible, else an empty text."""
    try:
        before = source.stat()
        if not stat.S_ISREG(before.st_mode):
            return _not_a_file(source, before.st_mode)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        after = source.stat()
    except OSError as error:
        if str(error.filename) == str(target) or error.errno not in _REASONS:
            raise  # not the source's fault: the disk is full, or data/raw cannot be written
        return "dangling_link" if error.errno == errno.ENOENT and source.is_symlink() else _REASONS[error.errno]
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        target.unlink()
        return "changed_while_read"
    return ""


_REASONS = {
    errno.ENOENT: "vanished",
    errno.EACCES: "unreadable",
    errno.EPERM: "unreadable",
    errno.EIO: "unreadable",
    errno.ELOOP: "link_loop",
}


def _not_a_file(source: Path, mode: int) -> str:
    if not stat.S_ISDIR(mode):
        return "not_a_file"
    if source.is_symlink():
        return "link_to_folder"
    return "folder" if os.access(source, os.R_OK | os.X_OK) else "unreadable"
