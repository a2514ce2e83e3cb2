"""What the page and `make curate` say of an audit is what its files say."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from stages.core import files, sprite
from stages.core.errors import UserError
from stages.curate import findings as curated
from stages.curate.findings import Finding, Picture
from stages.report import evidence, findings, galleries, page
from stages.report.figures import Figures
from tests.report.made_study import Made, make

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ["image_id", "label", "predicted", "label_probability", "predicted_probability", "found", "judged"]


@pytest.fixture(scope="module")
def split_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(folder, Made(variants=1, seeds=2, seeds_per_split=1))
    return folder


@pytest.fixture
def study(split_twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made study with two splits, in which the audit named nine of 214 judged pictures and lists seven."""
    shutil.copytree(split_twice, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    params = json.loads(Path("params.yaml").read_text())
    Path("params.yaml").write_text(json.dumps(params | {"aggregate": {"audit": {"folds": 4}}}))
    manifest = files.read_rows("data/clean/manifest.csv")
    label = manifest[0]["label"]
    rows = [
        {"image_id": row["image_id"], "label": row["label"], "predicted": label, "label_probability": 0.01 * (n + 1),
         "predicted_probability": 0.9 - 0.01 * n, "found": 9, "judged": 214}
        for n, row in enumerate([row for row in manifest if row["label"] != label][20:160:20])
    ]  # fmt: skip
    assert len(rows) == 7
    written(rows, found=9)
    return tmp_path


def written(rows: list[dict[str, Any]], **told: Any) -> None:
    summary = {"folds": 4, "architecture": "resnet18", "kept": 220, "judged": 214, "top1": 0.876, "listed": len(rows)}
    files.write_rows("reports/audit/suspects.csv", COLUMNS, rows)
    files.write_json("reports/audit/summary.json", summary | {"left_out": {"a": 3, "b <b>": 2}} | told)
    about = [{key: row[key] for key in COLUMNS[:3]} for row in rows[:5]]
    files.write_json("reports/audit/pictures.json", {"px": 8, "columns": sprite.COLUMNS, "tiles": about})
    if rows:
        sprite.write(Path("reports/audit/pictures.jpg"), [np.full((8, 8, 3), 40 * n, np.uint8) for n in range(5)])


def shown() -> dict[str, Any]:
    return galleries.suspects(evidence.read(), Figures(Path()))


def test_every_number_of_the_sentences_is_counted(study: Path) -> None:
    found = shown()
    how, named, left = found["audit"]["sentences"]
    rows = files.read_rows("reports/audit/suspects.csv")
    tested = {
        row["image_id"]
        for path in (study / "data/split/seeds").iterdir()
        for row in files.read_rows(path)
        if row["split"] == "test"
    }
    in_test = sum(row["image_id"] in tested for row in rows)
    assert 0 < in_test < 7
    assert "The labels of 214 of 220 kept images were audited" in how
    assert "features of `resnet18` with ImageNet weights was fitted to 3 of 4 folds" in how
    assert "the label for 87.6 % of the images that it was not fitted to" in how
    assert "Copies and similar pictures are in one fold" in how
    assert "9 labels of these 214 are likely errors by confident learning (Northcutt et al. 2021" in named
    assert "the labels may be wrong or the images hard" in named
    assert f"lists the first 7; {in_test} of those listed {'is' if in_test == 1 else 'are'} in the test part" in named
    assert "of at least one split" in named
    assert "2 classes were left out of the audit" in left
    assert "for 4 folds: “a” (3) and “b <b>” (2)." in left


@pytest.mark.usefixtures("study")
def test_the_pictures_stand_beside_their_own_labels() -> None:
    pictures = shown()["audit"]["shown"]
    rows = files.read_rows("reports/audit/suspects.csv")
    assert [one["image_id"] for one in pictures] == [row["image_id"] for row in rows[:5]]
    assert [one["own"] for one in pictures] == ["1", "2", "3", "4", "5"]
    assert [one["other"] for one in pictures] == ["90", "89", "88", "87", "86"]
    places = evidence.read().places
    for one in pictures:
        parts = {split[one["image_id"]] for split in places}
        assert set(one["part"].split(" and ")) == {{"val": "validation"}.get(part, part) for part in parts}, (
            "an image has a part in each split"
        )
    assert len({one["uri"] for one in pictures}) == 5


@pytest.mark.usefixtures("study")
def test_the_page_and_the_text_have_it_and_escape_labels() -> None:
    found = shown()
    html = page.render("suspects.html.j2", {"suspects": found})
    assert "<h3>Among all images</h3>" in html
    assert "b &lt;b&gt;" in html
    assert "<b>" not in html
    text = page.render("suspects.md.j2", {"suspects": found, "section": galleries.SUSPECTS})
    for sentence in found["audit"]["sentences"][:2]:
        assert sentence in text


@pytest.mark.usefixtures("study")
def test_without_folds_the_section_is_what_it_was() -> None:
    params = json.loads(Path("params.yaml").read_text())
    found = shown()
    before = {name: page.render(name, {"suspects": found | {"audit": None}, "section": galleries.SUSPECTS})
              for name in ("suspects.html.j2", "suspects.md.j2")}  # fmt: skip
    Path("params.yaml").write_text(json.dumps(params | {"aggregate": {"audit": {"folds": 0}}}))
    found = shown()
    assert found["audit"] is None
    for name, text in before.items():
        assert page.render(name, {"suspects": found, "section": galleries.SUSPECTS}) == text
    assert text == f"## Likely label errors\n\n{found['sentence']}\n\n"


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"found": 0}, "No label is a likely error by confident learning"),
        ({"found": 3}, "None is listed, because `aggregate.audit.most` is 0."),
        ({"found": 0, "judged": 0, "top1": None}, "None of the 220 kept images was audited, since fewer than two"),
        ({"found": 0, "judged": 220, "left_out": {}}, "The labels of all 220 kept images were audited"),
        ({"found": 0, "left_out": {"a": 1}}, "One class was left out of the audit, since it has too few groups"),
        (
            {"outliers": {"neighbours": 10, "limit": 1.84, "found": 31, "listed": 20}, "found": 0},
            "1.84 times as far from its 10 nearest as the median image. `reports/audit/outliers.csv` lists the first ",
        ),
        (
            {"outliers": {"neighbours": 10, "limit": 2.0, "found": 1, "listed": 1}, "found": 0},
            "1 image is unlike all others",
        ),
        (
            {"outliers": {"neighbours": 10, "limit": 2.0, "found": 0, "listed": 0}, "judged": 0, "found": 0},
            "No image is unlike all others: by cosine distance of the same features, none is 2.00 times as far",
        ),
        ({"found": 0, "left_out": {f"c{k}": 1 for k in range(8)}}, "“c4” (1) and 3 more."),
    ],
)
def test_what_was_not_found_or_judged_is_said(told: dict[str, Any], words: str) -> None:
    written([], **told)
    assert words in " ".join(shown()["audit"]["sentences"])


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("told", [{"found": 0}, {"found": 0, "outliers": None}])
def test_of_outliers_that_were_not_looked_for_nothing_is_said(told: dict[str, Any]) -> None:
    written([], **told)
    assert "unlike" not in " ".join(shown()["audit"]["sentences"])


