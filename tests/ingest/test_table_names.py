"""Which file a row of a table means, where more than one, another or none could be meant."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core import files
from stages.core.errors import UserError
from tests.ingest.test_ingest import PNG, bring
from tests.ingest.test_names import tree
from tests.ingest.test_tables import json_lines


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")


def listed(folder: Path, *rows: str, name: str = "l.csv", asked: str = "l.csv") -> list[tuple[str, str, str]]:
    """Path, label and problem of every row and file, but the table."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("file,label\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    bring("folder", folder, label="table", table={"file": asked, "path": "file"})
    found = files.read_rows("data/raw/manifest.csv")
    assert all(bool(row["file"]) != bool(row["problem"]) for row in found)
    return sorted((row["path"], row["label"], row["problem"]) for row in found if row["path"] != name)


def test_a_row_takes_no_file_that_another_row_names_by_its_path(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "cats/1.png", "deep/cats/2.png")
    rows = ("cats/1.png,cat", "dogs/1.png,dog", "1,cow", "images/deep/cats/2.png,cat")
    assert listed(folder, *rows) == [
        ("1", "cow", "missing_file"), ("cats/1.png", "cat", ""), ("deep/cats/2.png", "cat", ""),
        ("dogs/1.png", "dog", "missing_file"),
    ]  # fmt: skip


def test_rows_of_two_folders_do_not_share_the_file_of_a_third(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "birds/1.png", "birds/2.png", "birds/3.png")
    assert listed(folder, "cats/1.png,cat", "dogs/1.png,dog", "cats/2.png,cat", "3,cat", "3.png,dog") == [
        ("birds/1.png", "", "not_in_table"), ("birds/2.png", "cat", ""), ("birds/3.png", "cat", ""),
        ("birds/3.png", "dog", ""), ("cats/1.png", "cat", "missing_file"), ("dogs/1.png", "dog", "missing_file"),
    ]  # fmt: skip


def test_the_table_of_one_part_takes_no_file_of_another(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "train/1.png", "test/1.png", "test/2.png")
    json_lines(folder / "train/metadata.jsonl", [{"file_name": f"{k}.png", "label": "a"} for k in (1, 2)])
    json_lines(folder / "test/metadata.jsonl", [{"file_name": f"{k}.png", "label": "b"} for k in (1, 2)])
    bring("folder", folder, label="table", table={"file": "*/metadata.jsonl"})
    found = files.read_rows("data/raw/manifest.csv")
    assert sorted((row["path"], row["label"], row["problem"]) for row in found if row["label"]) == [
        ("2.png", "a", "missing_file"), ("test/1.png", "b", ""), ("test/2.png", "b", ""), ("train/1.png", "a", ""),
    ]  # fmt: skip


def test_names_that_differ_in_the_form_of_their_accents_stay_apart(tmp_path: Path) -> None:
    one, other = (unicodedata.normalize(form, "im/é.png") for form in ("NFC", "NFD"))
    folder = tree(tmp_path / "s", one, other, "im/ü.png")
    assert len(list((folder / "im").iterdir())) == 3
    alone = unicodedata.normalize("NFD", "im/ü.png")
    assert listed(folder, f"{one},cat", f"{other},dog", f"{alone},cow") == sorted(
        [(one, "cat", ""), (other, "dog", ""), ("im/ü.png", "cow", "")]
    )


@pytest.mark.parametrize("row", ["1", "1.png", "im/1", "im/1.png", ".\\im\\1.png", "old/im/1"])
@pytest.mark.parametrize(
    "sidecars",
    [["im/1.txt"], ["im/1.png.json"], ["im/1.xml", "im/1.json", "labels/1.txt"], ["meta/1", "im/1.pdf"], ["im/.1.png"]],
)
def test_sidecars_are_not_meant(tmp_path: Path, row: str, sidecars: list[str]) -> None:
    if row == "1" and "meta/1" in sidecars:
        pytest.skip("the row names that file")
    folder = tree(tmp_path / "s", "im/1.png", "im/2.png", *sidecars)
    assert ("im/1.png", "cat", "") in listed(folder, f"{row},cat", "im/2.png,dog")


