"""A row of data/raw/manifest.csv, the names under which files are kept, and the labels that folders give."""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase, translate
from functools import cache
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from PIL import Image

from stages.core.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HIDDEN = "hidden"  # the reason code of files that operating systems and programs leave beside pictures
# Without a leading dot, which hides a name anyhow; in small letters, as `fnmatch` reads them.
SYSTEM = (
    # Windows, and what its programs leave
    "$recycle.bin", "$windows.~bt", "system volume information", "found.[0-9][0-9][0-9]", "thumbs.db*",
    "desktop.ini", "ehthumbs*.db", "iconcache*.db", "thumbcache*.db", "folder.ini", "picasa.ini", "~$*", "~*.tmp",
    # macOS, and what it writes to disks of others
    "__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder",
    # Linux, NAS and cloud
    "lost+found", "@eadir", "@tmp", "@recycle", "@recently-snapshot", "@snapshot*", "@gmt-*", "@sharebin", "@transcode",
    "#recycle", "#snapshot",
    "~snapshot", "_gsdata_",
    "*@synoeastream", "*@synoresource", "*.tmp.drivedownload", "*.tmp.driveupload", "__pycache__",
    # Lightroom's previews
    "*.lrdata", "*.lrcat-data",
)  # fmt: skip
_IS_SYSTEM = re.compile("|".join(map(translate, SYSTEM)))
# DVC leaves out files and folders of these names, at any depth, or reads them as its own pipelines.
TAKEN_BY_DVC = {".dvcignore", ".git", ".hg", "dvc.yaml", "dvc.lock"}  # and whatever ends in .dvc
_NO_PICTURES = {"PDF", "EPS", "MPEG", "HDF5", "GRIB", "BUFR", "FITS", "WMF"}  # Pillow knows how these are named
LONGEST_NAME, LONGEST_PATH = 255, 1024  # bytes; what file systems hold, and what leaves room for the folders above


@dataclass(frozen=True)
class Entry:
    """One entry of the source.

    Attributes:
        path: relative to the source; bytes that are not UTF-8 are written as backslash escapes.
        file: relative to data/raw; empty when it could not be brought in.
        label: empty when it has none.
        source: the kind of source.
        group: images with the same non-empty value must stay in one split.
        box: `x1 y1 x2 y2` in px, or empty for the whole image.
        problem: why it could not be brought in, as a reason code; empty when it could.
    """

    path: str
    file: str
    label: str
    source: str
    group: str = ""
    box: str = ""
    problem: str = ""


COLUMNS = [field.name for field in fields(Entry)]  # of the manifest


class Names:
    """Gives each path of a source one that can be written: as it is where possible, else escaped; never two alike."""

    def __init__(self) -> None:
        self._written: dict[str, str] = {}
        self._taken: dict[str, int] = {}
        self._files: dict[str, int] = {}

    def __call__(self, path: str) -> str:
        """The path under which to write `path`; the same for the same path."""
        whole = written = ""
        for part in path.split("/"):
            whole += f"/{part}"
            if whole not in self._written:
                self._written[whole] = _free(f"{written}/{_writable(part)}", self._taken, str)
            written = self._written[whole]
        return written[1:]

    def file(self, name: str) -> str:
        """Where to write the file of that name: A.png and a.png, or two forms of an accent, are one file for macOS."""
        return _free(name, self._files, _folded)


def _free(path: str, taken: dict[str, int], key: Callable[[str], str]) -> str:
    """The path, or the first of `a~2.png`, `a~3.png` ... whose key is not taken; it is taken then.

    `taken` has the last number that was tried for a key, so that many names of one key are not tried from 2 again.
    """
    suffix = PurePosixPath(path).suffix
    free, own = path, key(path)
    while key(free) in taken:
        taken[own] += 1
        free = f"{path.removesuffix(suffix)}~{taken[own]}{suffix}"
    taken[key(free)] = 1
    return free


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def printable(text: str) -> str:
    """The text as UTF-8 can hold it (a name from disk may be any bytes), and of a giant one the beginning."""
    text = _escaped(text)
    if len(text) <= LONGEST_PATH:
        return text
    return f"{text[:100]}... ({len(text)} characters, SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:16]})"


def too_long(path: str) -> bool:
    """Whether a file system, or DVC, could not hold the path."""
    encoded = path.encode("utf-8", "surrogateescape")
    return len(encoded) > LONGEST_PATH or any(len(part) > LONGEST_NAME for part in encoded.split(b"/"))


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _writable(name: str) -> str:
    text = _escaped(name)
    if text.casefold() in TAKEN_BY_DVC or text.casefold().endswith(".dvc"):
        text = f"{text[:-1]}\\x{ord(text[-1]):02x}"
    if len(text.encode()) > LONGEST_NAME - 5:  # escapes are longer than what they stand for; `~99` may follow
        if text == name and len(text.encode()) <= LONGEST_NAME:
            return text
        suffix = PurePosixPath(text).suffix[:10]
        text = f"{text.encode()[:200].decode(errors='ignore')}~{hashlib.sha256(text.encode()).hexdigest()[:16]}{suffix}"
    return text


def is_picture(path: str) -> bool:
    """Whether the path ends as that of a picture does."""
    return PurePosixPath(path).suffix.lower() in _suffixes()


@cache
def _suffixes() -> set[str]:
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind not in _NO_PICTURES}
    return known | {".heic", ".heif", ".hif"}  # a plug-in that `clean` loads


def named(paths: Iterable[str], table: str) -> set[str]:
    """The paths that `ingest.table.file` means: the path itself, else a pattern of `*`, else one of a shell."""
    every, asked = list(paths), posixpath.normpath(table) if table else ""
    starred = re.sub(r"[\[?]", r"[\g<0>]", asked)
    found = {path for path in every if path == asked} or {path for path in every if fnmatchcase(path, starred)}
    return found or {path for path in every if fnmatchcase(path, asked)}


def plain(path: str) -> str:
    """A path with `/` between folders, without `.` and empty parts."""
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in {"", "."})


def hidden_part(path: str) -> str:
    """The name in a path that is hidden, or left by an operating system, a NAS or a program; empty where none is."""
    return next((part for part in path.split("/") if part.startswith(".") or _IS_SYSTEM.match(part.casefold())), "")


def is_hidden(path: str) -> bool:
    """Whether the file, or a folder above it, has the name of a hidden or system file."""
    return bool(hidden_part(path))


def draw(paths: list[str], fraction: float, table: str = "") -> list[str]:
    """A `fraction` of the files of every folder, at least one each; the same names give the same draw everywhere.

    Args:
        paths: relative to the source, sorted.
        fraction: above 0, up to 1 (all).
        table: what names the labels is drawn always; `*` stands for anything.

    Returns:
        The drawn paths, sorted.
    """
    if fraction == 1:
        return paths
    drawn = sorted(named(paths, table))
    paths = sorted(set(paths) - set(drawn))
    by_folder = sorted((str(PurePosixPath(path).parent), path) for path in paths)
    for folder, pairs in groupby(by_folder, key=lambda pair: pair[0]):
        files = [path for _, path in pairs]
        # Named by the folder, so that other folders of the source do not change the draw.
        order = generator(0, f"ingest {_escaped(folder)}").permutation(len(files))
        drawn += [files[i] for i in order[: max(1, round(fraction * len(files)))]]
    return sorted(drawn)
