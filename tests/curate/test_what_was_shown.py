"""A decision is about what the page showed; what was decided before stays on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import curation, files
from tests.clean.conftest import Raw, photo
from tests.curate.tabs import client, decide, numbers, seen, stored, view

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi.testclient import TestClient


def another(root: Path) -> TestClient:
    """A server for the same data after one more row was brought in front: every number is another picture's."""
    ledger = root / "data/clean/ledger.csv"
    rows = files.read_rows(ledger)
    first = next(row for row in rows if row["path"] == "b/10.png")
    files.write_rows(ledger, list(first), [{**first, "path": "0/new.png", "sha256": 64 * "e"}, *rows])
    (root / "data/raw/manifest.csv").unlink()
    return client(root)


@pytest.mark.parametrize("decision", ["drop", "relabel", "keep", "", "not_same", "together"])
def test_a_stale_tab_decides_on_no_other_picture(root: Path, decision: str) -> None:
    tab = client(root)
    names = ["a/1.png", "a/2.png"] if decision in curation.PAIR else ["a/2.png"]
    shown = [{"names": names, "was": ""}]
    numbers_ = [seen(tab, name)["number"] for name in names]
    later = another(root)
    (before,) = [p for p in view(later)["findings"] if p["kind"] == "copies"]
    assert seen(later, "a/1.png")["number"] == seen(tab, "a/2.png")["number"], "the number is another picture's"
    decide(later, [seen(later, "a/1.png")["number"]], "drop")
    held = stored(root)
    answer = decide(later, numbers_, decision, value="new" if decision == "relabel" else "", shown=shown)
    assert answer.status_code == 409, before
    assert stored(root) == held
    right = [{"names": ["a/1.png"], "was": "drop"}]
    assert decide(later, [seen(later, "a/1.png")["number"]], "", shown=right).json() == {"done": True}
    assert stored(root) == []


def test_a_picture_is_kept_by_the_browser_under_what_it_is(root: Path) -> None:
    tab = client(root)
    one = seen(tab, "a/2.png")
    address = f"/picture/{one['number']}"
    answer = tab.get(address, params={"mark": one["mark"]})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, max-age=600")
    assert tab.get(address).headers["cache-control"] == "no-store"
    later = another(root)
    assert later.get(address, params={"mark": one["mark"]}).status_code == 404
    marks = [p["mark"] for f in view(later)["findings"] for p in f["pictures"]]
    assert len(set(marks)) == len({p["name"] for f in view(later)["findings"] for p in f["pictures"]})
    assert seen(later, "a/2.png")["mark"] == one["mark"]


def test_taking_nothing_back_is_no_step(root: Path) -> None:
    tab = client(root)
    of = numbers(tab)
    decide(tab, [of["a/1.png"]], "drop")
    tab.post("/api/undo", json={})
    assert decide(tab, [of["a/2.png"]], "", shown=[{"names": ["a/2.png"], "was": ""}]).json() == {"done": False}
    assert view(tab)["redo"] == 1
    assert tab.post("/api/redo", json={}).json() == {"done": True, "said": "a/1.png: drop"}
    assert decide(tab, [of["a/1.png"]], "").json() == {"done": True}
    assert tab.post("/api/undo", json={}).json() == {"done": True, "said": "taken back: a/1.png: drop"}


def test_what_an_editor_changed_is_not_undone_and_blocks_nothing(root: Path) -> None:
    tab = client(root)
    of = numbers(tab)
    decide(tab, [of["b/10.png"]], "drop")
    decide(tab, [of["a/1.png"]], "drop", reason="old")
    file = root / curation.FILE
    file.write_text(file.read_text().replace("old", "a better reason"))
    assert tab.post("/api/undo", json={}).status_code == 409
    assert tab.post("/api/undo", json={}).json() == {"done": True, "said": "b/10.png: drop"}
    assert stored(root) == [("a/1.png", "drop", "")]


@pytest.mark.parametrize(
    ("marked", "others", "pairs"),
    [
        ("xy", "zw", {"xz", "xw", "yz", "yw"}),
        ("x", "yzw", {"xy", "xz", "xw"}),
        ("xyz", "", {"xy", "xz", "yz"}),
        ("xy", "", {"xy"}),
    ],
)
def test_not_the_same_parts_the_marked_from_the_others(root: Path, marked: str, others: str, pairs: set[str]) -> None:
    tab = client(root)
    of = numbers(tab)
    names = dict(zip("xyzw", ["a/1.png", "a/3.png", "b/10.png", "a/wide.png"], strict=True))
    sent = [[of[names[letter]] for letter in letters] for letters in (marked, others)]
    shown = [{"names": [names[a], names[b]], "was": ""} for a, b in map(tuple, pairs)]
    assert decide(tab, sent[0], "not_same", others=sent[1], shown=shown).status_code == 200
    assert {(a, b) for a, _, b in stored(root)} == {tuple(sorted((names[a], names[b]))) for a, b in map(tuple, pairs)}
    assert tab.post("/api/undo", json={}).json()["done"]
    assert stored(root) == []


