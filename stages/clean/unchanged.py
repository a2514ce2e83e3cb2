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
_NEVER = 1 << 63  # ns


def since() -> bool:
    """Whether the stage ended before with what it would read now, and what it made lies as it did then."""
    try:
        told = FILE.read_text()
    except OSError:
        return False
    now = time.time_ns()
    before = told and inputs(now)
    return bool(before) and _digest(MADE, (), before, now) == told


def remember(started: int) -> None:
    """Note that the stage has ended, unless something that it reads was touched after it began.

    Args:
        started: `time.time_ns()` when it began.
    """
    if after := inputs(started):
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(_digest(MADE, (), after, _NEVER))


def inputs(now: int) -> str:
    """A digest of what the stage reads and of its code and libraries.

    Empty where one of them was touched just before `now` (ns), or since then.
    """
    stages = Path(__file__).parent.parent
    code = [str(file) for name in ("clean", "core") for file in sorted((stages / name).glob("*.py"))]
    packages = [folder for folder in site.getsitepackages() if Path(folder).exists()]  # changes with an installation
    return _digest(READ, [*code, *packages], sys.version, now)


def _digest(trees: Iterable[str], more: Iterable[str], begin: str, now: int) -> str:
    """Facts of trees and of files; empty where one is missing, a link, or touched less than a tick before `now`."""
    told = [begin]
    try:
        facts = [(path, os.stat(path)) for path in [*trees, *more]]  # noqa: PTH116 - in half of the time
        facts += [one for tree in trees for one in _below(tree)]
    except OSError:
        return ""
    for path, fact in facts:
        touched, changed = fact.st_mtime_ns, fact.st_ctime_ns
        if touched > now - _TICK or changed > now - _TICK:
            return ""
        told.append(f"{path!r} {fact.st_ino} {fact.st_size} {touched} {changed}")
    return hashlib.sha256("\n".join(told).encode(errors="surrogateescape")).hexdigest()


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
