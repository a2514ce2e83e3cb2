"""Tar files, read to their end: Python's reader takes a damaged header for the end of the archive, without a word."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, cast

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

_END: type[Exception] = tarfile.EOFHeaderError  # type: ignore[attr-defined]
MAX_HEADER = 1 << 20  # bytes of a long name or of a set of attributes; Python reads them whole
MAX_MAP = 1 << 18  # bytes of the map of a sparse file: at least 10,000 parts
_HEADERS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
_PACKED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x5d\x00\x00": lzma.open,  # its predecessor, .lzma
}
_DAMAGED = (
    tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError, OverflowError, RecursionError,
)  # fmt: skip


class _Header(tarfile.TarInfo):
    """A header that must be whole, and of a size that a header can have."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _HEADERS and header.size > MAX_HEADER:
            raise tarfile.ReadError(f"a name or header of {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        return cast("Self", cls._whole(super().fromtarfile, tarfile))

    def _proc_sparse(self, archive: Any) -> Any:
        return self._short(super()._proc_sparse, archive)  # type: ignore[misc]

    def _proc_gnusparse_10(self, following: Any, pax_headers: Any, archive: Any) -> None:
        self._short(super()._proc_gnusparse_10, following, pax_headers, archive)  # type: ignore[misc]

    @staticmethod
    def _short(read: Callable[..., Any], *args: Any) -> Any:
        """Read the map of a sparse file from the archive, the last of `args`; it may be packed to almost nothing."""
        archive, stream = args[-1], args[-1].fileobj
        too_long = tarfile.ReadError(f"a sparse file whose map has more than {MAX_MAP} bytes")
        archive.fileobj = _Bounded(stream, MAX_MAP, too_long)
        try:
            return read(*args)
        finally:
            archive.fileobj = stream

    @staticmethod
    def _whole(read: Callable[[Any], Any], archive: object) -> Any:
        try:
            return read(archive)
        except _END:
            raise  # the mark of the end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("it ends without its end mark" if "empty" in str(error) else str(error)) from None


class _Bounded:
    """A stream that ends with an error when more comes out of it than is allowed."""

    def __init__(self, stream: IO[bytes], left: float, error: Exception) -> None:
        self.stream, self.left, self.error, self.tell = stream, left, error, stream.tell

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise self.error
        return data


def too_much(path: Path, max_gigabytes: float) -> UserError:
    """The error for an archive that is over the limit."""
    return UserError(f"{path} is over `ingest.max_gigabytes` = {max_gigabytes:g} unpacked; raise it if that is right")


def is_tar(path: Path) -> bool:
    """Whether the file begins as a tar does, after unpacking."""
    with path.open("rb") as file:
        start = file.read(8)
    packed = _opener(start) is not None
    try:
        with _open(path) as stream:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except _END:
        return True
    except tarfile.HeaderError:
        return packed and start[:1] != b"\x5d"
    except (*_DAMAGED, OSError):
        return packed
    return True


def members(
    path: Path, max_gigabytes: float
) -> Iterator[tuple[tarfile.TarInfo, Callable[[], IO[bytes] | None] | None]]:
    """The members that are no folders, each with how to read it; None for what is no regular file.

    Raises:
        UserError: it is damaged, or over `max_gigabytes`.
    """
    try:
        with ExitStack() as stack:
            packed, most = stack.enter_context(_open(path)), max_gigabytes * 1e9 + 1e6
            stream = cast("IO[bytes]", _Bounded(packed, most, too_much(path, max_gigabytes)))
            archive = stack.enter_context(
                tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header, encoding="utf-8", errors="surrogateescape")
            )
            for item in archive:
                if not item.isdir():
                    yield item, (lambda i=item: archive.extractfile(i)) if item.isreg() else None  # type: ignore[misc]
                cast("Any", archive).members = []  # it would keep every header
            _check_end(cast("Any", archive).fileobj)
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path, error) from None  # bz2's way to say that the data is wrong


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is damaged ({str(error)[:200]}), so pictures may be missing; fetch it again")


def _check_end(stream: IO[bytes]) -> None:
    """Two blocks of zeros end a tar; one was read. Reading on to the end has the checksum of the packing checked."""
    second = stream.read(tarfile.BLOCKSIZE)
    if len(second) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends within its end mark")
    rest = second
    while rest:
        if any(rest):
            raise tarfile.ReadError("there is more behind its end")
        rest = stream.read(1 << 16)


def _opener(start: bytes) -> Callable[..., Any] | None:
    return next((opener for magic, opener in _PACKED.items() if start.startswith(magic)), None)


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        opener = _opener(file.read(8))
    return cast("IO[bytes]", opener(path)) if opener else path.open("rb")
