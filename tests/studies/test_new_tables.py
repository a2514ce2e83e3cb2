"""`make new` on tables as people and programs write them: `ingest` reads the same labels."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stages.core import files
from stages.core.errors import UserError
from tests.studies.new_folders import labels, make, several, table, zipped


def test_pixels_in_columns_are_read_fast(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", several(["cat", "dog"]))
    pixels = {f"pixel{i:04}": range(400) for i in range(2352)}
    pd.DataFrame({**pixels, "label": [i % 7 for i in range(400)]}).to_csv(root / "pixels.csv", index=False)
    began = time.process_time()
    new()
    assert time.process_time() - began < 4
    assert labels(brought()) == {"cat": 8, "dog": 8}


def test_folders_count_more_than_a_column_of_sizes(tmp_path: Path, new: Any, brought: Any) -> None:
    paths = several(["cat", "dog"], 12)
    root = make(tmp_path / "pictures", paths)
    table(root, "sizes.csv", [{"path": p, "width": 24 + i % 2, "height": 9} for i, p in enumerate(paths)])
    new()
    assert labels(brought()) == {"cat": 12, "dog": 12}


@pytest.mark.parametrize("order", [["dx", "dx_type"], ["dx_type", "dx"]])
def test_a_whole_word_is_the_label(order: list[str], tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"ISIC_{i}.png" for i in range(40)])
    given: dict[str, Any] = {
        "dx": lambda i: ("nv", "mel", "bkl")[i % 3],
        "dx_type": lambda i: ("histo", "follow_up")[i // 20],
    }
    table(root, "m.csv", [{"image_id": f"ISIC_{i}"} | {c: given[c](i) for c in order} for i in range(40)])
    new()
    assert labels(brought()) == {"nv": 14, "mel": 13, "bkl": 13}


@pytest.mark.parametrize(
    "text",
    [
        "file, label\n{rows}",
        ",file,label\n{numbered}",
        "Unnamed: 0,file,label\n{numbered}",
        "\ufefffile ;label \n{semi}",
    ],
)
def test_a_csv_as_people_write_them(text: str, tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i:02}.png" for i in range(24)])
    lines = [f"{i:02}.png,{('cat', 'cat ', ' dog', 'dog')[i % 4]}" for i in range(24)]
    numbered = [f"{i},{line}" for i, line in enumerate(lines)]
    semi = [line.replace(",", ";") for line in lines]
    written = text.format(rows="\n".join(lines), numbered="\n".join(numbered), semi="\n".join(semi))
    (root / "labels.csv").write_text(written, encoding="utf-8")
    assert "24 pictures, 2 classes" in new()
    assert labels(brought()) == {"cat": 12, "dog": 12}


@pytest.mark.parametrize("kind", ["Int64", "float64", "boolean", "string"])
def test_a_parquet_file_without_a_label_in_some_rows(kind: str, tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i:02}.png" for i in range(30)])
    values = pd.Series([None if i % 3 == 2 else i % 3 for i in range(30)]).astype(kind)  # type: ignore[call-overload]
    pd.DataFrame({"file": [f"{i:02}.png" for i in range(30)], "label": values}).to_parquet(root / "labels.parquet")
    said = new()
    rows = labels(brought())
    assert sorted(rows.values()) == [10, 10]
    assert all(f"{label} 10" in said for label in rows)
    assert "10 pictures have no label" in said


def test_a_note_beside_each_picture(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i:03}.png" for i in range(20)])
    for i in range(20):
        (root / f"{i:03}.txt").write_text("0 0.5 0.5 1 1")
    table(root, "l.csv", [{"id": f"{i:03}", "label": "ab"[i % 2]} for i in range(20)])
    new()
    assert labels(brought()) == {"a": 10, "b": 10}


@pytest.mark.parametrize("folders", ["train val test", "fold1 fold2 rest"])
def test_tables_of_one_name_and_one_without_labels(folders: str, tmp_path: Path, new: Any, brought: Any) -> None:
    for folder in folders.split():
        paths = [f"{i}.png" for i in range(12)]
        root = make(tmp_path / "pictures" / folder, paths)
        rows = [{"file_name": path, "label": "ab"[i % 2], "width": 24} for i, path in enumerate(paths)]
        if folder == folders.split()[2]:
            rows = [{"file_name": path, "width": 24} for path in paths]
        table(root, "metadata.csv", rows)
    new()
    assert labels(brought()) == {"a": 12, "b": 12}


def test_rows_that_contradict_each_other(tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i}.png" for i in range(20)])
    rows = [{"file": f"{i}.png", "label": ("cat", "dog")[i % 2]} for i in range(20)]
    table(root, "l.csv", [*rows, {"file": "0.png", "label": "dog"}, {"file": "2.png", "label": "dog"}, rows[5]])
    said = new()
    assert "2 pictures have several labels in the table, for example '0.png'" in said
    assert "dog 10, cat 8" in said
    assert "no label" not in said


@pytest.mark.parametrize("header", ["filename,animal", "image,scene", "picture,site"])
def test_a_label_that_could_be_a_group(header: str, tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i}.png" for i in range(24)])
    (root / "t.csv").write_text(header + "\n" + "".join(f"{i}.png,{('cat', 'dog')[i % 2]}\n" for i in range(24)))
    new()
    assert labels(brought()) == {"cat": 12, "dog": 12}


@pytest.mark.parametrize("kind", ["table", "windows", "unflagged"])
def test_zips_as_programs_write_them(kind: str, tmp_path: Path, new: Any, brought: Any) -> None:
    classes = ("แมว", "หมา")
    root = make(tmp_path / "made", several(["pics"] if kind == "table" else classes, 16))
    if kind == "table":
        names = sorted(path.name for path in root.rglob("*.png"))
        table(root, "labels.csv", [{"file": name, "label": classes[i % 2]} for i, name in enumerate(names)])
    said = new(at=zipped(root, tmp_path / "x.zip", windows=kind == "windows", unflagged=kind == "unflagged"))
    assert f"{classes[0]} {8 if kind == 'table' else 16}" in said
    assert set(labels(brought())) == set(classes)


def latin(root: Path) -> None:
    (root / "notes.csv").write_bytes("name,where\nJosé,Málaga\n".encode("latin-1"))


def empty(root: Path) -> None:
    (root / "notes.csv").write_bytes(b"")


def lists(root: Path) -> None:
    pd.DataFrame({"file": ["cata.png", "catb.png"], "box": [[1, 2], [3, 4]]}).to_parquet(root / "boxes.parquet")


@pytest.mark.parametrize("stray", [latin, empty, lists])
def test_a_stray_table_does_no_harm(stray: Any, tmp_path: Path, new: Any, brought: Any) -> None:
    stray(make(tmp_path / "pictures", several(["cat", "dog"])))
    said = new()
    assert ("The table is not used" in said) == (stray is latin)
    assert labels(brought()) == {"cat": 8, "dog": 8}


def test_a_table_that_is_needed_is_refused(tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i}.png" for i in range(20)])
    (root / "l.csv").write_bytes("file,label\n0.png,José\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"l\.csv cannot be read as a table .*save it as UTF-8"):
        new()


def test_the_column_of_any_table(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i}.png" for i in range(30)])
    table(root, "all.csv", [{"file": f"{i}.png", "label": "ab"[i % 2]} for i in range(30)])
    table(root, "some.csv", [{"file": f"{i}.png", "species": "xyz"[i % 3]} for i in range(21)])
    new("--label-column", "species")
    assert labels(brought()) == {"x": 7, "y": 7, "z": 7}
    new(at=root / "some.csv", name="named")
    assert labels(brought("named")) == {"x": 7, "y": 7, "z": 7}, "the table that is named counts, whatever lies beside"


@pytest.mark.parametrize("flags", [[], ["--group", "none"], ["--label-column", "weather"]])
def test_addresses_and_flags(flags: list[str], tmp_path: Path, new: Any) -> None:
    rows = [
        {"url": f"https://example.org/none/{i}.jpg", "label": "ab"[i % 2], "weather": "xyz"[i % 3]} for i in range(30)
    ]
    table(tmp_path, "list.csv", rows)
    assert "series" not in new(*flags, at=tmp_path / "list.csv")
    written = Counter(row["label"] for row in files.read_rows(tmp_path / "studies/mine/addresses.csv"))
    assert written == ({"x": 10, "y": 10, "z": 10} if "weather" in flags else {"a": 15, "b": 15})
    table(tmp_path, "bare.csv", [{"url": row["url"]} for row in rows])
    with pytest.raises(UserError, match="no column that could be the label"):
        new(at=tmp_path / "bare.csv", name="bare")


def test_a_table_beside_the_repository(tmp_path: Path, new: Any) -> None:
    make(tmp_path / "repository", several(["cat"]))
    table(tmp_path, "labels.csv", [{"file": "cata.png", "label": "a"}])
    with pytest.raises(UserError, match="holds this repository itself"):
        new(at=tmp_path / "labels.csv")


@pytest.mark.parametrize("column", ["label", "species"])
def test_a_second_table_is_joined_or_named(column: str, tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i:02}.png" for i in range(40)])
    for name, numbers, title in (("train.csv", range(30), "label"), ("val.csv", range(30, 40), column)):
        table(root, name, [{"file": f"{i:02}.png", title: "ab"[i % 2]} for i in numbers])
    said = new()
    assert ("'val.csv' has labels too, of 10 further pictures" in said) == (column == "species")
    assert labels(brought()) == ({"a": 20, "b": 20} if column == "label" else {"a": 15, "b": 15})


def test_an_older_table_is_not_joined(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i:02}.png" for i in range(24)])
    for name, shift in (("labels.csv", 0), ("old_labels.csv", 1)):
        table(root, name, [{"file": f"{i:02}.png", "label": "ab"[(i + shift) % 2]} for i in range(24 - shift)])
    new()
    assert {row["label"] for path, row in brought().items() if int(path[:2]) % 2} == {"b"}


def test_coco_in_a_file_for_each_part(tmp_path: Path, new: Any, brought: Any) -> None:
    root = tmp_path / "pictures"
    for part in ("train", "val"):
        make(root, [f"{part}2017/{part}{i}.png" for i in range(12)])
        found = {
            "images": [{"id": i, "file_name": f"{part}{i}.png"} for i in range(12)],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "annotations": [{"image_id": i, "category_id": 1 + i % 2} for i in range(12)],
        }
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/instances_{part}2017.json").write_text(json.dumps(found))
        (root / f"annotations/captions_{part}2017.json").write_text(json.dumps(found | {"categories": None}))
    assert "divided already" in new()
    assert labels(brought()) == {"cat": 12, "dog": 12}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("line", ["{file},{label}", "{i}\t{label}\t{file}", "{file};;{label};{label}"])
def test_a_table_without_names_of_columns(line: str, encoding: str, tmp_path: Path, new: Any, brought: Any) -> None:
    """Two equal values or an empty one in the first line are no trouble, and the first line is a row."""
    root = make(tmp_path / "pictures", [f"{i:02}.png" for i in range(24)])
    lines = [line.format(i=i, file=f"{i:02}.png", label=("cat", "dog")[i % 2]) for i in range(24)]
    (root / "l.csv").write_text("\n".join(lines), encoding=encoding)
    assert "24 pictures, 2 classes. The label is column " in new()
    assert labels(brought()) == {"cat": 12, "dog": 12}
    assert brought()["00.png"]["label"] == "cat"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_table_in_utf_16(encoding: str, tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i:02}.png" for i in range(24)])
    text = "\ufefffile\tlabel\n" + "".join(f"{i:02}.png\t{('แมว', 'café')[i % 2]}\n" for i in range(24))
    (root / "l.csv").write_bytes(text.encode(encoding))
    new()
    assert labels(brought()) == {"แมว": 12, "café": 12}


@pytest.mark.parametrize("flags", [("cat", "dog"), ("nv", "mel", "bkl"), ("nv", "mel", "bkl", "none of them")])
@pytest.mark.parametrize("of", [int, float, bool])
def test_a_column_for_each_label(of: type, flags: tuple[str, ...], tmp_path: Path, new: Any, brought: Any) -> None:
    """The flags win over a column that only might be the label; two labels in one row are told."""
    root = make(tmp_path / "pictures", [f"ISIC_{i:02}.png" for i in range(60)])
    rows: list[dict[str, Any]] = [
        {"image": f"ISIC_{i:02}", **{f: of(i % len(flags) == k) for k, f in enumerate(flags)}} for i in range(60)
    ]
    if of is int:
        rows = [row | {"sex": "fm"[i // 30]} for i, row in enumerate(rows)]
    if len(flags) > 2:
        rows[0][flags[1]] = of(1)
    table(root, "truth.csv", rows)
    said = new()
    assert f"The label is the name of the column of 'truth.csv' that says 1 ({', '.join(flags)})" in said
    assert ("1 picture has several labels in the table, for example 'ISIC_00.png'" in said) == (len(flags) > 2)
    want = Counter(flags[i % len(flags)] for i in range(len(flags) > 2, 60))
    assert labels(brought()) == want


def test_flags_of_parts_are_no_labels(tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i:02}.png" for i in range(24)])
    table(root, "t.csv", [{"file": f"{i:02}.png", "is_train": int(i < 18), "is_test": int(i > 17)} for i in range(24)])
    with pytest.raises(UserError, match="nor a table say their labels"):
        new()


def test_numbers_that_pandas_wrote_with_a_point_are_labels(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i}.png" for i in range(24)])
    table(root, "labels.csv", [{"file": f"{i}.png", "label": f"{i % 3}.0", "blur": f"{i / 7:.3f}"} for i in range(24)])
    new()
    assert labels(brought()) == {"0.0": 8, "1.0": 8, "2.0": 8}


def test_two_flags_do_not_outweigh_a_column_of_words(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i}.png" for i in range(24)])
    given = [{"file": f"{i}.png", "indoor": i % 2, "outdoor": 1 - i % 2, "sort": "abc"[i % 3] * 3} for i in range(24)]
    table(root, "labels.csv", given)
    new()
    assert labels(brought()) == {"aaa": 8, "bbb": 8, "ccc": 8}
