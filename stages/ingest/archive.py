"""Source `archive`: a zip or tar of pictures, unpacked file by file so that nothing lands outside of data/raw.

A member that cannot be unpacked gets a row with the reason, and the rest goes on. A tar is one stream: where it is
damaged nobody knows what comes behind, so a damaged tar is refused whole.
"""

from __future__ import annotations

import errno
import itertools
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from stages.core import console
from stages.core.errors import UserError
from stages.ingest import tar, zip_file
from stages.ingest.entry import HIDDEN, Entry, Names, draw, is_hidden, plain, printable, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stages.ingest.params import Archive

CHUNK = 1 << 20
LEAST = 1024  # bytes that a member counts for, however small it is: rows and inodes have a price too
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, IndexError, OverflowError,
    struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Attributes:
        name: as it stands in the archive.
        size: bytes, unpacked, as the archive declares it.
        open: how to read it; None for what is no regular file.
        problem: why it cannot be unpacked, where the archive itself says so.
        link: the name of the member whose content it shares; empty for what has content of its own.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes] | None] | None
    problem: str = ""
    link: str = ""

    @property
    def path(self) -> str:
        """Its path below the source; a name that leads out of the archive stays so."""
        return _placed(self.name)


def _placed(name: str) -> str:
    name, path = name.replace("\\", "/"), plain(name)
    return name if name.startswith("/") or ".." in path.split("/") or not path else path


def bring(params: Archive, target: Path) -> list[Entry]:
    """Unpack the regular files of the archive below `target`: all, or a fraction of each folder.

    Raises:
        UserError: it is no zip or tar, a tar is damaged, or it would unpack to more than `max_gigabytes`.
    """
    source, names, seen = Path(params.path), Names(), set[str]()
    left = params.max_gigabytes * 1e9
    drawn = _drawn(params) if params.fraction < 1 else None
    entries, written, leads = list[Entry](), dict[str, Path](), dict[str, str]()
    late: dict[str, list[Member]] = defaultdict(list)  # links, by the member with their content

    def take(member: Member, problem: str) -> None:
        nonlocal left
        name, file = printable(member.path), ""
        left -= LEAST
        if not problem:
            seen.add(member.path)
            name = names(member.path)
            file = names.file(name)
            left -= member.size
            if left >= 0:
                problem = _unpack(member, target / file)
            if not problem:
                written[member.path] = target / file
        if left < 0:
            raise tar.too_much(source, params.max_gigabytes)
        entries.append(Entry(name, "" if problem else f"files/{file}", "", "archive", problem=problem))

    for found in console.progress(members(source, params.max_gigabytes), desc="ingest", unit=" files"):
        member = _linked(found, written)
        path, goal = member.path, _placed(member.link)
        leads |= {path: leads.get(goal, goal)} if member.link else {}
        problem = _problem(member, path, seen, params)
        if drawn is not None and path not in drawn and problem != HIDDEN:
            continue
        if problem == "dangling_link":
            late[leads[path]].append(member)
        else:
            take(member, problem)
    for member in _with_content(members(source, params.max_gigabytes), late, written) if late else ():
        take(member, _problem(member, member.path, seen, params))
    return entries


def _with_content(found: Iterable[Member], late: dict[str, list[Member]], written: dict[str, Path]) -> Iterator[Member]:
    """Hard links with the content of a member that was left out, as hidden or by the fraction; and those without."""
    for member in found:
        content = member
        for link in late.pop(member.path, []) if member.open else []:
            content = replace(content, name=link.name)
            yield content
            content = _linked(replace(content, link=content.path), written)
    yield from itertools.chain(*late.values())


def _linked(member: Member, written: dict[str, Path]) -> Member:
    """A hard link with the content of the member that it leads to, which stands before it."""
    file = written.get(_placed(member.link))
    return replace(member, size=file.stat().st_size, open=lambda: file.open("rb")) if file else member


def members(source: Path, max_gigabytes: float) -> Iterator[Member]:
    """The members that are no folders.

    Raises:
        UserError: it is no zip or tar, or it is damaged.
    """
    if source.is_file() and tar.is_tar(source):
        for item, reader in tar.members(source, max_gigabytes):
            yield Member(item.name, item.size, reader, link=item.linkname if item.islnk() else "")
    elif source.is_file() and zip_file.is_zip(source):
        for info, reader, problem in zip_file.members(source):
            yield Member(zip_file.name(info), info.file_size, reader, problem)
    else:
        raise UserError(
            f"`ingest.path` is {source}, which is {'no zip and no tar file' if source.exists() else 'not here'}; "
            "unpack it, and name the folder (`source: folder`)"
        )


def _drawn(params: Archive) -> set[str]:
    paths = {member.path for member in members(Path(params.path), params.max_gigabytes)}
    shown = sorted(path for path in paths if params.hidden or not is_hidden(path))
    return set(draw(shown, params.fraction, params.table.file if params.table else ""))


def _problem(member: Member, path: str, seen: set[str], params: Archive) -> str:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or path in {"", "."} or "\0" in path:
        return "forbidden_path"
    if too_long(path):
        return "name_too_long"
    if not params.hidden and is_hidden(path):
        return HIDDEN
    if member.problem or member.open is None:
        return member.problem or ("dangling_link" if member.link else "not_a_file")
    return "twice_in_archive" if path in seen else ""


def _unpack(member: Member, target: Path) -> str:
    """Write one member; returns the reason code when that is impossible, else an empty text."""
    assert member.open is not None  # noqa: S101 - `_problem` has a reason for the others
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        return _REASONS[error.errno]
    with file:
        problem = _copy(member, file)
    if problem:
        target.unlink()
    return problem


_REASONS = {
    errno.EEXIST: "file_and_folder",
    errno.ENOTDIR: "file_and_folder",
    errno.EISDIR: "file_and_folder",
    errno.ENAMETOOLONG: "name_too_long",
    errno.EILSEQ: "forbidden_path",
    errno.EINVAL: "forbidden_path",
}


def _copy(member: Member, file: IO[bytes]) -> str:
    try:
        for piece in _pieces(member):
            file.write(piece)
    except NotImplementedError:
        return "unsupported_compression"
    except RuntimeError:  # zipfile: it wants a password
        return "encrypted"
    except DAMAGED:
        return "damaged"
    return ""


def _pieces(member: Member) -> Iterator[bytes]:
    try:
        if stream := member.open() if member.open else None:
            with stream:
                while piece := stream.read(CHUNK):
                    yield piece
    except OSError as error:
        if error.errno not in {None, errno.EINVAL}:
            raise
        raise EOFError from None  # what bz2 says of wrong data, and a system of a place that no file has
