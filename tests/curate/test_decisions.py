"""What clean makes of decisions by hand, on a few made-up pictures whose fate is known."""

from __future__ import annotations

import copy
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from PIL import ImageOps

from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import curation, files, labels
from stages.core.errors import UserError
from tests.clean.conftest import Raw, photo, scene

if TYPE_CHECKING:
    from pathlib import Path

    from stages.core.curation import Decision


@pytest.fixture
def raw(cleaned: Raw, tmp_path: Path) -> Raw:
    mine = copy.copy(cleaned)
    mine.root = shutil.copytree(cleaned.root, tmp_path / "study")
    mine.cache = mine.root / "cache.db"
    return mine


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    """Copies of one photograph, a conflict, a look-alike pair, a damaged file, a file without a label."""
    made = Raw(tmp_path_factory.mktemp("made"))
    made.add("a/1.png", photo(1))
    made.add("a/2.png", photo(1))
    made.add("a/3.png", photo(3))
    made.add("a/4.png", photo(4))
    made.add("b/4.png", photo(4), "b")
    made.add("b/5.png", scene(5), "b")
    made.add("b/mirror.png", ImageOps.mirror(scene(5)), "b")
    made.add("b/6.png", photo(6), "b")
    made.add("b/6_small.png", photo(6).resize((80, 60)), "b")
    made.add("stray.png", photo(9), "")
    made.add("b/tiny.png", photo(7).resize((3, 9)), "b")
    made.cache = made.root / "cache.db"
    made.run()
    return made


def curated(raw: Raw, *decisions: Decision, **clean: Any) -> dict[str, dict[str, str]]:
    """The ledger, by path, after clean has applied the decisions; they go through the file."""
    curation.write(decisions, raw.root / curation.FILE)
    source, made, sheets = (raw.root / name for name in ("data/raw", "data/clean", "reports/clean"))
    run(Clean.model_validate(clean), source, made, sheets, raw.cache, by_hand=curation.read(raw.root / curation.FILE))
    return raw.ledger()


def one(raw: Raw, path: str, decision: str, value: str = "", **more: str) -> Decision:
    digest = files.sha256(raw.root / "data/raw/files" / path)
    if decision in curation.PAIR:
        other = files.sha256(raw.root / "data/raw/files" / value)
        return curation.pair(decision, (path, digest), (value, other), reason="so I saw", **more)
    return curation.Decision(path, digest, decision, value, "so I saw", **more)


def by_hand(raw: Raw) -> dict[str, Any]:
    return dict(json.loads((raw.root / "data/clean/audit.json").read_text())["by_hand"])


def group(raw: Raw, path: str) -> str:
    image = raw.ledger()[path]["image_id"]
    return next(row["group_id"] for row in raw.manifest() if row["image_id"] == image)


def test_without_decisions_every_byte_is_the_same(raw: Raw) -> None:
    outputs = [*(raw.root / "data/clean").rglob("*.*"), *(raw.root / "reports/clean").rglob("*.*")]
    before = {path: path.read_bytes() for path in outputs if path.is_file()}
    assert len(before) > 8
    curated(raw)
    assert {path: path.read_bytes() for path in before} == before
    assert (raw.root / curation.FILE).read_text() == ",".join(curation.COLUMNS) + "\n"


def test_decisions_on_single_pictures(raw: Raw) -> None:
    before = raw.ledger()
    assert (before["a/2.png"]["reason"], before["a/4.png"]["reason"]) == ("same_bytes", "label_conflict")
    after = curated(
        raw, one(raw, "a/1.png", "drop"), one(raw, "a/4.png", "keep"), one(raw, "a/3.png", "relabel", "<b>new</b>"),
        one(raw, "stray.png", "relabel", "b"), one(raw, "b/tiny.png", "keep"),
    )  # fmt: skip
    assert (after["a/1.png"]["status"], after["a/1.png"]["reason"]) == ("quarantined", "dropped_by_hand")
    assert after["a/2.png"]["status"] == "kept", "the copy of what was dropped takes its place"
    assert (after["a/4.png"]["status"], after["b/4.png"]["reason"]) == ("kept", "label_conflict")
    assert (after["a/3.png"]["label"], after["stray.png"]["label"]) == ("<b>new</b>", "b")
    assert after["stray.png"]["status"] == after["b/tiny.png"]["status"] == "kept"
    assert all("so I saw" in after[path]["detail"] for path in ("a/1.png", "a/3.png", "a/4.png", "stray.png"))
    sums = by_hand(raw)
    assert sums["applied"] == {"drop": 1, "keep": 2, "relabel": 2}
    assert sums["not_applied"] == []
    fates = {path: (before[path]["status"] == "kept", row["status"] == "kept") for path, row in after.items()}
    assert sums["kept"] == sum(fate == (False, True) for fate in fates.values()) == 4
    assert sums["left_out"] == sum(fate == (True, False) for fate in fates.values()) == 1
    assert sums["relabelled"] == 1, "stray.png had no label"
    assert sums["gained"] == {"<b>new</b>": ["a/3.png"], "b": ["stray.png"]}


