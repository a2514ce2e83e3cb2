"""What is remembered is found again, also after an interruption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stages.clean import cache
from stages.clean.cache import Cache
from stages.clean.fingerprint import Fingerprint

from .conftest import Raw, photo

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = Fingerprint("ab", "c", 30, 20, 999, ".jpg", "0f", "", 12.345, "animated", "first\tof 2 frames")


def test_a_fingerprint_comes_back_as_it_was() -> None:
    assert Fingerprint.unpacked(KNOWN.packed()) == KNOWN
    refused = Fingerprint("ab", reason="unreadable", detail="no")
    assert Fingerprint.unpacked(refused.packed()) == refused


def test_what_waits_is_known_and_written_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Cache(tmp_path / "c.sqlite"), Cache(tmp_path / "c.sqlite")
    one.put([(b"a", [1])])
    assert one.get([b"a", b"b"]) == {b"a": [1]}
    assert other.get([b"a"]) == {}
    monkeypatch.setattr(cache, "_EVERY", -1)
    one.put([(b"b", "x")])
    assert other.get([b"a", b"b"]) == {b"a": [1], b"b": "x"}
    other.close()
    one.close()


def test_an_interruption_loses_nothing(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    raw.cache = raw.root / ".cache/clean.sqlite"
    raw.add("a/1.png", photo(1))
    with monkeypatch.context() as patch:
        patch.setattr("stages.clean.run.decide", interrupt)
        with pytest.raises(KeyboardInterrupt):
            raw.run()
    monkeypatch.setattr("stages.clean.thumbs.Reader.pixels", lambda *_: pytest.fail("decoded again"))
    assert raw.run().entries[0].status == "kept"