def test_two_pictures_of_one_name_are_several_files(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "im/1.png", "im/1.jpg", "a/2.png", "b/2.png", "x/a/3.png", "x/b/3.png")
    found = listed(folder, "1,cat", "2.png,dog", "a/3.png,cow")
    assert {row for row in found if row[1]} == {
        ("1", "cat", "several_files"), ("2.png", "dog", "several_files"), ("x/a/3.png", "cow", ""),
    }  # fmt: skip


def test_a_row_with_more_fields_than_titles_gives_no_label(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "1.png", "2.png", "3.png")
    assert listed(folder, "1,copy.png,cat", "2.png,dog,,", "3.png,dog") == [
        ("1.png", "copy.png", "too_many_fields"), ("2.png", "dog", ""), ("3.png", "dog", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("asked", ["./l [1].csv", "l [1].csv", "*/l [1].csv", "what?/../l [1].csv"])
def test_the_table_is_found_by_any_way_to_write_its_path(tmp_path: Path, asked: str) -> None:
    folder = tree(tmp_path / "s", "1.png", "l 1.csv")
    name = "sub/l [1].csv" if "*" in asked else "l [1].csv"
    assert ("1.png", "cat", "") in listed(folder, "1.png,cat", name=name, asked=asked)


def test_a_row_of_a_hidden_picture_says_so(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "1.png", ".old/2.png", "@eaDir/1.png")
    assert listed(folder, "1.png,cat", ".old/2.png,dog", "gone.png,dog") == [
        (".old/2.png", "dog", "hidden"), ("1.png", "cat", ""), ("@eaDir/1.png", "", "hidden"),
        ("gone.png", "dog", "missing_file"),
    ]  # fmt: skip


def hidden(folder: Path) -> str:
    (folder / ".l.csv").write_text("file,label\n1.png,cat\n")
    return ".l.csv"


def outside(folder: Path) -> str:
    (folder.parent / "l.csv").write_text("file,label\n1.png,cat\n")
    (folder / "l.csv").symlink_to("../l.csv")
    return "l.csv"


@pytest.mark.parametrize(("make", "said"), [(hidden, "ingest.hidden: true"), (outside, "ingest.links_out: true")])
def test_a_table_that_is_left_out_says_why(tmp_path: Path, make: Callable[[Path], str], said: str) -> None:
    folder = tree(tmp_path / "s", "1.png")
    with pytest.raises(UserError, match=f"could not be brought in.*{said}"):
        bring("folder", folder, label="table", table={"file": make(folder), "path": "file"})


def test_a_snapshot_of_links_names_the_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blobs = tree(tmp_path / "blobs", "aa", "bb")
    for name, blob in (("cat/1.png", "aa"), ("dog/2.png", "bb")):
        (tmp_path / "s" / name).parent.mkdir(parents=True)
        (tmp_path / "s" / name).symlink_to(blobs / blob)
    bring("folder", tmp_path / "s")
    assert "2 link_leads_out" in (said := capsys.readouterr().err)
    assert "`ingest.links_out: true`" in said


def test_a_folder_of_heic_is_one_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s/train/cat").mkdir(parents=True)
    for name in ("IMG_1.HEIC", "IMG_2.heif"):
        (tmp_path / "s/train/cat" / name).write_bytes(PNG.getvalue())
    (tmp_path / "s/readme.txt").write_text("said")
    rows = bring("folder", tmp_path / "s")
    assert "is named like a picture" not in capsys.readouterr().err
    assert rows["train/cat/IMG_1.HEIC"]["label"] == "cat"


def test_a_row_finds_a_picture_of_another_format_that_no_row_names(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "a/1.png", "a/2.png", "a/3.txt")
    assert listed(folder, "1.jpg,cat", "2.jpg,cat", "2.png,dog", "3.jpg,cat") == [
        ("2.jpg", "cat", "missing_file"), ("3.jpg", "cat", "missing_file"), ("a/1.png", "cat", ""),
        ("a/2.png", "dog", ""), ("a/3.txt", "", "not_in_table"),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "label"), [("train.csv", "train/1.png"), ("val_labels.csv", "valid/1.png")])
def test_a_table_named_by_a_part_means_the_files_of_the_part(name: str, label: str, tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "train/1.png", "valid/1.png", "test/1.png")
    assert (label, "cat", "") in listed(folder, "1.png,cat", name=name, asked=name)
