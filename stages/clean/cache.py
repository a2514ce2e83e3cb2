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
_ASKED_AT_ONCE = 500  # SQLite limits the variables of a statement


def key(*parts: object) -> bytes:
    """A key from everything that the result depends on."""
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


class Cache:
    """Keys to bytes; a temporary file takes its place, with a warning, where the file cannot be used."""

    def __init__(self, file: Path | None) -> None:
        try:
            self._base = self._open(file)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.DatabaseError) and file is not None:
                file.unlink(missing_ok=True)  # it is damaged, and can be made again
            say(f"{file} cannot be used ({error}): everything is worked out anew")
            self._base = self._open(None)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that are known."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            part = list(keys[start : start + _ASKED_AT_ONCE])
            marks = ",".join("?" * len(part))
            found.update(self._base.execute(f"SELECT key, value FROM {_TABLE} WHERE key IN ({marks})", part))  # noqa: S608
        return found

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember values in one transaction, so that an interrupted run goes on where it was."""
        with contextlib.suppress(sqlite3.OperationalError), self._base:  # a full disk costs the memory, not the run
            self._base.executemany(f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?)", items)  # noqa: S608

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    @staticmethod
    def _open(file: Path | None) -> sqlite3.Connection:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        base = sqlite3.connect(file or "", timeout=30)  # "": a temporary file
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=NORMAL")
        base.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} (key BLOB PRIMARY KEY, value BLOB)")
        return base
