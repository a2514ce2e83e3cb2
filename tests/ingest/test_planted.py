"""What `planted: true` adds to the digits: the list says the truth about the files, and cleaning finds what it can."""

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from sklearn import datasets

from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import files, planted
from stages.core.params import section
from stages.ingest import ingest
from stages.ingest.params import check_source
from stages.report import findings as counting
from tests import tiny

CHECKSUM = tiny.ROOT / "data/digits.sha256"
LISTED = files.read_rows(tiny.ROOT / "data/planted.csv")
RAW = Path("data/raw/files")


def bring() -> dict[str, dict[str, str]]:
    ingest(check_source({"source": "digits", "path": str(CHECKSUM), "planted": True}))
    return {row["path"]: row for row in files.read_rows("data/raw/manifest.csv")}


def pixels(path: str) -> np.ndarray[Any, Any]:
    with Image.open(RAW / path) as image:
        return np.asarray(image.convert("L"), float)


def test_the_committed_list_is_what_the_code_plants() -> None:
    assert [row._asdict() for row in planted.of_the_digits()] == LISTED, "run `python -m stages.core.planted`"
    assert Counter(row["kind"] for row in LISTED) == planted.KINDS


def test_the_list_tells_the_truth_about_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = bring()
    assert sum(path.is_file() for path in RAW.rglob("*")) == len(rows) - 1
    assert {row["problem"]: path for path, row in rows.items()}["hidden"] == "Thumbs.db"
    assert Counter(Path(path).suffix for path in rows)[".png"] > 700
    digits, labels = datasets.load_digits(return_X_y=True)
    copies = {row["path"] for row in LISTED if row["original"]}
    wrong = {row["path"]: row["label"] for row in LISTED if row["kind"] == "wrong_label"}
    seen = {int(path[-8:-4]): path for path in rows if path not in copies and path != "Thumbs.db"}
    assert sorted(seen) == list(range(1797))  # no digit is lost, and none of them stands there twice
    for index in range(0, 1797, 40):
        small = Image.fromarray(pixels(seen[index]).astype(np.uint8)).resize((8, 8), Image.Resampling.BOX)
        assert np.corrcoef(np.asarray(small, float).ravel(), digits[index])[0, 1] > 0.97
    for path in seen.values():
        label, folder = str(labels[int(path[-8:-4])]), path.partition("/")[0]
        assert (label == folder) != (path in wrong)
        assert wrong.get(path, label) == label
        assert rows[path]["label"] == folder
    for row in LISTED:
        _check(row)


def _check(row: dict[str, str]) -> None:
    path, kind, original = row["path"], row["kind"], row["original"]
    if not original:
        assert kind in ("wrong_label", "stray")
        return
    one, other = (RAW / path).read_bytes(), (RAW / original).read_bytes()
    assert (kind == "renamed") == (one == other)
    assert (path.partition("/")[0] == row["label"]) == (kind != "two_labels")
    if kind == "cut_short":
        assert other.startswith(one)
        assert len(one) < len(other)
        assert not ImageFile.LOAD_TRUNCATED_IMAGES
        with pytest.raises((OSError, SyntaxError)):
            pixels(path)
        return
    turns = [pixels(original), *(np.rot90(pixels(original), turn) for turn in (1, 2, 3))]
    apart = [float(np.abs(pixels(path) - turned).mean()) for turned in turns]
    assert min(apart) < 9
    assert (int(np.argmin(apart)) in (1, 3)) == (kind == "turned")


def test_what_is_planted_is_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = datasets.load_digits(return_X_y=True)
    monkeypatch.setattr(datasets, "load_digits", lambda **_: (few[0][:400], few[1][:400]))
    sums = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with contextlib.chdir(tmp_path / name):
            rows = [row for row in bring().values() if row["file"]]
            sums.append([(row["path"], files.sha256(Path("data/raw") / row["file"])) for row in rows])
    assert sums[0] == sums[1]


