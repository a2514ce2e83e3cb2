"""What was worked out before, by content: a picture seen once is not decoded again, whatever it is called now.

One SQLite file under `.cache/`. It holds nothing that cannot be worked out again; deleting it is safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILE = Path(".cache/clean.sqlite")
_SUM = 8  # bytes before each value by which damage is noticed: SQLite has none
_PATIENCE = 30.0  # seconds to wait for another run
_AT_ONCE = 256  # values written in one transaction, and asked for in one question


class Cache:
    """Keys to bytes. A temporary file takes the place of one that cannot be used; one that is damaged is deleted."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._waiting: list[tuple[bytes, bytes]] = []
        try:
            self._base = _open(file)
        except (sqlite3.Error, OSError) as error:
            self._base = self._without(error)

    def get(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """The keys that are known, each with its value."""
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            try:
                rows = self._base.execute(f"SELECT key, value FROM prints WHERE key IN ({marks})", part).fetchall()  # noqa: S608
            except sqlite3.Error as error:
                self._base = self._without(error)
                return
            yield from ((key, value[_SUM:]) for key, value in rows if _is_whole(value))

    def put(self, key: bytes, value: bytes) -> None:
        """Remember a value: many in one transaction, so that an interrupted run goes on nearly where it was."""
        self._waiting.append((key, _sum(value) + value))
        if len(self._waiting) == _AT_ONCE:
            self._write()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._write()
        self._base.close()

    def _write(self) -> None:
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO prints VALUES (?, ?)", self._waiting)
        except sqlite3.OperationalError:
            pass  # a full disk costs the memory, not the run
        except sqlite3.Error as error:
            self._base = self._without(error)
        self._waiting.clear()

    def _without(self, error: Exception) -> sqlite3.Connection:
        """A temporary database, after an error; a file that is damaged, not merely locked or full, is deleted."""
        say(f"{self._file} cannot be used ({error}): everything is worked out anew")
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._base.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with contextlib.suppress(OSError):
                for end in ("", "-wal", "-shm"):
                    Path(f"{self._file}{end}").unlink(missing_ok=True)
        return _open(None)


def _open(file: Path | None) -> sqlite3.Connection:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(file or "", timeout=_PATIENCE)  # "": a temporary file
    try:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=NORMAL")
        base.execute("CREATE TABLE IF NOT EXISTS prints (key BLOB PRIMARY KEY, value BLOB)")
    except sqlite3.Error:
        base.close()
        raise
    return base


def _is_whole(value: object) -> bool:
    return isinstance(value, bytes) and value[:_SUM] == _sum(value[_SUM:])


def _sum(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()[:_SUM]
