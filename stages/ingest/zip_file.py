"""Zip files: a directory at the end, and members that can each be damaged by themselves."""

from __future__ import annotations

import stat
import struct
import zipfile
from typing import IO, TYPE_CHECKING, cast

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_UTF8, _ENCRYPTED = 0x800, 0x1  # flags of a member
_END, _END64, _LOCATOR, _LISTED = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_END_SIZE, _END64_SIZE, _LOCATOR_SIZE = 22, 56, 20  # bytes, without a comment
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
    size, end = path.stat().st_size, _end(path)
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(cast("IO[bytes]", _WithoutComment(file, end)) if end is not None else file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError) as error:
            raise _damaged(path, str(error)) from None
        infos = archive.infolist()
        if (declared := _declared(path, end)) not in {None, len(infos), len(infos) & 0xFFFF}:
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


class _WithoutComment:
    """A zip as if it ended without a comment: Python takes what looks like an end in a comment for the end."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file, self._size = file, end + _END_SIZE
        self.tell, self.seekable = file.tell, file.seekable

    def seek(self, place: int, whence: int = 0) -> int:
        """As of a file that is so long."""
        if whence == 2 and self._size + place < 0:
            raise OSError("before the beginning")
        return self._file.seek(*((self._size + place, 0) if whence == 2 else (place, whence)))

    def read(self, count: int = -1) -> bytes:
        """As of a file; the length of the comment, in the last two bytes, is zero."""
        at = self._file.tell()
        left = max(self._size - at, 0)
        data = self._file.read(left if count < 0 else min(count, left))
        over = at + len(data) - (self._size - 2)
        return data if over <= 0 else data[: max(len(data) - over, 0)] + bytes(min(over, len(data)))


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


def _tail(path: Path) -> tuple[int, bytes]:
    """The last bytes of the file, in which its end stands whatever its comment is, and where they begin."""
    begin = max(0, path.stat().st_size - 0xFFFF - _END_SIZE - _LOCATOR_SIZE - _END64_SIZE)
    with path.open("rb") as file:
        file.seek(begin)
        return begin, file.read()


def _end(path: Path) -> int | None:
    """Where the end record stands: the first one whose comment leads to the end of the file, behind a directory."""
    begin, tail = _tail(path)
    at = tail.find(_END)
    while at >= 0:
        if at + _END_SIZE > len(tail):
            break
        count, length, comment = struct.unpack_from("<10xHI4xH", tail, at)
        if at + _END_SIZE + comment == len(tail) and _behind_a_directory(path, begin + at, count, length):
            return begin + at
        at = tail.find(_END, at + 1)
    return None


def _behind_a_directory(path: Path, end: int, count: int, length: int) -> bool:
    with path.open("rb") as file:
        if count == 0xFFFF or length == 0xFFFFFFFF:
            file.seek(max(end - _LOCATOR_SIZE, 0))
            return file.read(4) == _LOCATOR
        file.seek(max(end - length, 0))
        return file.read(4) == (_LISTED if count else _END)


def _declared(path: Path, end: int | None) -> int | None:
    """How many members the end of the zip says that there are; None where it says nothing that can be compared."""
    begin, tail = _tail(path)
    at = tail.rfind(_END) if end is None else end - begin
    count = int.from_bytes(tail[at + 10 : at + 12], "little")
    if count != 0xFFFF:
        return count
    record = at - _LOCATOR_SIZE - _END64_SIZE
    if record < 0 or tail[record : record + 4] != _END64 or tail[at - _LOCATOR_SIZE :][:4] != _LOCATOR:
        return None
    return int.from_bytes(tail[record + 32 : record + 40], "little")
