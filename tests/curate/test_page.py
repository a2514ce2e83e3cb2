"""The page's API: decisions, undo, two tabs, hostile names, requests from elsewhere, and many groups."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from stages.core import curation, files
from stages.core.errors import UserError
from stages.curate import store
from stages.curate.findings import Picture, Study
from tests.curate.tabs import LABEL, NAME, client, decide, numbers, stored, view

if TYPE_CHECKING:
    from pathlib import Path


def test_everything_that_was_found_is_shown_once(root: Path) -> None:
    found = view(client(root))
    kinds = {one["kind"]: [p["name"] for p in one["pictures"]] for one in found["findings"]}
    assert set(kinds["copies"]) == {"a/1.png", "a/2.png"}
    assert set(kinds["conflict"]) == {"a/3.png", f"a/{NAME}"}
    assert kinds["suspect"] == ["b/10.png"]
    assert kinds["quarantined"] == ["a/cut.png"], "a row without a file cannot be decided on"
    assert kinds["size"] == ["a/wide.png"]
    assert (found["total"], found["seen"]) == (len(found["findings"]), 0)


def test_a_suspect_stands_with_its_left_out_copies(root: Path) -> None:
    """Without its picture a left-out copy would be kept, with the same label."""
    rows = files.read_rows(root / "reports/suspects.csv")
    kept = next(row for row in files.read_rows(root / "data/clean/ledger.csv") if row["path"] == "a/1.png")
    assert kept["status"] == "kept"
    rows.append(rows[0] | {"image_id": kept["image_id"], "label": kept["label"], "predicted": "b"})
    files.write_rows(root / "reports/suspects.csv", list(rows[0]), rows)
    files.write_rows(
        root / "reports/audit/suspects.csv",
        ["image_id", "label", "predicted", "label_probability", "predicted_probability"],
        [{"image_id": kept["image_id"], "label": kept["label"], "predicted": "b", "label_probability": 0.1,
          "predicted_probability": 0.9}],
    )  # fmt: skip
    alone, together = [one for one in view(client(root))["findings"] if one["kind"] == "suspect"]
    assert [p["name"] for p in alone["pictures"]] == ["b/10.png"]
    assert [p["name"] for p in together["pictures"]] == ["a/1.png", "a/2.png"]
    assert "networks say b" in together["said"]
    assert "The audit of all images says b (90%" in together["said"]
    assert "Left-out copies: 1." in together["said"]


def test_a_session_with_undo_redo_and_a_reload(root: Path) -> None:
    tab = client(root)
    of = numbers(tab)
    steps = [(["a/1.png"], "drop", ""), (["b/10.png"], "relabel", "new <i>"), (["a/3.png"], "keep", ""),
             (["a/3.png", "a/1.png"], "not_same", "")]  # fmt: skip
    states = [stored(root)]
    for paths, decision, value in steps:
        assert decide(tab, [of[path] for path in paths], decision, value=value, reason="r", sure=True).json()["done"]
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


def test_an_odd_label_is_asked_about_before_it_is_taken(root: Path) -> None:
    tab = client(root)
    of = numbers(tab)
    new = decide(tab, [of["b/10.png"]], "relabel", value="new").json()
    assert new == {
        "done": False, "instead": "",
        "ask": "“new” is a new label: 1 picture. The split needs at least 3 of each label and stops with fewer.",
    }  # fmt: skip
    meant = decide(tab, [of["a/wide.png"]], "relabel", value="B ").json()
    assert (meant["done"], meant["instead"]) == (False, "b")
    assert meant["ask"] == "Did you mean “b”? “B” looks the same, but is another label."
    unseen = decide(tab, [of["a/wide.png"]], "relabel", value="b\u2800").json()  # the blank of Braille
    assert (unseen["done"], unseen["instead"]) == (False, "b")
    assert stored(root) == []
    assert decide(tab, [of["b/10.png"]], "relabel", value="new", sure=True).json() == {"done": True}
    assert (
        decide(tab, [of["b/10.png"]], "relabel", value="new").json()["ask"].startswith("“new” is the label of no other")
    )
    both = decide(tab, [of["a/1.png"], of["a/2.png"]], "relabel", value="new").json()
    assert both == {"done": True}, "the label was asked about, and has two pictures now: one of these is a copy"
    two = decide(tab, [of["a/1.png"], of["a/2.png"]], "relabel", value="other").json()["ask"]
    assert "“other” is a new label: 1 picture." in two, "a picture and its copy are one"


@pytest.mark.parametrize(
    ("label", "decisions", "known", "count"),
    [
        ("c", {}, True, 2),  # the one that is kept under it, and the chosen one
        ("d", {}, True, 1),  # its only picture is left out
        ("d", {"3": ("keep", "")}, True, 2),
        ("c", {"2": ("drop", "")}, True, 1),
        ("c", {"2": ("relabel", "x")}, True, 1),
        ("x", {"2": ("relabel", "x")}, True, 2),
        ("y", {}, False, 1),
    ],
)
def test_pictures_of_a_label_are_counted_as_clean_would_keep_them(
    label: str, decisions: dict[str, tuple[str, str]], known: bool, count: int
) -> None:
    rows = [("0", "a", "kept"), ("1", "a", "kept"), ("2", "c", "kept"), ("3", "d", "quarantined")]
    pictures = [Picture(int(n), n, n, of, status, "", "", n if status == "kept" else "") for n, of, status in rows]
    made: dict[tuple[str, ...], curation.Decision] = {
        (n,): curation.Decision(n, n, *one) for n, one in decisions.items()
    }
    found = store.doubt(label, pictures[:1], pictures, made, 5)
    if known and count > 1:
        assert found is None
    else:
        assert found is not None
        assert f"{'the label of no other' if known else 'a new label'}" in found.ask
        assert f": {count} picture. The split needs at least 5" in found.ask


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


@pytest.mark.parametrize(
    ("manifest", "column"), [("data/raw/manifest.csv", "file"), ("data/clean/manifest.csv", "path")]
)
def test_no_picture_outside_of_the_study_is_shown(root: Path, manifest: str, column: str) -> None:
    secret = (root / "data/raw/files/a/1.png").read_bytes()
    (root.parent / "secret.png").write_bytes(
        secret
    )  # with the bytes that the ledger names, so that no digest protects it
    found = files.read_rows(root / manifest)
    found[0][column] = "../../../secret.png"
    files.write_rows(root / manifest, list(found[0]), found)
    with pytest.raises(UserError, match=r"secret\.png' does not lie in (files|images)/"):
        client(root)


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
    tab = client(root, token="secret", url=url)  # noqa: S106
    assert [tab.get(path).status_code for path in ("/", "/api/findings", "/picture/0", "/?token=wrong")] == [401] * 4
    answer = tab.get("/?token=secret")
    assert answer.status_code == 303
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in answer.headers["set-cookie"].split(";")}
    assert tab.get("/api/findings").status_code == 200, "the cookie is enough now"
    tab.base_url = "http://rebound.example:8765"
    assert tab.get("/api/findings", headers={"origin": "http://rebound.example:8765"}).status_code == 401, "no cookie"


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


@pytest.mark.slow
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
