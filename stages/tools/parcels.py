"""Files that travel between machines: packed in parts, unpacked only below the folder that they are meant for.

The standard library alone: a node of a cluster runs this before it has any other code of ours.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Files = dict[str, bytes]  # path below a folder -> content

PART = 64 * 2**20  # bytes of files after which a part ends; a larger file is a part of its own


def pack(folder: Path, names: Iterable[str], part: int = PART) -> Iterator[Files]:
    """The files of these names, and those in the folders of these names, without the bytecode of Python.

    Args:
        folder: the names stand for what is below it.
        names: of files and folders; one that is not there is left out.
        part: bytes after which a part ends.

    Raises:
        ValueError: a name leads out of the folder.
    """
    packed: Files = {}
    size = 0
    for path in (file for name in names for file in _files(inside(folder, name))):
        content = path.read_bytes()
        if packed and size + len(content) > part:
            yield packed
            packed, size = {}, 0
        packed[path.relative_to(folder).as_posix()] = content
        size += len(content)
    if packed:
        yield packed


def unpack(folder: Path, packed: Files) -> None:
    """Write files below a folder, each whole or not at all.

    Raises:
        ValueError: a name leads out of the folder.
    """
    targets = {inside(folder, name): content for name, content in packed.items()}
    for target, content in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".partial-{os.getpid()}-{target.name[:80]}")
        try:
            partial.write_bytes(content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def inside(folder: Path, name: str) -> Path:
    """The place of a name below a folder.

    Raises:
        ValueError: it leads out of the folder, or is the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"the path {name!r} leads out of the folder")
    return folder / path


def digest(folder: Path, name: str) -> str:
    """One digest of a file, or of the files of a folder and their names."""
    whole = hashlib.sha256()
    for path in _files(inside(folder, name)):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\0".encode())
    return whole.hexdigest()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.exists() else []
    found = (Path(top, name) for top, _, names in os.walk(path) for name in names)
    return sorted(file for file in found if "__pycache__" not in file.relative_to(path).parts)