def test_what_clean_would_refuse_is_refused_in_words(root: Path) -> None:
    """A label is needed to keep, other bytes to part, and a picture that can be read for all but to drop."""
    ledger = root / "data/clean/ledger.csv"
    rows = files.read_rows(ledger)
    for row in rows:
        row["label"] = "" if row["path"] == "b/10.png" else row["label"]
    files.write_rows(ledger, list(rows[0]), rows)
    (root / "data/raw/files/a/cut.png").write_bytes(b"\x89PNG no picture")
    digest = files.sha256(root / "data/raw/files/a/cut.png")
    for row in rows:
        row["sha256"] = digest if row["path"] == "a/cut.png" else row["sha256"]
    files.write_rows(ledger, list(rows[0]), rows)
    suspects = root / "reports/suspects.csv"
    suspects.write_text(suspects.read_text().replace(",b,a,", ",,a,"))
    tab = client(root)
    of = numbers(tab)
    for names, decision, words in (
        (["b/10.png"], "keep", "under no label"),
        (["a/1.png", "a/2.png"], "not_same", "same file, byte for byte"),
        (["a/cut.png"], "keep", "no picture can be read"),
        (["a/cut.png"], "relabel", "no picture can be read"),
    ):
        answer = decide(tab, [of[name] for name in names], decision, value="a")
        assert (answer.status_code, words in answer.json()["detail"]) == (400, True), answer.text
    assert stored(root) == []
    assert decide(tab, [of["a/cut.png"]], "drop").status_code == 200
    assert decide(tab, [of["b/10.png"]], "relabel", value="cafe\u0301", sure=True).status_code == 200
    assert stored(root)[-1] == ("b/10.png", "relabel", "caf\xe9")
    assert decide(tab, [of["b/10.png"]], "relabel", value="\u0645\u06cc\u200c\u062e", sure=True).status_code == 200


def test_decisions_of_before_can_be_seen_and_taken_back(root: Path) -> None:
    """Those about pictures that no finding shows, one whose file is gone, and one that clean did not apply."""
    rows = {row["path"]: row for row in files.read_rows(root / "data/clean/ledger.csv")}
    hashes = {name: rows[name]["sha256"] for name in ("b/12.png", "b/13.png", "b/14.png", "a/1.png")}
    first, second = ((name, hashes[name]) for name in ("b/13.png", "b/14.png"))
    made = [
        curation.Decision("b/12.png", hashes["b/12.png"], "relabel", "c"), curation.pair("together", first, second),
        curation.Decision("b/gone.png", 64 * "0", "drop"), curation.Decision("a/1.png", hashes["a/1.png"], "drop"),
    ]  # fmt: skip
    curation.write(made, root / curation.FILE)
    audit = root / "data/clean/audit.json"
    refused = [["b/gone.png", "drop", "the file is not in the data"], ["a/1.png", "drop", "so it is"]]
    files.write_json(audit, files.read_json(audit) | {"by_hand": {"not_applied": refused}})
    tab = client(root)
    found = [one for one in view(tab)["findings"] if one["kind"] == "decided"]
    assert [[p["name"] for p in one["pictures"]] for one in found] == [["b/12.png"], ["b/13.png", "b/14.png"],
                                                                      ["b/gone.png"]]  # fmt: skip
    assert "the file is not in the data" in found[2]["said"]
    assert [d["not_applied"] for d in seen(tab, "a/1.png")["decisions"]] == ["so it is"]
    assert tab.get(f"/picture/{found[0]['pictures'][0]['number']}").status_code == 200
    for one in found:
        assert decide(tab, [one["pictures"][0]["number"]], "").json() == {"done": True}
    assert stored(root) == [("a/1.png", "drop", "")]


def test_what_was_kept_by_hand_has_a_picture(tmp_path: Path) -> None:
    """A damaged and a tiny file that a person kept: clean has decoded them leniently."""
    raw = Raw(tmp_path)
    raw.add("a/1.png", photo(1))
    cut = raw.add("a/cut.png", photo(2), save={"compress_level": 0})
    cut.write_bytes(cut.read_bytes()[:-3000])
    tiny = raw.add("a/tiny.png", photo(3).resize((3, 9)))
    kept = [curation.Decision(f"a/{p.name}", files.sha256(p), "keep") for p in (cut, tiny)]
    curation.write(kept, tmp_path / curation.FILE)
    raw.run()
    source, made, sheets = (tmp_path / name for name in ("data/raw", "data/clean", "reports/clean"))
    run(Clean(), source, made, sheets, None, by_hand=kept)
    for _ in ("from the raw file", "from the laid out one"):
        tab = client(tmp_path)
        for name in ("a/cut.png", "a/tiny.png"):
            one = seen(tab, name)
            assert one["status"] == "kept"
            assert tab.get(f"/picture/{one['number']}").status_code == 200, name
        for path in (cut, tiny):
            path.unlink(missing_ok=True)
