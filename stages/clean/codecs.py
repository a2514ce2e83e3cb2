"""What codecs write to stderr, by themselves and without the name of a file."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LISTENING = threading.RLock()  # a process has one stderr


@contextlib.contextmanager
def overheard() -> Iterator[Callable[[], str]]:
    """Take what is written to stderr below Python; gives a function that returns what came since its last call."""
    with _LISTENING:
        paper, stderr = _paper(os.getpid()), os.dup(2)
        os.dup2(paper, 2)
        try:
            yield lambda: _read(paper)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            _read(paper)


@cache
def _paper(_process: int) -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())  # open for as long as the process lives


def _read(paper: int) -> str:
    length = os.lseek(paper, 0, os.SEEK_CUR)
    if not length:
        return ""
    text = os.pread(paper, 4096, 0).decode(errors="replace")
    os.ftruncate(paper, 0)
    os.lseek(paper, 0, os.SEEK_SET)
    return text
