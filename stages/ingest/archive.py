"""Source `archive`: a zip or tar of label folders, unpacked file by file so that nothing lands outside of data/raw."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from stages.core import console
from stages.core.errors import UserError
from stages.ingest.entry import Entry, draw, label_of, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Member:
    """One member of an archive: its name, its declared size in bytes, and how to read it (None: no regular file)."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None] | None


def bring(source: Path, target: Path, label_level: int, max_gigabytes: float, fraction: float = 1.0) -> list[Entry]:
    """Unpack the regular files of the archive below `target`: all, or a `fraction` of each folder.

    Members with an absolute path or `..`, links and devices, and second members of one name are not unpacked; the
    manifest names them.

    Raises:
        UserError: `source` is no zip or tar, is damaged, or would unpack to more than `max_gigabytes`.
    """
    entries = []
    left = max_gigabytes * 1e9
    try:
        drawn = set(draw(sorted({_name(member) for member in _members(source)}), fraction)) if fraction < 1 else None
        for member in console.progress(_members(source), desc="ingest", unit=" files"):
            name = _name(member)
            if drawn is not None and name not in drawn:
                continue
            problem = _problem(member, name, target)
            left -= 0 if problem else member.size
            if left < 0:
                raise UserError(
                    f"{source} is over `ingest.max_gigabytes` = {max_gigabytes:g} unpacked; raise it if that is right"
                )
            if not problem:
                _unpack(member, target / name)
            entries.append(
                Entry(name, "" if problem else f"files/{name}", label_of(name, label_level), "archive", problem=problem)
            )
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{source} is damaged ({error}); fetch it again") from None
    return entries


def _name(member: Member) -> str:
    return printable(member.name.replace("\\", "/"))


def _members(source: Path) -> Iterator[Member]:
    if source.is_file() and zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    encrypted = info.flag_bits & 1
                    yield Member(info.filename, info.file_size, None if encrypted else lambda i=info: archive.open(i))  # type: ignore[misc]
    elif source.is_file() and tarfile.is_tarfile(source):
        with tarfile.open(source) as tar:
            for item in tar:
                if not item.isdir():
                    yield Member(item.name, item.size, (lambda i=item: tar.extractfile(i)) if item.isreg() else None)  # type: ignore[misc]
    else:
        raise UserError(
            f"`ingest.path` is {source}, which is no zip and no tar file; for a folder use `source: folder`"
        )


def _problem(member: Member, name: str, target: Path) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return "forbidden_path"
    if member.open is None:
        return "not_a_file"
    return "twice_in_archive" if (target / name).exists() else ""


def _unpack(member: Member, target: Path) -> None:
    assert member.open is not None  # noqa: S101 - `_problem` has told those apart
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as stream, target.open("wb") as file:  # type: ignore[union-attr]
        shutil.copyfileobj(stream, file)
