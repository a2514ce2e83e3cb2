"""What is remembered is found again, also after an interruption."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from stages.clean import decode, isolate
from stages.clean.decode import Refused
from stages.clean.describe import Job, Print
from stages.clean.params import Clean
from stages.clean.pictures import Cache, Pictures

from .conftest import Raw, photo

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = Print("ab", "c", 30, 20, 999, ".jpg", 2**63 + 1, bytes(range(64)), 12.345, "animated", "first\tof 2\nframes")


def test_a_print_comes_back_as_it_was() -> None:
    assert Print.unpacked(KNOWN.packed()) == KNOWN
    refused = Print("ab", reason="unreadable", detail="no")
    assert Print.unpacked(refused.packed()) == refused


def test_two_runs_share_a_file(tmp_path: Path) -> None:
    one, other = Cache(tmp_path / "c.sqlite"), Cache(tmp_path / "c.sqlite")
    one.put(b"a", b"1")
    one.close()
    assert other.get([b"a", b"b"]) == {b"a": b"1"}
    other.close()


def test_a_broken_cache_is_started_anew(raw: Raw) -> None:
    raw.cache = raw.root / "clean.sqlite"
    raw.cache.write_bytes(b"no database" * 100)
    raw.add("a/1.png", photo(1))
    raw.run()
    assert raw.ledger()["a/1.png"]["status"] == "kept"


def test_an_interruption_loses_no_print(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def idle(_function: object, items: list[object], **_: object) -> list[object]:
        assert not list(items), "described again"
        return []

    raw.cache = raw.root / ".cache/clean.sqlite"
    raw.add("a/1.png", photo(1, 200, 150))
    with monkeypatch.context() as patch:
        patch.setattr("stages.clean.run.decide", interrupt)
        with pytest.raises(KeyboardInterrupt):
            raw.run()
    monkeypatch.setattr(isolate, "each", idle)
    assert raw.run().entries[0].status == "kept"


def test_a_limit_of_this_machine_is_not_remembered(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    raw.cache = raw.root / ".cache/clean.sqlite"
    raw.add("a/1.png", photo(1))
    raw.add("a/2.png", photo(2))
    with monkeypatch.context() as patch:
        slow = Refused("unreadable", "took longer than 60 s (clean.seconds)")
        patch.setattr(isolate, "each", lambda _f, items, **_: [slow for _ in items])
        with pytest.raises(Exception, match="none of 2 files"):
            raw.run()
    raw.run()
    assert {row["status"] for row in raw.ledger().values()} == {"kept"}


@pytest.mark.parametrize("part", [0.3, 0.7])
def test_damaged_pages_cost_what_was_remembered_alone(part: float, raw: Raw) -> None:
    raw.cache = raw.root / "clean.sqlite"
    for k in range(60):
        raw.add(f"a/{k}.png", photo(k, 100, 80))
    raw.run()
    before = raw.ledger()
    data = bytearray(raw.cache.read_bytes())
    start = int(len(data) * part) // 4096 * 4096
    data[start : start + 20 * 4096] = os.urandom(len(data[start : start + 20 * 4096]))
    raw.cache.write_bytes(data)
    raw.run()
    assert raw.ledger() == before


def test_a_value_that_changed_on_disk_is_not_known(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    cache = Cache(file)
    cache.put(b"a", b"value" * 9)
    cache.put(b"b", b"other" * 9)
    cache.close()
    with contextlib.closing(sqlite3.connect(file)) as base, base:
        (value,) = base.execute("SELECT value FROM prints WHERE key = ?", (b"a",)).fetchone()
        base.execute("UPDATE prints SET value = ? WHERE key = ?", (value.replace(b"value", b"Value", 1), b"a"))
        base.execute("INSERT INTO prints VALUES (?, ?)", (b"c", "a text"))
    assert Cache(file).get([b"a", b"b", b"c"]) == {b"b": b"other" * 9}


def test_what_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c.sqlite")
    (tmp_path / "c.sqlite").write_bytes(os.urandom(20_000))
    (tmp_path / "c.sqlite-wal").unlink()
    for k in range(1024):
        cache.put(k.to_bytes(5), bytes(500))
    assert len(cache.get([k.to_bytes(5) for k in range(1024)])) >= 1


def test_a_cache_that_another_run_has_locked_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.clean.pictures._PATIENCE", 0.05)
    file = tmp_path / "c.sqlite"
    first = Cache(file)
    first.put(b"a", b"1")
    first.close()
    other = sqlite3.connect(file)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    blocked = Cache(file)
    assert not blocked.get([b"a"])
    blocked.put(b"b", b"2")
    blocked.close()
    other.rollback()
    other.close()
    assert Cache(file).get([b"a", b"b"]) == {b"a": b"1"}


def test_one_thread_at_a_time_has_whole_pictures(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a thumbnail that was forgotten is decoded again; each counts once in the memory that is left."""
    files = [raw.add(f"a/{k}.png", photo(k, 200, 150)) for k in range(4)]
    pictures = Pictures([Job(str(file)) for file in files], Clean(workers=1), None)
    expected = [pictures.thumb(k).copy() for k in range(4)]
    room = pictures._room
    pictures._room += sum(thumb.nbytes for thumb in expected)
    pictures._thumbs.clear()
    decoded: list[float] = []
    real = decode.decode

    def slow(*arguments: Any) -> decode.Picture:
        decoded.append(time.monotonic())
        time.sleep(0.01)
        return real(*arguments)

    def prove(k: int) -> tuple[float, float]:
        with pictures.whole(k, (k + 1) % 4):
            start = time.monotonic()
            time.sleep(0.02)
            return start, time.monotonic()

    monkeypatch.setattr(decode, "decode", slow)
    with ThreadPoolExecutor(8) as threads:
        proofs = [threads.submit(prove, k) for k in range(4)]
        thumbs = [threads.submit(pictures.thumb, k % 4) for k in range(12)]
    blocks = sorted(proof.result() for proof in proofs)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(blocks))
    assert not [at for at in decoded for start, end in blocks if start <= at < end]
    assert all((thumb.result() == expected[k % 4]).all() for k, thumb in enumerate(thumbs))
    assert pictures._room == room
