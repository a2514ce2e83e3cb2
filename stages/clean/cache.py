"""What was worked out before, by content: a file seen once is not decoded again, whatever it is called now.

One SQLite file under `.cache/`, written several times a second, so that an interrupted run goes on where it was. It
holds nothing that cannot be worked out again; deleting it is safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.console import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FILE = Path(".cache/clean.sqlite")
_ASKED_AT_ONCE = 500  # SQLite limits the variables of a statement
_EVERY = 0.2  # seconds between two transactions: each costs as much as a hundred rows
_JSON = json.JSONEncoder(separators=(",", ":"))


def key(*parts: object) -> bytes:
    """A key from everything that the result depends on."""
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


class Cache:
    """Keys to JSON values; does without, with a warning, where the file cannot be used."""

    def __init__(self, file: Path | None) -> None:
        self._lock = threading.Lock()
        self._base = self._open(file) if file else None
        self._waiting: dict[bytes, str] = {}
        self._written = time.monotonic()

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
                rows += [(k, self._waiting[k]) for k in part if k in self._waiting]
            found.update((k, json.loads(v)) for k, v in rows)
        return found

    def put(self, items: Iterable[tuple[bytes, Any]]) -> None:
        """Remember values: on disk with the first call after a fifth of a second, or at the end."""
        if self._base is None:
            return
        rows = [(k, _JSON.encode(v)) for k, v in items]
        with self._lock:
            self._waiting.update(rows)
            if time.monotonic() - self._written > _EVERY:
                self._write(self._base)

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._base is not None:
            with self._lock:
                self._write(self._base)
            self._base.close()

    def _write(self, base: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error), base:  # a full disk costs the memory, not the run
            base.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", self._waiting.items())
        self._waiting.clear()
        self._written = time.monotonic()

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
