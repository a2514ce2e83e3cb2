"""What lies in a folder or an archive: names alone, so that tens of thousands of files are listed in a second."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from stages.core import console
from stages.core.errors import UserError
from stages.core.seeding import generator
from stages.ingest import archive
from stages.ingest.entry import is_hidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tqdm import tqdm

PICTURES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif", ".jp2",
    ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif",
}  # fmt: skip
TABLES = {".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json"}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
PACKED = (".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")  # which are not read
_TELLING = (".txt", ".xml", ".xlsx", ".xls", ".ods", ".mat", ".npy", ".npz", ".pkl", ".h5", ".hdf5", ".arrow",
            ".tfrecord", ".db", ".lmdb", *ARCHIVES, *PACKED)  # fmt: skip
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # of files whose name does not tell
_GIGABYTES = 50.0  # as `ingest.max_gigabytes`
_LARGE = 200_000_000  # bytes; a larger file is not read here
_UNPACKED, _TABLES = 1_000_000_000, 100  # bytes and tables of an archive that are unpacked at most


@dataclass(frozen=True)
class Listing:
    """The names of what was found.

    Attributes:
        root: the folder or the archive.
        pictures: paths relative to it, sorted.
        tables: the same of files that may be a table.
        sizes: bytes of each picture.
        others: how many files are neither.
        rest: those of them that may hold labels or pictures in another form.
        hidden: how many files are hidden or left by a system.
        links: links that lead to a folder, to nothing, or out of the folder; the study leaves them out.
        closed: folders that this user may not read.
        unpacked: tables of an archive -> where they were unpacked to.
    """

    root: Path
    pictures: list[str]
    tables: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    others: int = 0
    hidden: int = 0
    links: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    unpacked: dict[str, Path] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def table(self, name: str) -> Path:
        """Where a table can be read."""
        return self.unpacked.get(name, self.root / name)

    def head(self, name: str) -> bytes:
        """The first bytes of a file that lies in a folder; none of an archive's member."""
        if self.is_archive:
            return b""
        try:
            with (self.root / name).open("rb") as file:
                return file.read(4096)
        except OSError:
            return b""

    @property
    def is_archive(self) -> bool:
        """Whether the names are those of an archive."""
        return self.root.is_file()


def is_archive(path: Path) -> bool:
    """Whether the file is named like an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def look(root: Path) -> Listing:
    """List a folder or an archive.

    Raises:
        UserError: it is neither, or it cannot be read.
    """
    if root.is_dir():
        return _folder(root)
    return _archive(root)


def _folder(root: Path) -> Listing:
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError(f"{root} may not be read by this user; give yourself the right to it, or copy the pictures")
    found, home = Listing(root, []), root.resolve()
    hidden = others = 0

    def refuse(error: OSError) -> None:
        found.closed.append(os.path.relpath(error.filename, root))

    bar: tqdm[str]
    with console.progress(desc="looking", unit=" files") as bar:
        for folder, subfolders, names in os.walk(root, onerror=refuse):
            inside = "" if folder == str(root) else f"{os.path.relpath(folder, root)}/"
            found.links.extend(inside + name for name in subfolders if Path(folder, name).is_symlink())
            for name in names:
                bar.update()
                path, place = inside + name, Path(folder, name)
                if is_hidden(path):
                    hidden += 1
                elif place.is_symlink() and not _leads_inside(place, home):
                    found.links.append(path)
                else:
                    others += not _take(found, path, place)
    found.pictures.sort()
    found.tables.sort()
    found.links.sort()
    found.rest.sort()
    return replace(found, others=others, hidden=hidden)


def _leads_inside(link: Path, home: Path) -> bool:
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # it leads to itself
        return False
    return target.is_file() and target.is_relative_to(home)


def _take(found: Listing, path: str, place: Path) -> bool:
    if not os.path.isfile(place):  # noqa: PTH113 - which raises nothing; a pipe would hang whoever reads it
        return False
    suffix = place.suffix.lower()
    if suffix in TABLES:
        found.tables.append(path)
    elif place.name.lower().endswith(_TELLING):
        found.rest.append(path)
    elif suffix in PICTURES or _begins_like_a_picture(place):
        found.pictures.append(path)
        found.sizes[path] = place.stat().st_size
    return suffix in TABLES or path in found.sizes


def _begins_like_a_picture(place: Path) -> bool:
    try:
        with place.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EIO):
            raise
        return False
    return head.startswith(_BEGINNINGS) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def _archive(root: Path) -> Listing:
    """The members, under the names that the stage `ingest` gives them; tables are unpacked to be read."""
    found = Listing(root, [])
    place = Path(tempfile.mkdtemp(prefix="evenhand-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    others = hidden = 0
    room = _UNPACKED
    for member in _members(root):
        path, suffix = member.path, PurePosixPath(member.path).suffix.lower()
        if is_hidden(path):
            hidden += 1
        elif suffix in PICTURES and path not in found.sizes:
            found.pictures.append(path)
            found.sizes[path] = member.size
        elif (
            suffix in TABLES
            and member.open
            and member.size <= min(_LARGE, room)
            and len(found.unpacked) < _TABLES
            and path not in found.unpacked
        ):
            room -= member.size
            found.unpacked[path] = place / f"{len(found.unpacked)}{suffix}"
            with contextlib.suppress(*archive.DAMAGED, RuntimeError, NotImplementedError):
                found.unpacked[path].write_bytes(_bytes(member))
                found.tables.append(path)
        else:
            others += 1
            found.rest.extend([path] * path.lower().endswith(_TELLING))
    return replace(found, pictures=sorted(found.pictures), tables=sorted(found.tables), others=others, hidden=hidden)


def _members(root: Path) -> Iterator[archive.Member]:
    """The members that are no folders.

    Raises:
        UserError: the archive is damaged, or it is none.
    """
    try:
        yield from archive.members(root, _GIGABYTES)
    except OSError as error:
        raise UserError(
            f"{root} cannot be read ({error}); name the folder of pictures, or fetch the archive again"
        ) from None


def _bytes(member: archive.Member) -> bytes:
    stream = member.open() if member.open else None
    return stream.read() if stream else b""


def sample(listing: Listing, most: int) -> list[str]:
    """Some of the pictures, the same ones every time; all, if there are not more than `most`."""
    count = len(listing.pictures)
    if count <= most:
        return listing.pictures
    chosen = sorted(generator(0, "look").permutation(count)[:most])
    return [listing.pictures[i] for i in chosen]


def read(listing: Listing, paths: list[str]) -> Iterator[tuple[str, bytes]]:
    """The bytes of some pictures; of a file that cannot be read, none."""
    wanted = {path for path in paths if listing.sizes[path] <= _LARGE}
    if not listing.is_archive:
        for path in paths:
            try:
                yield path, (listing.root / path).read_bytes() if path in wanted else b""
            except OSError:
                yield path, b""
    else:
        for member in _members(listing.root):
            if (path := member.path) in wanted:
                wanted.remove(path)
                try:
                    yield path, _bytes(member)
                except (*archive.DAMAGED, OSError, RuntimeError, NotImplementedError):  # damaged, or with a password
                    yield path, b""