def test_which_copy_stays_and_that_both_stay(raw: Raw) -> None:
    assert raw.ledger()["b/6_small.png"]["status"] == "duplicate"
    after = curated(raw, one(raw, "b/6_small.png", "keep"))
    assert (after["b/6_small.png"]["status"], after["b/6.png"]["status"]) == ("kept", "duplicate")
    after = curated(raw, one(raw, "b/6_small.png", "keep"), one(raw, "b/6.png", "keep"))
    assert after["b/6_small.png"]["status"] == after["b/6.png"]["status"] == "kept"
    assert group(raw, "b/6.png") == group(raw, "b/6_small.png"), "they stay in one part of the split"


def test_decisions_on_pairs(raw: Raw) -> None:
    assert group(raw, "b/5.png") == group(raw, "b/mirror.png"), "the mirrored copy is found"
    after = curated(raw, one(raw, "b/mirror.png", "not_same", "b/5.png"), one(raw, "a/3.png", "together", "b/5.png"))
    assert group(raw, "b/5.png") != group(raw, "b/mirror.png")
    assert group(raw, "b/5.png") == group(raw, "a/3.png")
    assert all("so I saw" in after[path]["detail"] for path in ("b/5.png", "b/mirror.png", "a/3.png"))
    after = curated(raw, one(raw, "b/6_small.png", "not_same", "b/6.png"))
    assert after["b/6_small.png"]["status"] == "kept"
    assert group(raw, "b/6.png") != group(raw, "b/6_small.png")


def test_one_of_three_copies_that_was_told_apart_is_parted(raw: Raw) -> None:
    """The third resembles both; it stays with the one that it resembles more."""
    size = photo(6).size
    for name, other in (("b/6_a.png", (100, 75)), ("b/6_b.png", (90, 68))):
        raw.add(name, photo(6).resize(other), "b")
    raw.run()
    names = ["b/6.png", "b/6_a.png", "b/6_b.png", "b/6_small.png"]
    assert [raw.ledger()[name]["status"] for name in names] == ["kept", *3 * ["duplicate"]], size
    after = curated(raw, one(raw, "b/6_a.png", "not_same", "b/6.png"))
    assert by_hand(raw)["not_applied"] == []
    assert by_hand(raw)["applied"] == {"not_same": 1}
    assert [after[name]["status"] for name in names[:2]] == ["kept", "kept"]
    assert group(raw, "b/6.png") != group(raw, "b/6_a.png")
    assert {after[name]["status"] for name in names[2:]} == {"duplicate"}
    assert all("so I saw" in after[name]["detail"] for name in names[:2])


def test_what_the_source_joins_is_not_parted_and_nothing_changes(raw: Raw) -> None:
    """A decision that is named as not applied leaves every row as it was."""
    for row in raw.rows:
        row["group"] = "series" if row["path"].startswith("b/6") else ""
    raw.run()
    plain = raw.ledger()
    assert plain["b/6_small.png"]["status"] == "duplicate"
    after = curated(raw, one(raw, "b/6.png", "not_same", "b/6_small.png"))
    assert by_hand(raw)["not_applied"][0][-1].startswith("a group that the source names")
    assert after == plain


def test_of_a_chain_the_pair_that_was_told_apart_is_parted(raw: Raw) -> None:
    curated(
        raw, one(raw, "a/3.png", "together", "b/5.png"), one(raw, "a/3.png", "not_same", "b/mirror.png"),
    )  # fmt: skip
    assert group(raw, "a/3.png") == group(raw, "b/5.png") != group(raw, "b/mirror.png")


def test_a_file_under_two_labels_is_relabelled_and_not_kept(tmp_path: Path) -> None:
    made = Raw(tmp_path)
    made.add("a/1.png", photo(1))
    made.row("a/1.png", "b")
    for seed in range(2, 6):
        made.add(f"{'ab'[seed % 2]}/{seed}.png", photo(seed), "ab"[seed % 2])
    made.cache = made.root / "cache.db"
    made.run()
    assert curated(made, one(made, "a/1.png", "keep"))["a/1.png"]["status"] == "quarantined"
    assert by_hand(made)["not_applied"][0][-1].startswith("the source names the file under several labels")
    after = curated(made, one(made, "a/1.png", "relabel", "b"))["a/1.png"]
    assert (after["label"], by_hand(made)["not_applied"]) == ("b", [])


def test_what_does_not_fit_is_named_and_not_applied(raw: Raw) -> None:
    plain = raw.ledger()
    gone = curation.Decision("a/gone.png", 64 * "0", "drop")
    changed = curation.Decision("a/3.png", 64 * "1", "drop")
    after = curated(raw, gone, changed, one(raw, "a/1.png", "not_same", "a/2.png"))
    assert after == plain
    named = {row[0]: row[-1] for row in by_hand(raw)["not_applied"]}
    assert named == {
        "a/gone.png": "the file is not in the data",
        "a/3.png": "the content of the file has changed",
        "a/1.png": "both have the same pixels",
    }


