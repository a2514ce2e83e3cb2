"""The page's API: decisions, undo, two tabs, hostile names, requests from elsewhere, and many groups."""

from __future__ import annotations

import json
import shutil
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import curation, files
from stages.curate import app
from stages.curate.findings import Study
from tests.clean.conftest import Raw, photo

if TYPE_CHECKING:
    from pathlib import Path

HERE = "http://127.0.0.1:8765"
NAME = "<img src=x onerror=alert(1)>.png"
LABEL = '<script>alert("l")</script>'


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that clean has run on: copies, a conflict, a damaged file; names and labels with HTML in them."""
    raw = Raw(tmp_path_factory.mktemp("made"))
    raw.add("a/1.png", photo(1))
    raw.add("a/2.png", photo(1))
    raw.add("a/3.png", photo(3))
    raw.add(f"a/{NAME}", photo(3), LABEL)
    raw.add("a/wide.png", photo(5, 900, 40))
    raw.add("a/cut.png", (raw.root / "data/raw/files/a/1.png").read_bytes()[:3000])
    raw.row("a/none.png", file="", problem="vanished")
    for seed in range(10, 20):
        raw.add(f"b/{seed}.png", photo(seed), "b")
    raw.run()
    kept = next(row for row in raw.ledger().values() if row["path"] == "b/10.png")
    suspect = {"image_id": kept["image_id"], "label": "b", "predicted": "a", "cells": 4, "wrong": 3, "confidence": 0.9}
    files.write_rows(raw.root / "reports/suspects.csv", list(suspect), [suspect])
    files.write_json(raw.root / "reports/metrics.json", {"test": 1})
    return raw.root


@pytest.fixture
def root(cleaned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(cleaned, tmp_path / "study")


def client(root: Path, host: str = "127.0.0.1", token: str = "", url: str = HERE) -> TestClient:
    desk = app.open_study(root, Clean(), "study", "Ann <b>")
    return TestClient(app.create(desk, host, token), base_url=url, headers={"origin": url}, follow_redirects=False)


def view(tab: TestClient, **filters: Any) -> dict[str, Any]:
    answer = tab.get("/api/findings", params=filters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def numbers(tab: TestClient) -> dict[str, int]:
    return {p["name"]: p["number"] for one in view(tab)["findings"] for p in one["pictures"]}


def decide(tab: TestClient, pictures: list[int], decision: str, **more: Any) -> Any:
    return tab.post("/api/decide", json={"pictures": pictures, "decision": decision, **more})


def stored(root: Path) -> list[tuple[str, str, str]]:
    return [(d.path, d.decision, d.value) for d in curation.read(root / curation.FILE)]


def test_everything_that_was_found_is_shown_once(root: Path) -> None:
    found = view(client(root))
    kinds = {one["kind"]: [p["name"] for p in one["pictures"]] for one in found["findings"]}
    assert set(kinds["copies"]) == {"a/1.png", "a/2.png"}
    assert set(kinds["conflict"]) == {"a/3.png", f"a/{NAME}"}
    assert kinds["suspect"] == ["b/10.png"]
    assert kinds["quarantined"] == ["a/cut.png"], "a row without a file cannot be decided on"
    assert kinds["size"] == ["a/wide.png"]
    assert (found["total"], found["seen"]) == (len(found["findings"]), 0)


def test_a_session_with_undo_redo_and_a_reload(root: Path) -> None:
    tab = client(root)
    of = numbers(tab)
    steps = [(["a/1.png"], "drop", ""), (["b/10.png"], "relabel", "new <i>"), (["a/3.png"], "keep", ""),
             (["a/3.png", "a/1.png"], "not_same", "")]  # fmt: skip
    states = [stored(root)]
    for paths, decision, value in steps:
        assert decide(tab, [of[path] for path in paths], decision, value=value, reason="r").status_code == 200
        states.append(stored(root))
    assert len(states[-1]) == 4
    assert "new <i>" in view(tab)["labels"]
    for state in states[-2::-1]:
        assert tab.post("/api/undo", json={}).json()["done"] is True
        assert stored(root) == state
    assert tab.post("/api/undo", json={}).json() == {"done": False, "said": ""}
    for state in states[1:]:
        tab.post("/api/redo", json={})
        assert stored(root) == state
    assert view(tab)["seen"] == 3 == len(view(client(root), show="decided")["findings"]), "a new server knows them"
    row = next(d for d in curation.read(root / curation.FILE) if d.decision == "relabel")
    assert (row.who, row.seen) == ("Ann <b>", files.sha256(root / "reports/metrics.json")[:16])
    assert decide(tab, [of["a/1.png"]], "").status_code == 200
    assert {path for path, *_ in stored(root)} == {"b/10.png", "a/3.png"}, "taken back, with the pair"


def test_no_metrics_no_test_figures_seen(root: Path) -> None:
    (root / "reports/metrics.json").unlink()
    tab = client(root)
    decide(tab, [numbers(tab)["a/1.png"]], "drop")
    assert [d.seen for d in curation.read(root / curation.FILE)] == [""]


def test_two_tabs_and_an_editor_lose_nothing(root: Path) -> None:
    tab, other = client(root), client(root)
    of = numbers(tab)
    decide(tab, [of["a/1.png"]], "drop")
    decide(other, [of["a/3.png"]], "keep", shown=[{"names": ["a/3.png"], "was": ""}])
    assert [path for path, *_ in stored(root)] == ["a/1.png", "a/3.png"]
    stale = decide(other, [of["a/1.png"]], "keep", shown=[{"names": ["a/1.png"], "was": ""}])
    assert stale.status_code == 409
    decide(other, [of["a/1.png"]], "keep", shown=[{"names": ["a/1.png"], "was": "drop"}])
    assert tab.post("/api/undo", json={}).status_code == 409, "what the other tab decided is not undone"
    assert ("a/1.png", "keep", "") in stored(root)


def seen(tab: TestClient, name: str) -> dict[str, Any]:
    """The picture as the page shows it."""
    return next(p for one in view(tab)["findings"] for p in one["pictures"] if p["name"] == name)


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
    shown = [{"names": [names[a], names[b]], "was": ""} for a, b in pairs]
    assert decide(tab, sent[0], "not_same", others=sent[1], shown=shown).status_code == 200
    assert {(a, b) for a, _, b in stored(root)} == {tuple(sorted((names[a], names[b]))) for a, b in pairs}
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
    assert decide(tab, [of["b/10.png"]], "relabel", value="cafe\u0301").status_code == 200
    assert stored(root)[-1] == ("b/10.png", "relabel", "caf\xe9")
    assert decide(tab, [of["b/10.png"]], "relabel", value="\u0645\u06cc\u200c\u062e").status_code == 200


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
    parts = [tmp_path / name for name in ("data/raw", "data/clean", "reports/clean")]
    run(Clean(), *parts, None, by_hand=kept)
    for _ in ("from the raw file", "from the laid out one"):
        tab = client(tmp_path)
        for name in ("a/cut.png", "a/tiny.png"):
            one = seen(tab, name)
            assert one["status"] == "kept"
            assert tab.get(f"/picture/{one['number']}").status_code == 200, name
        for path in (cut, tiny):
            path.unlink(missing_ok=True)


def test_progress_is_remembered(root: Path) -> None:
    tab = client(root)
    ids = [one["id"] for one in view(tab)["findings"]]
    tab.post("/api/seen", json={"ids": [ids[0], "no such"]})
    assert view(tab)["seen"] == view(client(root))["seen"] == 1
    assert ids[0] not in {one["id"] for one in view(tab, show="unseen")["findings"]}


def test_pictures_are_decoded_anew_also_damaged_ones(root: Path) -> None:
    tab = client(root)
    of = numbers(tab)
    for path, side in (("a/1.png", 320), ("a/cut.png", 320), ("a/wide.png", 1600)):
        answer = tab.get(f"/picture/{of[path]}", params={"side": side})
        assert answer.headers["content-type"] in ("image/png", "image/jpeg"), path
    (root / "data/raw/files/a/2.png").write_bytes(b"<svg onload=alert(1)>")
    assert client(root).get(f"/picture/{of['a/2.png']}").status_code == 404
    assert tab.get("/picture/99999").status_code == 404
    assert tab.get("/static/..%2fapp.py").status_code in (404, 422)


def test_html_in_names_and_labels_stays_text(root: Path) -> None:
    tab = client(root)
    page, script = tab.get("/"), tab.get("/static/curate.js").text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert NAME not in page.text
    assert not any(
        word in script for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    )
    answer = tab.get("/api/findings")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    shown = [p for one in answer.json()["findings"] for p in one["pictures"]]
    assert {(NAME in p["name"], p["label"]) for p in shown} >= {(True, LABEL)}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"host": "evil.example:8765"},
        {"host": "127.0.0.1.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"content-type": "text/plain"},
    ],
)
def test_a_request_of_another_site_is_refused(root: Path, headers: dict[str, str]) -> None:
    tab = client(root)
    body = json.dumps({"pictures": [numbers(tab)["a/1.png"]], "decision": "drop"})
    sent = {"content-type": "application/json", **headers}
    assert tab.post("/api/decide", content=body, headers=sent).status_code == 403
    if "content-type" not in headers:
        assert [tab.get(path, headers=headers).status_code for path in ("/", "/picture/0", "/api/findings")] == [
            403
        ] * 3
    assert stored(root) == []


def test_a_change_without_an_origin_is_refused(root: Path) -> None:
    tab = client(root)
    del tab.headers["origin"]
    assert tab.get("/").status_code == 200, "who types the address in sends none"
    assert tab.post("/api/undo", json={}).status_code == 403


def test_beyond_this_machine_a_token_is_needed(root: Path) -> None:
    url = "http://192.0.2.7:8765"
    tab = client(root, host="0.0.0.0", token="secret", url=url)  # noqa: S104, S106
    assert [tab.get(path).status_code for path in ("/", "/api/findings", "/picture/0", "/?token=wrong")] == [401] * 4
    answer = tab.get("/?token=secret")
    assert answer.status_code == 303
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in answer.headers["set-cookie"].split(";")}
    assert tab.get("/api/findings").status_code == 200, "the cookie is enough now"
    assert tab.get("/api/findings", headers={"host": "rebound.example"}).status_code == 403
    own = f"{socket.gethostname()}.local:8765"
    assert tab.get("/api/findings", headers={"host": own, "origin": f"http://{own}"}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"pictures": [0], "decision": "burn"},
        {"pictures": [], "decision": "drop"},
        {"pictures": [10**6], "decision": "drop"},
        {"pictures": [0], "decision": "relabel", "value": " "},
        {"pictures": [0], "decision": "relabel", "value": "a\u202eb"},
        {"pictures": [0], "decision": "together"},
        {"pictures": [0], "decision": "drop", "more": 1},
    ],
)
def test_what_is_no_decision_is_refused_in_words(root: Path, body: dict[str, Any]) -> None:
    answer = client(root).post("/api/decide", json=body)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]
    assert stored(root) == []


def test_two_rows_of_one_picture_are_no_pair(root: Path) -> None:
    """A table of labels may name a file twice: a decision on the two would name one picture twice."""
    ledger = root / "data/clean/ledger.csv"
    rows = files.read_rows(ledger)
    (row,) = (row for row in rows if row["path"] == "a/1.png")
    files.write_rows(ledger, list(row), [*rows, {**row, "label": "b"}])
    tab = client(root)
    both = [p["number"] for one in view(tab)["findings"] for p in one["pictures"] if p["name"] == "a/1.png"]
    one, other = sorted(set(both) | {len(rows)})
    answer = decide(tab, [one, other], "not_same")
    assert (answer.status_code, answer.json()["detail"][:28]) == (400, "these rows are one picture; ")
    assert stored(root) == []


def test_the_first_page_of_10000_groups_comes_within_a_second(tmp_path: Path) -> None:
    """Twenty thousand rows, two in each group; the processor's time is counted, other work on the machine is not."""
    ledger, groups, pairs = [], [], []
    for k in range(20_000):
        row = {"path": f"a/{k}.png", "label": "a", "status": "kept", "reason": "", "detail": "", "image_id": f"i{k}",
               "duplicate_of": ""}  # fmt: skip
        ledger.append({**row, "sha256": f"{k:064x}"})
        groups.append({"group": k // 2, **row})
        if k % 2:
            pairs.append({"verdict": "similar", "a": f"a/{k - 1}.png", "b": f"a/{k}.png"})
    for name, rows in (("data/clean/ledger.csv", ledger), ("reports/clean/groups.csv", groups),
                       ("reports/clean/pairs.csv", pairs)):  # fmt: skip
        files.write_rows(tmp_path / name, list(rows[0]), rows)
    curation.write(
        [curation.Decision(f"a/{k}.png", f"{k:064x}", "drop") for k in range(2000)], tmp_path / curation.FILE
    )
    assert len(Study.read(tmp_path).findings) == 10_000
    tab = client(tmp_path)
    start = time.process_time()
    found = view(tab)
    assert time.process_time() - start < 1
    assert (found["total"], found["pages"], len(found["findings"]), found["seen"]) == (10_000, 500, 20, 1000)
    last = view(tab, page=500)
    assert last["findings"][-1]["pictures"][1]["name"] == "a/19999.png"
