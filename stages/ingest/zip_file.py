"""Zip files: a directory at the end, and members that can each be damaged by themselves."""

from __future__ import annotations

import stat
import struct
import zipfile
from typing import IO, TYPE_CHECKING

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_UTF8, _ENCRYPTED = 0x800, 0x1  # flags of a member
_END, _END_SIZE = b"PK\x05\x06", 22  # the record at the end of a zip; its bytes without a comment
_MOST_PACKED = 1_100  # bytes that deflate makes of one at most, and a little


def is_zip(path: Path) -> bool:
    """Whether the file is a zip, whole or cut short."""
    with path.open("rb") as file:
        return file.read(4) in {b"PK\x03\x04", _END} or zipfile.is_zipfile(path)


def name(info: zipfile.ZipInfo) -> str:
    """The name of a member. Many programs write UTF-8 and do not say so; Python then reads it as code page 437."""
    if not info.flag_bits & _UTF8:
        try:
            return info.filename.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return info.filename


def members(path: Path) -> Iterator[tuple[zipfile.ZipInfo, Callable[[], IO[bytes]] | None, str]]:
    """The members that are no folders, each with how to read it, and why it cannot be, where the zip says so.

    Raises:
        UserError: the directory of the zip is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError) as error:
            raise _damaged(path, str(error)) from None
        infos = archive.infolist()
        if (declared := _declared(path)) not in {len(infos) & 0xFFFF, 0xFFFF}:  # the last: the number stands elsewhere
            raise _damaged(path, f"its directory lists {len(infos)} members, its end says {declared}")
        if _another_before(path, min((i.header_offset for i in infos if i.header_offset < size), default=0)):
            why = "its first member is not in its directory: another zip stands before it, or the directory is wrong"
            raise _damaged(path, why)
        for info in infos:
            if info.filename.endswith(("/", "\\")):  # as programs on Windows write it
                if info.file_size:  # no folder has content: it was a file, whose name is damaged
                    yield info, None, "damaged"
            elif info.flag_bits & _ENCRYPTED:
                yield info, None, "encrypted"
            elif stat.S_ISLNK(info.external_attr >> 16):
                yield info, None, "not_a_file"
            elif _lies(info, size):
                yield info, None, "damaged"
            else:
                yield info, (lambda i=info: archive.open(i)), ""  # type: ignore[misc]


def _lies(info: zipfile.ZipInfo, size: int) -> bool:
    """Whether a member cannot have the sizes that the directory gives it, in a zip of `size` bytes."""
    if info.header_offset + info.compress_size > size:
        return True
    if info.compress_type == zipfile.ZIP_STORED:
        return info.file_size != info.compress_size
    return info.compress_type == zipfile.ZIP_DEFLATED and info.file_size > _MOST_PACKED * (info.compress_size + 1)


def _another_before(path: Path, first: int) -> bool:
    """Whether the file begins with a member, and the first that is listed stands later."""
    with path.open("rb") as file:
        return first > 0 and file.read(4) == b"PK\x03\x04"


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged ({why[:200]}), so pictures may be missing; fetch it again")


def _declared(path: Path) -> int:
    """The number of members that the end of the zip gives, modulo 65,536."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 0xFFFF - _END_SIZE))
        tail = file.read()
    at = tail.rfind(_END)
    return int.from_bytes(tail[at + 10 : at + 12], "little")
