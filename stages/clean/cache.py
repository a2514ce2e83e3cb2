"""What was worked out before, by content: a file seen once is not decoded again, whatever it is called now.

One SQLite file under `.cache/`, written as the work goes on, so that an interrupted run goes on where it was. It
holds nothing that cannot be worked out again; deleting it is safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.console import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FILE = Path(".cache/clean.sqlite")
_ASKED_AT_ONCE = 500  # SQLite limits the variables of a statement
_JSON = json.JSONEncoder(separators=(",", ":"))


def key(*parts: object) -> bytes:
    """A key from everything that the result depends on."""
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


class Cache:
    """Keys to JSON values; does without, with a warning, where the file cannot be used."""

    def __init__(self, file: Path | None) -> None:
        self._lock = threading.Lock()
        self._base = self._open(file) if file else None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """The values that are known."""
        found: dict[bytes, Any] = {}
        if self._base is None:
            return found
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            part = list(keys[start : start + _ASKED_AT_ONCE])
            marks = ",".join("?" * len(part))
            with self._lock:
                rows = self._base.execute(f"SELECT key, value FROM known WHERE key IN ({marks})", part).fetchall()  # noqa: S608
            found.update((k, json.loads(v)) for k, v in rows)
        return found

    def put(self, items: Iterable[tuple[bytes, Any]]) -> None:
        """Remember values, safely on disk when this returns."""
        rows = [(k, _JSON.encode(v)) for k, v in items]
        if self._base is None or not rows:
            return
        with self._lock, contextlib.suppress(sqlite3.Error), self._base:  # a full disk costs the memory, not the run
            self._base.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        if self._base is not None:
            self._base.close()

    @staticmethod
    def _open(file: Path) -> sqlite3.Connection | None:
        for attempt in range(2):
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                base = sqlite3.connect(file, timeout=30, check_same_thread=False)
                base.execute("PRAGMA journal_mode=WAL")
                base.execute("PRAGMA synchronous=NORMAL")
                base.execute("PRAGMA wal_autocheckpoint=20000")  # pages
                base.execute("CREATE TABLE IF NOT EXISTS known (key BLOB PRIMARY KEY, value TEXT)")
            except sqlite3.DatabaseError as error:
                if attempt == 0 and "not a database" in str(error):
                    file.unlink(missing_ok=True)
                    continue
                say(f"{file} cannot be used ({error}): everything is worked out anew")
                return None
            except OSError as error:
                say(f"{file} cannot be used ({error.strerror}): everything is worked out anew")
                return None
            else:
                return base
        return None
