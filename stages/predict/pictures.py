"""The pictures that are asked for: files, folders, lists, standard input; decoded under limits, as `clean` does."""

from __future__ import annotations

import codecs
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.clean import decode, describe, isolate
from stages.core import children
from stages.core.errors import UserError
from stages.train.pixels import square

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from stages.clean.decode import Refused
    from stages.clean.params import Clean
    from stages.train.sections import Resize


def paths(asked: Sequence[str]) -> list[str]:
    """Every file that is asked for, once, in the order asked; a folder gives all files below it, sorted.

    Args:
        asked: files and folders; `@list.txt` names a file with one path on each line, or with NUL between the paths
            (`find -print0`); `-` is such a list on standard input. Hidden files of a folder are left out.

    Raises:
        UserError: a file or folder is not there, or there is no picture at all.
    """
    found: dict[str, None] = {}
    for name in asked:
        if name == "-":
            found |= dict.fromkeys(_lines(sys.stdin.buffer.read(), "standard input"))
        elif name.startswith("@") and not Path(name).exists():
            found |= dict.fromkeys(_lines(_read(Path(name[1:])), name[1:]))
        elif Path(name).is_dir():
            found |= dict.fromkeys(_below(Path(name)))
        elif os.path.lexists(name):
            found[name] = None
        else:
            raise UserError(
                f"{name} is not there; name one picture, a folder, @list.txt or - for a list on standard input"
            )
    if not found:
        raise UserError(f"there is no file in {', '.join(asked)}")
    return list(found)


def decoded(
    sources: Sequence[Path] | Sequence[bytes],
    size: int,
    resize: Resize,
    clean: Clean,
    workers: int,
    kept: list[Any] | None = None,
) -> Iterator[NDArray[np.uint8] | Refused]:
    """Decode files, or the bytes of files, in worker processes under the limits of `clean`; yields them in order.

    `kept` is that of `isolate.each`.
    """
    work = functools.partial(_one, size=size, resize=resize, clean=clean)
    limits = {"seconds": clean.seconds, "gigabytes": clean.gigabytes}
    children.short_sockets()
    yield from isolate.each(work, sources, workers=workers, kept=kept, **limits)


def _one(source: Path | bytes, size: int, resize: Resize, clean: Clean) -> NDArray[np.uint8]:
    """In a worker process: decode a picture as `clean` does, resize it as `train` does."""
    data = source if isinstance(source, bytes) else describe.read(str(source))
    return np.asarray(square(decode.decode(data, clean).image, size, resize))


def _below(folder: Path) -> Iterator[str]:
    """All files of a folder that are not hidden, sorted; then the folders that cannot be listed, to be named."""
    closed: list[str] = []
    for root, folders, names in os.walk(folder, onerror=lambda error: closed.append(str(error.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield str(Path(root) / name)
    yield from closed


def _read(path: Path) -> bytes:
    """The bytes of a list of paths."""
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise UserError(f"@{path} is a folder; name it without the @, which stands before a list of paths") from None
    except FileNotFoundError:
        raise UserError(f"the list {path} is not there") from None


def _lines(data: bytes, name: str) -> list[str]:
    """The paths of a list; `name` is what an error calls the list. Names of files need not be UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"the list {name} is UTF-16; save it as UTF-8, with one path on each line")
    text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    every = text.split("\0") if "\0" in text else [line.removesuffix("\r") for line in text.split("\n")]
    lines = [line for line in every if line.strip()]
    if not lines:
        raise UserError(f"{name} names no picture; it should hold one path on each line")
    return lines
