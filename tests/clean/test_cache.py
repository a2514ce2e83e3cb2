"""What is remembered is found again, also after an interruption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stages.clean import isolate
from stages.clean.cache import Cache
from stages.clean.decode import Refused
from stages.clean.describe import Print

from .conftest import Raw, photo

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = Print("ab", "c", 30, 20, 999, ".jpg", 2**63 + 1, tuple(range(64)), 12.345, "animated", "first\tof 2\nframes")


def test_a_print_comes_back_as_it_was() -> None:
    assert Print.unpacked(KNOWN.packed()) == KNOWN
    refused = Print("ab", reason="unreadable", detail="no")
    assert Print.unpacked(refused.packed()) == refused


def test_two_runs_share_a_file(tmp_path: Path) -> None:
    one, other = Cache(tmp_path / "c.sqlite"), Cache(tmp_path / "c.sqlite")
    one.put([(b"a", b"1")])
    assert other.get([b"a", b"b"]) == {b"a": b"1"}
    one.close()
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
        assert not items, "described again"
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
