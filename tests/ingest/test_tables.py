"""Labels, groups and parts from tables: CSV, TSV, JSON Lines, Parquet, imagefolder metadata, COCO."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core import files
from stages.core.errors import UserError
from stages.ingest import table_file
from tests.ingest.test_ingest import PNG, bring
from tests.ingest.test_names import tree

ODD = ["nan", "NA", "null", "true", "01", "1", "a b", 'it\'s "so"', "แมว", "=1+1", "1.0", "x;y", "x,y", "tab\there"]
Records = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")


def delimited(delimiter: str) -> Callable[[Path, Records], None]:
    import csv

    def write(path: Path, records: Records) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(records)

    return write


def parquet(path: Path, records: Records) -> None:
    import pandas as pd

    pd.DataFrame(records).to_parquet(path)


def json_lines(path: Path, records: Records) -> None:
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")


WRITERS: dict[str, tuple[str, Callable[[Path, Records], None]]] = {
    "comma": ("labels.csv", delimited(",")), "semicolon": ("labels.csv", delimited(";")),
    "tab": ("l.tsv", delimited("\t")),
    "parquet": ("Labels.PARQUET", parquet), "json lines": ("meta data.jsonl", json_lines),
}  # fmt: skip


@pytest.mark.parametrize("source", ["folder", "archive"])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_text_that_stands_in_it(tmp_path: Path, kind: str, source: str) -> None:
    names = [f"images/{i:02}.png" for i in range(len(ODD))]
    folder = tree(tmp_path / "s", *names)
    name, write = WRITERS[kind]
    write(folder / name, [{"Image Path": n, "what is it?": label, "n": 1} for n, label in zip(names, ODD, strict=True)])
    if source == "archive":
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                archive.write(path, path.relative_to(folder))
        folder = tmp_path / "s.zip"
    table = {"file": name, "path": "Image Path", "label": "what is it?"}
    rows = bring(source, folder, label="table", table=table)
    assert {n: rows[n]["label"] for n in names} == dict(zip(names, [label.strip() for label in ODD], strict=True))
    assert all((Path("data/raw") / rows[n]["file"]).is_file() for n in names)
    assert rows[name]["problem"] == "not_in_table"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_without_names_of_columns(tmp_path: Path, encoding: str, delimiter: str) -> None:
    folder = tree(tmp_path / "s", *(f"{i}.png" for i in range(3)))
    text = "".join(f"{i}.png{delimiter}{label}\n" for i, label in enumerate(["cat", "แมว", "dog"]))
    (folder / "l.csv").write_text(text, encoding=encoding)
    rows = bring("folder", folder, label="table", table={"file": "l.csv", "header": False, "path": "1", "label": "2"})
    assert {path: row["label"] for path, row in rows.items() if row["file"]} == {
        "0.png": "cat", "1.png": "แมว", "2.png": "dog",
    }  # fmt: skip
    with pytest.raises(UserError, match="has no column `3`, but `1`, `2`"):
        bring("folder", folder, label="table", table={"file": "l.csv", "header": False, "path": "1", "label": "3"})


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("pair", [("0", "1"), ("0.0", "1.0"), ("false", "true")])
def test_a_column_for_each_label(tmp_path: Path, kind: str, pair: tuple[str, str]) -> None:
    """Of each row one says 1; a row with two is named, and one with none has no label."""
    said = [[1, 0], [0, 1], [1, 1], [0, 0]]
    folder = tree(tmp_path / "s", *(f"{i}.png" for i in range(4)))
    name, write = WRITERS[kind]
    write(folder / name, [{"id": f"{i}.png", "a b": pair[x], "c": pair[y]} for i, (x, y) in enumerate(said)])
    rows = bring("folder", folder, label="table", table={"file": name, "path": "id", "label": ["a b", "c"]})
    assert [(rows[f"{i}.png"]["label"], rows[f"{i}.png"]["problem"]) for i in range(4)] == [
        ("a b", ""), ("c", ""), ("", "several_labels"), ("", ""),
    ]  # fmt: skip


def test_every_file_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    folder = tree(
        tmp_path / "s",
        "1.png",
        "2.png",
        "deep/3.png",
        "deep/4.png",
        "a/5.png",
        "b/5.png",
        "6.png",
        "7.png",
        "no label.png",
    )
    (folder / "7.png").unlink()
    (folder / "7.png").symlink_to("nowhere")
    (folder / "labels.csv").write_text(
        "file,label,who\n1.png,cat,p1\n./2.png,dog,p1\n3,cow,p2\n4.png,cat,\n5.png,cat,\nmissing.png,dog,p9\n1.png,cat,p1\n"
        "1.png,dog,p1\n7.png,cat,\n../../../etc/passwd,dog,\nno label.png,,\n"
    )
    bring("folder", folder, label="table", table={"file": "labels.csv", "path": "file", "group": "who"})
    rows = files.read_rows("data/raw/manifest.csv")
    found = sorted((row["path"], row["label"], row["group"], row["problem"]) for row in rows)
    assert found == sorted([
        ("1.png", "cat", "p1", ""), ("1.png", "cat", "p1", "twice_in_table"), ("1.png", "dog", "p1", ""),
        ("2.png", "dog", "p1", ""), ("deep/3.png", "cow", "p2", ""), ("deep/4.png", "cat", "", ""),
        ("5.png", "cat", "", "several_files"), ("missing.png", "dog", "p9", "missing_file"),
        ("../../../etc/passwd", "dog", "", "missing_file"), ("7.png", "cat", "", "dangling_link"),
        ("no label.png", "", "", ""), ("a/5.png", "", "", "not_in_table"), ("b/5.png", "", "", "not_in_table"),
        ("6.png", "", "", "not_in_table"), ("labels.csv", "", "", "not_in_table"),
    ])  # fmt: skip
    kept = {row["file"] for row in rows if row["file"]}
    assert all(bool(row["file"]) != bool(row["problem"]) for row in rows)
    assert kept == {p.relative_to("data/raw").as_posix() for p in Path("data/raw/files").rglob("*") if p.is_file()}


def test_a_part_puts_the_picture_where_split_finds_it(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "1.png", "test/2.png", "3.png")
    (folder / "l.csv").write_text("file_name,label,fold\n1.png,a,test\ntest/2.png,b,test\n3.png,b,\n")
    rows = bring("folder", folder, label="table", table={"file": "l.csv", "part": "fold"})
    assert {path: row["file"] for path, row in rows.items() if row["file"]} == {
        "test/1.png": "files/1.png", "test/2.png": "files/test/2.png", "3.png": "files/3.png",
    }  # fmt: skip


def test_imagefolder_metadata_in_each_part(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "train/0001.png", "train/0002.png", "test/0001.png")
    json_lines(
        folder / "train/metadata.jsonl", [{"file_name": "0001.png", "label": 3}, {"file_name": "0002.png", "label": 4}]
    )
    json_lines(folder / "test/metadata.jsonl", [{"file_name": "0001.png", "label": 4}])
    rows = bring("folder", folder, label="table", table={"file": "*/metadata.jsonl"})
    assert {path: row["label"] for path, row in rows.items() if row["file"]} == {
        "train/0001.png": "3", "train/0002.png": "4", "test/0001.png": "4",
    }  # fmt: skip


def test_coco(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", *(f"images/{i}.jpg" for i in range(5)))
    images = [{"id": i, "file_name": f"{i}.jpg", "location": f"cam{i % 2}"} for i in range(4)]
    boxes = ((0, 1), (0, 1), (1, 2), (2, 1), (2, 2), (9, 1))
    coco = {
        "images": [*images, {"id": 9, "file_name": "gone.jpg"}],
        "categories": [{"id": 1, "name": "lynx"}, {"id": 2, "name": "01"}],
        "annotations": [
            {"image_id": image, "category_id": category, "bbox": [0, 0, 1, 1]} for image, category in boxes
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(coco))
    rows = bring("folder", folder, label="table", table={"file": "annotations.json", "group": "location"})
    assert {path: (row["label"], row["group"], row["problem"]) for path, row in rows.items()} == {
        "images/0.jpg": ("lynx", "cam0", ""), "images/1.jpg": ("01", "cam1", ""),
        "images/2.jpg": ("", "cam0", "several_labels"), "images/3.jpg": ("", "cam1", ""),
        "images/4.jpg": ("", "", "not_in_table"), "gone.jpg": ("lynx", "", "missing_file"),
        "annotations.json": ("", "", "not_in_table"),
    }  # fmt: skip


def test_labels_from_folders_and_groups_from_a_table(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "cat/1.png", "dog/2.png")
    (folder / "patients.csv").write_text("file;patient\n1.png;007\n2.png;7\n")
    rows = bring("folder", folder, table={"file": "patients.csv", "path": "file", "group": "patient"})
    assert {(row["label"], row["group"]) for row in rows.values() if row["file"]} == {("cat", "007"), ("dog", "7")}


@pytest.mark.parametrize("source", ["folder", "archive"])
def test_a_fraction_of_a_table(tmp_path: Path, source: str) -> None:
    names = [f"{i}.png" for i in range(40)]
    folder = tree(tmp_path / "s", *names)
    (folder / "l.csv").write_text("file_name,label\n" + "".join(f"{n},a\n" for n in names))
    if source == "archive":
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            for name in [*names, "l.csv"]:
                archive.write(folder / name, name)
        folder = tmp_path / "s.zip"
    rows = bring(source, folder, label="table", table={"file": "l.csv"}, fraction=0.1)
    assert sorted(row["problem"] for row in rows.values()) == [""] * 4 + ["not_in_table"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "l.csv",
            b"name,class\n1.png,a\n",
            "l.csv has no column `file_name`, but `name`, `class`; `ingest.table` names",
        ),
        ("l.csv", b"file_name,label\n", "l.csv has no rows"),
        ("l.csv", b"", "l.csv has no rows"),
        ("l.csv", b'file_name,label\n"1.png,a\n', "l.csv is no CSV in line"),
        ("l.csv", "file_name,label\n1.png,caf\u00e9\n".encode("latin-1"), "l.csv is not UTF-8 in line 2"),
        ("l.jsonl", b'{"file_name": "1.png"\n', "l.jsonl, line 1, is no JSON"),
        ("l.jsonl", b"3\n", "l.jsonl, line 1, is no mapping"),
        ("l.jsonl", b"[" * 100_000, "is no JSON"),
        (
            "l.jsonl",
            b'{"file_name": "1.png", "label": ["a", "b"]}',
            "has no text in its column `label`; name another column",
        ),
        ("l.json", b'{"images": 3}', "l.json is no COCO file"),
        (
            "l.json",
            b'{"images": [{"id": 1}], "categories": [], "annotations": [{"image_id": 1, "category_id": 5}]}',
            "no COCO file",
        ),
        ("l.parquet", b"PAR1 or so", "l.parquet is no Parquet file that can be read"),
        ("l.xlsx", b"", "a table ends in .csv, .tsv, .parquet"),
        ("other.csv", b"", "`ingest.table.file` is l.csv, which is not in"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "1.png").write_bytes(PNG.getvalue())
    (folder / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        bring("folder", folder, label="table", table={"file": name if name.startswith("l.") else "l.csv"})
    assert message in str(error.value)
    assert not Path("data/raw").exists()


def test_a_table_that_names_no_file_at_all(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "1.png")
    (folder / "l.csv").write_text("file_name,label\nx.png,a\ny.png,b\n")
    with pytest.raises(UserError, match=r"none of 2 rows of `ingest.table` names a file"):
        bring("folder", folder, label="table", table={"file": "l.csv"})


@pytest.mark.parametrize(
    ("part", "path"), [("\ud800", "\\ud800/1.png"), ("1" * 5000, r"1{100}\.\.\. \(5000 characters, .*\)/1\.png")]
)
def test_a_part_that_no_file_can_hold_ends_nothing(tmp_path: Path, part: str, path: str) -> None:
    folder = tree(tmp_path / "s", "1.png", "2.png")
    json_lines(folder / "l.jsonl", [{"f": "1.png", "y": "a", "p": part}, {"f": "2.png", "y": "b", "p": "test"}])
    rows = bring("folder", folder, label="table", table={"file": "l.jsonl", "path": "f", "label": "y", "part": "p"})
    assert [bool(row["file"]) for row in rows.values()] == [True, False, True]
    (odd,) = (name for name in rows if name not in {"l.jsonl", "test/2.png"})
    assert odd == path or re.fullmatch(path, odd)


def test_what_a_parquet_says_cannot_be_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No UTF-8, no such time; equal rows and long texts, packed to almost nothing."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    monkeypatch.setattr(table_file, "MOST_ROWS", 1000)
    monkeypatch.setattr(table_file, "MOST_BYTES", 10_000_000)
    bytes_ = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")])
    unreadable = "is no Parquet file that can be read"
    for label, message in (
        (bytes_, unreadable),
        (pa.array([10**15], pa.timestamp("s")), unreadable),
        (pa.array([10**9], pa.date32()), unreadable),
        (pa.repeat("a", 50_000), "50,000 rows of .* give it a row for each picture"),
        (pa.DictionaryArray.from_arrays(pa.repeat(0, 900), ["x" * 100_000]), "has 90,004,500 bytes of text"),
    ):
        folder = tree(tmp_path / "s", "1.png")
        pq.write_table(pa.table({"f": pa.repeat("1.png", len(label)), "y": label}), folder / "l.parquet")
        with pytest.raises(UserError, match=message):
            bring("folder", folder, label="table", table={"file": "l.parquet", "path": "f", "label": "y"})