@pytest.mark.usefixtures("study")
def test_one_is_said_in_the_singular() -> None:
    rows: list[dict[str, Any]] = [dict(row) for row in files.read_rows("reports/audit/suspects.csv")]
    files.write_rows("reports/audit/suspects.csv", COLUMNS, rows[:1])
    told = files.read_json("reports/audit/summary.json")
    files.write_json("reports/audit/summary.json", {**told, "found": 1})
    assert "1 label of these 214 is a likely error by" in shown()["audit"]["sentences"][1]
    assert "`reports/audit/suspects.csv` lists all; " in shown()["audit"]["sentences"][1]


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("name", ["suspects.csv", "summary.json", "pictures.json"])
def test_damage_names_the_stage_that_mends_it(name: str) -> None:
    Path("reports/audit", name).write_text("")
    with pytest.raises(UserError, match=rf"{name} is damaged .*`dvc repro audit` makes it again"):
        shown()


@pytest.mark.usefixtures("study")
def test_planted_labels_that_the_audit_lists_count_as_found() -> None:
    listed, judged = galleries.audited(evidence.read())
    assert listed == {row["image_id"] for row in files.read_rows("reports/audit/suspects.csv")}
    assert len(judged) == len(files.read_rows("data/clean/manifest.csv"))
    one: Any = type("One", (), {"path": "p", "kind": "wrong_label"})
    ledger = {"p": {"status": "kept", "image_id": next(iter(listed))}}
    for known, fate in ((listed, findings.LISTED), (set[str](), findings.MISSED)):
        assert findings.fate(one, findings.Cleaned(ledger, {}, known, judged)) == fate


def found_in(root: Path, pictures: list[Picture]) -> list[Finding]:
    found: Iterator[Finding] = curated.suspects(root, pictures)
    return list(found)


def test_curate_shows_a_picture_that_both_lists_name_once(tmp_path: Path) -> None:
    pictures = [Picture(n, f"{n}.png", "0", "cat", "kept", "", "", f"id{n}") for n in range(4)]
    networks = {"image_id": "id1", "label": "cat", "predicted": "dog", "cells": 4, "wrong": 3, "confidence": 0.9}
    files.write_rows(tmp_path / "reports/suspects.csv", list(networks), [networks])
    rows = [{"image_id": f"id{n}", "label": label, "predicted": "cow", "label_probability": 0.02,
             "predicted_probability": 0.91, "found": 3, "judged": 4}
            for n, label in ((1, "cat"), (2, "cat"), (3, "relabelled since"))]  # fmt: skip
    with contextlib.chdir(tmp_path):
        assert [one.hint for one in found_in(tmp_path, pictures)] == ["dog"]
        files.write_rows("reports/audit/suspects.csv", COLUMNS, rows)
    found = found_in(tmp_path, pictures)
    assert [(one.kind, one.pictures[0].image_id, one.hint) for one in found] == [
        ("suspect", "id1", "dog"), ("suspect", "id2", "cow"),
    ]  # fmt: skip
    assert found[1].said == "The audit of all images says cow (91%; cat 2%)."


def test_curate_shows_outliers_with_their_copies_and_none_that_left(tmp_path: Path) -> None:
    pictures = [Picture(n, f"{n}.png", "0", "cat", "kept", "", "", f"id{n}") for n in range(3)]
    pictures.append(Picture(3, "3.png", "0", "cat", "duplicate", "", "", "", copy_of="id2"))
    rows = [{"image_id": f"id{n}", "label": "cat", "distance": 2.345 - n / 10, "found": 3, "compared": 4}
            for n in (1, 2, 9)]  # fmt: skip
    files.write_rows(tmp_path / "reports/audit/outliers.csv", list(rows[0]), rows)
    one, other = curated.outliers(tmp_path, pictures)
    assert [[p.name for p in found.pictures] for found in (one, other)] == [["1.png"], ["2.png", "3.png"]]
    assert one.said == "The pictures most like it are 2.2 times as far away as those of the middle picture."
    assert other.said.endswith("Left-out copies: 1. A decision holds for all of them, unless you mark some.")
    assert list(curated.outliers(tmp_path / "none", pictures)) == []