@pytest.mark.slow
def test_cleaning_finds_what_is_planted_among_few_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind is counted again from the ledger, in another way than the page does."""
    few = datasets.load_digits(return_X_y=True)
    monkeypatch.setattr(datasets, "load_digits", lambda **_: (few[0][:200], few[1][:200]))
    monkeypatch.setattr(planted, "KINDS", {kind: min(count, 6) for kind, count in planted.KINDS.items()})
    monkeypatch.chdir(tmp_path)
    raw = bring()
    run(section(Clean, {}, "clean"), cache_file=None)
    ledger = {row["path"]: row for row in files.read_rows("data/clean/ledger.csv")}
    assert set(ledger) == set(raw)
    plan = planted.of_the_digits()
    of = {kind: [one for one in plan if one.kind == kind] for kind in planted.KINDS}
    for one in of["renamed"]:
        assert sorted(ledger[path]["reason"] for path in (one.path, one.original)) == ["", "same_bytes"]
    for one in of["cut_short"]:
        assert (ledger[one.path]["status"], ledger[one.original]["status"]) == ("quarantined", "kept")
    assert ledger["Thumbs.db"]["reason"] == "hidden"
    dropped = {path: row["duplicate_of"] for path, row in ledger.items() if row["status"] == "duplicate"}
    image = {row["image_id"]: path for path, row in ledger.items() if row["image_id"]}
    pairs = {frozenset((one.path, one.original)) for one in of["renamed"] + of["recompressed"]}
    assert {frozenset((path, image[other])) for path, other in dropped.items()} <= pairs  # no two digits are one
    groups = {row["image_id"]: row["group_id"] for row in files.read_rows("data/clean/manifest.csv")}
    shown = counting.counted(plan, counting.Cleaned(ledger, groups, set(), set(groups)))
    found = {row["kind"]: row["found"] for row in shown["rows"]}
    for kind in ("recompressed", "renamed"):
        assert found[counting.PLANTED[kind]] >= sum(one.path in dropped or one.original in dropped for one in of[kind])
    assert counting.unexplained(plan, counting.Cleaned(ledger, groups, set(), set(groups))) == []


def test_a_fate_is_what_the_ledger_says() -> None:
    """Each fate on rows that are made so, and a drop without a reason is told."""
    kept = {"status": "kept", "duplicate_of": "", "image_id": ""}
    ledger = {path: {**kept, "image_id": path} for path in ("1/a", "1/b", "1/c", "2/d", "1/e")}
    ledger["1/copy"] = {"status": "duplicate", "duplicate_of": "1/a", "image_id": ""}
    ledger["1/other"] = {"status": "duplicate", "duplicate_of": "1/b", "image_id": ""}
    ledger["1/turned"] = {**kept, "image_id": "t"}
    ledger["1/missed"] = {**kept, "image_id": "m"}
    ledger["Thumbs.db"] = {"status": "quarantined", "duplicate_of": "", "image_id": ""}
    groups = {"1/a": "g", "1/b": "h", "1/c": "i", "2/d": "j", "t": "i", "m": "k", "1/e": "l"}
    study = counting.Cleaned(ledger, groups, listed={"2/d"}, judged={"2/d", "m"})
    fates = {
        planted.Planted("1/copy", "recompressed", "1/a", "1"): counting.DROPPED,
        planted.Planted("1/turned", "turned", "1/c", "1"): counting.GROUPED,
        planted.Planted("1/missed", "renamed", "1/c", "1"): counting.MISSED,
        planted.Planted("2/d", "wrong_label", "", "1"): counting.LISTED,
        planted.Planted("1/missed", "wrong_label", "", "2"): counting.MISSED,
        planted.Planted("1/e", "wrong_label", "", "2"): counting.UNASKED,
        planted.Planted("Thumbs.db", "stray", "", ""): counting.QUARANTINED,
        planted.Planted("1/e", "two_labels", "2/d", "2"): counting.MISSED,
    }
    assert {one: counting.fate(one, study) for one in fates} == fates
    assert counting.unexplained(list(fates), study) == ["1/other"]
