"""Whether there is anything to do: not where the stage ended before and nothing that it reads, is or made was touched.

By what the file system says of each file (inode, size, times), as make, git and DVC do it. It loads nothing beyond the
standard library: a run with nothing new must not pay for the start of the libraries.
"""

from __future__ import annotations

import hashlib
import os
import site
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE = Path(".cache/clean.unchanged")
READ = ("params.yaml", "data/raw")
MADE = ("data/clean", "reports/clean")
_TICK = 20_000_000  # ns; a file touched less than this before the look may change again and keep its times


def inputs() -> str:
    """A digest of what the stage reads and of its code and libraries; empty where one of them was touched just now."""
    stages = Path(__file__).parent.parent
    code = [str(file) for name in ("clean", "core") for file in sorted((stages / name).glob("*.py"))]
    packages = [folder for folder in site.getsitepackages() if Path(folder).exists()]  # changes with an installation
    return _digest(READ, [*code, *packages], sys.version)


def since(before: str) -> bool:
    """Whether the stage ended before with the same inputs, and what it made lies as it did then.

    Args:
        before: of `inputs`.
    """
    made = before and _digest(MADE, (), before)
    try:
        return bool(made) and FILE.read_text() == made
    except OSError:
        return False


def remember(before: str) -> None:
    """Note that the stage has ended; `before` is what `inputs` gave when it began."""
    if before and inputs() == before:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(_digest(MADE, (), before, settled=False))


def _digest(trees: Iterable[str], more: Iterable[str], begin: str, *, settled: bool = True) -> str:
    """Facts of whole trees and of single files; empty where a file is missing, was touched just now, or is a link."""
    latest = time.time_ns() - _TICK if settled else sys.maxsize
    found = hashlib.sha256(begin.encode())
    try:
        facts = [(path, os.stat(path)) for path in [*trees, *more]]  # noqa: PTH116 - in half of the time
        facts += [one for tree in trees for one in _below(tree)]
        for path, fact in facts:
            if max(fact.st_mtime_ns, fact.st_ctime_ns) > latest:
                return ""
            told = path, fact.st_ino, fact.st_size, fact.st_mtime_ns, fact.st_ctime_ns
            found.update(repr(told).encode(errors="surrogateescape"))
    except OSError:
        return ""
    return found.hexdigest()


def _below(tree: str) -> Iterator[tuple[str, os.stat_result]]:
    """Everything in a folder; raises OSError at a link: what it leads to can change without it."""
    if not os.path.isdir(tree):  # noqa: PTH112
        return
    with os.scandir(tree) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise OSError
            yield entry.path, entry.stat()
            if entry.is_dir():
                yield from _below(entry.path)
