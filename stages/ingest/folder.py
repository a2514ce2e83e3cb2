"""Source `folder`: a tree of pictures, anywhere on disk, with whatever a scrape left in it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import console
from stages.core.errors import UserError
from stages.ingest.entry import HIDDEN, Entry, Names, draw, is_hidden, is_picture, printable

if TYPE_CHECKING:
    from stages.ingest.params import Folder


def bring(params: Folder, target: Path) -> list[Entry]:
    """Copy the files of the folder to `target`, under their own paths: all, or a fraction of each folder in it.

    Links to files are followed; links to folders are not (they can lead back up), and are named in the manifest.

    Raises:
        UserError: the source is not a folder that can be read.
    """
    source = Path(params.path)
    if not source.is_dir():
        raise UserError(
            f"`ingest.path` is {source}, which is not a folder that can be read; name the folder that holds the label "
            "folders, or plug its disk in; to go on from what was brought in last, run `dvc checkout ingest` and then "
            "`dvc repro --allow-missing`"
        )
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"`ingest.path` is {source}, which holds this study itself; move the pictures to a folder of their own"
        )
    found = _walk(source)
    left_out = [] if params.hidden else [path for path in found if is_hidden(path)]
    names, inside = Names(), None if params.links_out else source.resolve()
    entries = [Entry(names(path), "", "", "folder", problem=HIDDEN) for path in left_out]
    table = params.table.file if params.table else ""
    drawn = draw(sorted(set(found) - set(left_out)), params.fraction, table)
    for path in console.progress(drawn, desc="ingest", unit=" files"):
        name = names(path)
        file = names.file(name)
        problem = _copy(source / path, target / file, inside)
        entries.append(Entry(name, "" if problem else f"files/{file}", "", "folder", problem=problem))
    return entries


def _walk(source: Path) -> list[str]:
    """Paths of all files, of links to folders and of folders that are named like a picture, relative to `source`."""
    found = []

    def refuse(error: OSError) -> None:
        found.append(os.path.relpath(error.filename, source))

    for folder, subfolders, names in os.walk(source, onerror=refuse):
        inside = "" if folder == str(source) else f"{os.path.relpath(folder, source)}/"
        odd = [
            name
            for name in subfolders
            if Path(folder, name).is_symlink() or (is_picture(name) and not is_hidden(inside + name))
        ]
        found += [inside + name for name in names + odd]
        if not names and not subfolders and inside and not is_hidden(inside[:-1]):
            console.say(f"the folder {printable(str(folder))} is empty: there will be no such class")
    return sorted(found)


def _copy(source: Path, target: Path, inside: Path | None) -> str:
    """Copy one file; returns the reason code when that is impossible, else an empty text."""
    try:
        before = source.stat()
        if not stat.S_ISREG(before.st_mode):
            return _not_a_file(source, before.st_mode)
        if inside and source.is_symlink() and not source.resolve().is_relative_to(inside):
            return "link_leads_out"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        after = source.stat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return "name_too_long"
        if str(error.filename) == str(target) or error.errno not in _REASONS:
            raise  # not the source's fault: the disk is full, or data/raw cannot be written
        return "dangling_link" if error.errno == errno.ENOENT and source.is_symlink() else _REASONS[error.errno]
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        target.unlink()
        return "changed_while_read"
    return ""


_REASONS = {
    errno.ENOENT: "vanished",
    errno.ENOTDIR: "vanished",
    errno.EACCES: "unreadable",
    errno.EPERM: "unreadable",
    errno.EIO: "unreadable",
    errno.ESTALE: "unreadable",
    errno.ELOOP: "link_loop",
}


def _not_a_file(source: Path, mode: int) -> str:
    if not stat.S_ISDIR(mode):
        return "not_a_file"
    if source.is_symlink():
        return "link_to_folder"
    return "folder" if os.access(source, os.R_OK | os.X_OK) else "unreadable"
