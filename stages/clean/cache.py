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
    from collections.abc import Iterable, Sequence

FILE = Path(".cache/clean.sqlite")
_TABLE = "prints"
_SUM = 8  # bytes before each value by which damage is noticed: SQLite has none
_PATIENCE = 30.0  # seconds to wait for another run
_ASKED_AT_ONCE = 500  # SQLite limits the variables of a statement


def key(*parts: object) -> bytes:
    """A key from everything that the result depends on."""
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


class Cache:
    """Keys to bytes. A file that is damaged is made anew; a temporary one takes its place where none can be used."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        try:
            self._base = self._open(file)
        except (sqlite3.Error, OSError) as error:
            self._base = self._anew(error)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that are known."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            part = list(keys[start : start + _ASKED_AT_ONCE])
            marks = ",".join("?" * len(part))
            try:
                rows = self._base.execute(f"SELECT key, value FROM {_TABLE} WHERE key IN ({marks})", part).fetchall()  # noqa: S608
            except sqlite3.Error as error:
                self._base = self._anew(error)
                break
            found.update((name, value[_SUM:]) for name, value in rows if _is_whole(value))
        return found

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember values in one transaction, so that an interrupted run goes on where it was."""
        summed = [(name, _sum(value) + value) for name, value in items]
        try:
            with self._base:
                self._base.executemany(f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?)", summed)  # noqa: S608
        except sqlite3.OperationalError:
            pass  # a full disk costs the memory, not the run
        except sqlite3.Error as error:
            self._base = self._anew(error)

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def _anew(self, error: Exception) -> sqlite3.Connection:
        """Another database, after an error; one that is damaged, not merely locked or full, is deleted."""
        say(f"{self._file} cannot be used ({error}): everything is worked out anew")
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._base.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError) and self._file:
            with contextlib.suppress(sqlite3.Error, OSError):
                for end in ("", "-wal", "-shm"):
                    Path(f"{self._file}{end}").unlink(missing_ok=True)
                return self._open(self._file)
        return self._open(None)

    @staticmethod
    def _open(file: Path | None) -> sqlite3.Connection:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        base = sqlite3.connect(file or "", timeout=_PATIENCE)  # "": a temporary file
        try:
            base.execute("PRAGMA journal_mode=WAL")
            base.execute("PRAGMA synchronous=NORMAL")
            base.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} (key BLOB PRIMARY KEY, value BLOB)")
        except sqlite3.Error:
            base.close()
            raise
        return base


def _is_whole(value: object) -> bool:
    return isinstance(value, bytes) and value[:_SUM] == _sum(value[_SUM:])


def _sum(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()[:_SUM]
