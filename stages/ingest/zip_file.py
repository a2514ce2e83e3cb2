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
_END = b"PK\x05\x06"


def is_zip(path: Path) -> bool:
    """Whether the file is a zip, or what was left of one."""
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
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError) as error:
        raise _damaged(path, str(error)) from None
    with archive:
        infos = archive.infolist()
        if (declared := _declared(path)) not in {0xFFFF, len(infos) & 0xFFFF}:
            raise _damaged(path, f"its directory lists {len(infos)} members, its end says {declared}")
        if _another_before(path, min((info.header_offset for info in infos), default=0)):
            raise _damaged(path, "another zip stands before it in the same file, whose members nobody lists")
        for info in infos:
            if info.filename.endswith("/"):
                if info.file_size:  # no folder has content: it was a file, whose name is damaged
                    yield info, None, "damaged"
            elif info.flag_bits & _ENCRYPTED:
                yield info, None, "encrypted"
            elif stat.S_ISLNK(info.external_attr >> 16):
                yield info, None, "not_a_file"
            else:
                yield info, (lambda i=info: archive.open(i)), ""  # type: ignore[misc]


def _another_before(path: Path, first: int) -> bool:
    """Whether the file begins with a member, and the first that is listed stands later."""
    with path.open("rb") as file:
        return first > 0 and file.read(4) == b"PK\x03\x04"


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged ({why[:200]}), so pictures may be missing; fetch it again")


def _declared(path: Path) -> int:
    """How many members the end of the zip says that there are, less multiples of 65,536."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65_557))
        tail = file.read()
    return int.from_bytes(tail[(at := tail.rfind(_END)) + 10 : at + 12], "little")