def test_who_and_when_change_no_byte_and_seen_is_counted(raw: Raw) -> None:
    curated(raw, one(raw, "a/3.png", "drop", who="Ann", when="2026-01-01", seen="ab"))
    outputs = [path for path in (raw.root / "data/clean").rglob("*.*") if path.is_file()]
    before = {path: path.read_bytes() for path in outputs}
    curated(raw, one(raw, "a/3.png", "drop", who="Bob", when="2027-01-01", seen="ab"))
    assert {path: path.read_bytes() for path in outputs} == before
    assert by_hand(raw)["after_test_figures"] == 1


def test_a_conflict_that_must_be_settled_is_settled_by_hand(raw: Raw) -> None:
    with pytest.raises(UserError, match="several labels"):
        curated(raw, label_conflicts="fail")
    after = curated(raw, one(raw, "b/4.png", "relabel", "a"), label_conflicts="fail")
    assert {after["a/4.png"]["status"], after["b/4.png"]["status"]} == {"kept", "duplicate"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"a,{64 * '0'},burn,,,,,", "burn"),
        (f"a,{64 * '0'},relabel,,,,,", "is empty"),
        ("a,12,drop,,,,,", "SHA-256"),
        (f"a,{64 * '0'},not_same,b,,,,", "both its files"),
        (f"a,{64 * '0'},drop,,,,,\na,{64 * '0'},keep,,,,,", "another row"),
    ],
)
def test_a_row_that_decides_nothing_is_refused(tmp_path: Path, row: str, words: str) -> None:
    path = tmp_path / "curation.csv"
    path.write_text(",".join(curation.COLUMNS) + "\n" + row + "\n")
    with pytest.raises(UserError, match=words):
        curation.read(path)


ROW = f"a.png,{64 * '0'},drop,,,Ann,,"
HEAD = ",".join(curation.COLUMNS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEAD}\n<<<<<<< HEAD\n{ROW}\n=======\n{ROW}\n>>>>>>> other\n", "line 2 is a mark of a merge conflict; keep"),
        (f"{HEAD}\n{ROW}\n=======\n", "line 3 is a mark of a merge conflict; keep"),
        (f"{HEAD}\n{ROW}\n".replace(",", ";"), "save it as CSV with commas between the columns"),
        (f"{HEAD}\n{ROW}\n".replace(",", "\t"), "save it as CSV with commas between the columns"),
        (f"{HEAD}\n{ROW}\na.png,drop\n", "line 3 has 2 fields, the first row 8; mend the line or remove it"),
        (f'{HEAD}\n"a.png,{64 * "0"}', "is no CSV .*; mend the line or remove it"),
        (f"path,decision\n{ROW}\n", "does not name sha256, value, reason, who, when; put the names back"),
        ("", "does not name path"),
        (f"{HEAD}\n{ROW}\n".replace("Ann", "J\xf6rg"), "not UTF-8 text; save it as CSV in UTF-8"),
    ],
)
def test_a_damaged_file_is_mended_and_never_thrown_away(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "curation.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=words) as caught:
        curation.read(path)
    assert "git checkout" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_a_spreadsheet_leaves_is_read(tmp_path: Path) -> None:
    path = tmp_path / "curation.csv"
    path.write_bytes(f"\ufeff{HEAD}\r\n{ROW}\r\n,,,,,,,\r\n".encode())
    assert curation.read(path) == [curation.Decision("a.png", 64 * "0", "drop", who="Ann")]


def test_a_label_is_what_ingest_makes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "curation.csv"
    made = [
        curation.Decision(f"{k}.png", 64 * "0", "relabel", text) for k, text in enumerate(["cafe\u0301", "caf\xe9"])
    ]
    curation.write(made, path)
    assert [one.value for one in curation.read(path)] == ["caf\xe9", "caf\xe9"]


@pytest.mark.parametrize(
    ("label", "good"),
    [
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", True),  # Persian
        ("\u0915\u094d\u200d\u0937", True),  # Hindi
        ("cat\u200c", False), ("\u200dcat", False), ("\u200c", False), ("a\u202eb", False), ("a\u200bb", False),
    ],
)  # fmt: skip
def test_joiners_stand_between_letters_alone(label: str, good: bool) -> None:
    assert (labels.fault(label) == "") is good


def test_the_file_is_ordered_and_keeps_what_stands_in_it(tmp_path: Path) -> None:
    strange = ["=cmd()", 'a,b\n"c"', "x10", "x9", "-1", "ü <b>"]
    made = [curation.Decision(path, 64 * "0", "relabel", "=label", 'why, "so"') for path in strange]
    curation.write(made, tmp_path / "one.csv")
    curation.write(reversed(made), tmp_path / "other.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "other.csv").read_bytes()
    found = curation.read(tmp_path / "one.csv")
    assert set(found) == set(made)
    assert [d.path for d in found if d.path.startswith("x")] == ["x9", "x10"]
