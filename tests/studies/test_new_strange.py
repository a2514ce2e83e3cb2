"""`make new` on folders as practitioners bring them: what it takes for the label, and what it says of the rest."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from stages.core.errors import UserError
from stages.core.labels import alike
from studies.new import layout, names, notes, refusals, tables
from studies.new.layout import Layout
from studies.new.listing import look
from tests.studies.new_folders import make, table

CLASSES = ("cat", "dog", "owl")


def decided(paths: list[str]) -> Layout:
    found = layout.decide(paths, names.parts(paths), [], None)
    assert found
    return found


@pytest.mark.parametrize(
    "versions",
    [["original", "augmented"], ["images", "thumbnails"], ["256x256", "512x512"], ["raw", "masks_png"],
     ["", "Thumbs"], ["", "better"]],
)  # fmt: skip
def test_versions_of_a_picture_are_no_classes(versions: list[str]) -> None:
    paths = [re.sub("/+", "/", f"{of}/{one}/{k}.jpg") for of in CLASSES for one in versions for k in range(6)]
    found = decided(paths)
    assert found.labels == {path: path.split("/")[0] for path in paths}
    assert found.group is None


def test_trees_of_versions_are_groups_of_one_picture() -> None:
    paths = [f"{one}/{of}/{k}.jpg" for one in ("color", "grayscale") for of in CLASSES for k in range(6)]
    found = decided(paths)
    assert set(found.counts) == set(CLASSES)
    assert found.group
    pattern = re.compile(found.group)
    assert {pattern.match(path)["group"] for path in paths} == {f"{of}/{k}" for of in CLASSES for k in range(6)}  # type: ignore[index]


def test_masks_which_look_alike_join_no_pictures() -> None:
    paths = [f"{one}/{of}/{k}.png" for one in ("images", "masks") for of in CLASSES for k in range(6)]
    assert decided(paths).group is None


def test_a_patient_stands_above_the_views() -> None:
    paths = [
        f"{of}/SOB/{of}{who}/{view}/{k}.png" for of in CLASSES for who in range(4) for view in ("40X", "100X")
        for k in range(3)
    ]  # fmt: skip
    group = decided(paths).group
    assert group
    assert {re.match(group, path)["group"] for path in paths} == {path.rsplit("/", 2)[0] for path in paths}  # type: ignore[index]


@pytest.mark.parametrize("end", ["v0 v1", "L R", "a b c", "left right", "img mask", "orig aug2"])
def test_the_end_of_a_name_that_tells_a_version_is_no_label(end: str) -> None:
    paths = [f"f_{k:03}_daisy_{one}.jpg" for k in range(9) for one in end.split()]
    assert layout.by_name(paths, None) is None


@pytest.mark.parametrize("name", ["{k}_{one}.jpg", "x_{k}_{one}.jpg"])
def test_sides_are_no_labels_but_letters_are(name: str) -> None:
    sides, letters = ([name.format(k=k, one=one) for k in range(9) for one in ones] for ones in ("LR", "ABCDE"))
    assert layout.by_name(sides, None) is None
    assert layout.by_name(letters, None)


def test_many_numbered_folders_above_equal_ones_are_patients() -> None:
    paths = [f"p{who:03}/{grade}/{k}.png" for who in range(12) for grade in "01" for k in range(3)]
    assert set(decided(paths).counts) == {"0", "1"}


@pytest.mark.parametrize("parts", [("Trainingsdaten", "Testdaten"), ("entraînement", "test"), ("训练集", "测试集")])
def test_parts_in_other_languages_are_told(parts: tuple[str, str], tmp_path: Path) -> None:
    paths = [f"{part}/{of}/{k}.png" for part in parts for of in CLASSES for k in range(4)]
    said = told(paths, [path.split("/")[1] for path in paths], root=tmp_path)
    assert "may be parts of a data set" in said
    assert all(repr(part) in said for part in parts)


@pytest.mark.parametrize(("column", "named"), [("masterCategory", True), ("Type1", True), ("baseColour", False)])
def test_columns_named_like_labels(column: str, named: bool, tmp_path: Path) -> None:
    make(tmp_path, [f"{k}.png" for k in range(12)])
    rows = [{"id": k, "gender": "fm"[k % 2], "season": "ws"[k // 6], column: "abc"[k % 3]} for k in range(12)]
    table(tmp_path, "styles.csv", rows)
    found, _ = tables.find(look(tmp_path))
    assert (found[0].label == column) == named
    said = notes.of_tables(found, [], layout.by_table(found[0]))
    assert any("could also be the column" in one for one in said) != named


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [("is_train", "10", True), ("Test", "yn", True), ("cv_fold", "01234", True), ("split", "AB", True),
     ("size", "01", False), ("training_hours", "01234", False), ("fold", "1", False)],
)  # fmt: skip
def test_a_column_that_may_say_the_parts_is_told(column: str, values: str, told: bool, tmp_path: Path) -> None:
    make(tmp_path, [f"{k}.png" for k in range(12)])
    rows = [{"file": f"{k}.png", "species": "abc"[k % 3], column: values[k % len(values)]} for k in range(12)]
    table(tmp_path, "all.csv", rows)
    listing = look(tmp_path)
    found, _ = tables.find(listing)
    said = " ".join(notes.of_names(listing, layout.by_table(found[0]), None))
    assert (f"The column {column!r} of all.csv may say to which part" in said) == told


def test_a_table_of_each_part_names_its_own_files(tmp_path: Path, new: Any, brought: Any) -> None:
    for part, count in (("train", 18), ("test", 9)):
        make(tmp_path / "pictures", [f"{part}_images/{k}.png" for k in range(count)])
        table(
            tmp_path / "pictures", f"{part}.csv", [{"file": f"{k}.jpg", "label": CLASSES[k % 3]} for k in range(count)]
        )
    said = new()
    assert "The folder is divided already: train_images (18), test_images (9)" in said
    rows = brought()
    assert {path: row["label"] for path, row in rows.items() if row["file"]} == {
        f"{part}_images/{k}.png": CLASSES[k % 3] for part, count in (("train", 18), ("test", 9)) for k in range(count)
    }


def told(paths: list[str], labels: list[str], rule: str = "parent", root: Path = Path()) -> str:
    found = Layout(rule, dict(zip(paths, labels, strict=True)), "")
    return " ".join(notes.of_names(look(root), found, None))


@pytest.mark.parametrize(
    ("paths", "labels", "said"),
    [
        (["c/1.png", "c/1_mask.png", "d/2.png"], ["c", "c", "d"], "1 of the pictures, for example 'c/1_mask.png'"),
        (
            ["i/c/1.png", "masks/c/1.png", "i/d/2.png"],
            ["c", "c", "d"],
            "1 of the pictures, for example 'masks/c/1.png'",
        ),
        (["mask/1.png", "no_mask/1.png"], ["mask", "no_mask"], ""),
        (["c/1.png", "Unlabeled/1.png", "New folder/1.png"], ["c", "Unlabeled", "New folder"], "'Unlabeled'"),
    ],
)
def test_what_names_make_doubtful(paths: list[str], labels: list[str], said: str, tmp_path: Path) -> None:
    found = told(paths, labels, root=tmp_path)
    assert said in found
    assert bool(said) == bool(found)


def test_several_classes_in_one_label(tmp_path: Path) -> None:
    labels = ["cat", "dog", "cat|dog", "Maple; red"]
    assert "of the labels" not in told(list("abcd"), labels, "parent", tmp_path)
    assert "for example 'cat|dog'" in told(list("abcd"), labels, "table", tmp_path)


def test_pictures_of_several_categories_are_not_called_unlabelled(tmp_path: Path) -> None:
    make(tmp_path, [f"{k}.png" for k in range(4)])
    shown = [(k, k % 2) for k in range(4)] + [(0, 1)]
    whole = {
        "images": [{"id": k, "file_name": f"{k}.png"} for k in range(4)],
        "annotations": [{"image_id": k, "category_id": c} for k, c in shown],
        "categories": [{"id": c, "name": CLASSES[c]} for c in range(2)],
    }
    (tmp_path / "instances.json").write_text(json.dumps(whole), encoding="utf-8")
    found, _ = tables.find(look(tmp_path))
    assert found[0].torn == {"0.png"}


@pytest.mark.parametrize(
    ("name", "data", "way"),
    [
        ("cats.zip", b"PK", "unpack the archives in it, for example 'cats.zip'"),
        ("train.parquet", b"PAR1", "if 'train.parquet' holds pictures, write each of them into a file"),
        ("u.csv", b"url,label\nhttp://a.b/1.jpg,cat\nhttp://a.b/2.jpg,dog\n", "name that table itself"),
    ],
)
def test_a_folder_without_pictures_says_where_they_may_be(name: str, data: bytes, way: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=re.escape(way)):
        refusals.refuse(look(tmp_path), None, None)


@pytest.mark.parametrize("name", ["train.txt", "a.xml", "labels.xlsx", "x.json"])
def test_files_that_may_say_the_labels_are_named(name: str, tmp_path: Path) -> None:
    make(tmp_path, ["1.png", "2.png"])
    (tmp_path / "README.txt").touch()
    (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(f"if '{name}' says the labels")):
        refusals.refuse(look(tmp_path), None, None)


def test_files_of_an_archive_that_may_say_the_labels_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("1.png", b"\x89PNG")
        file.writestr("train.txt", "1.png 0")
    with pytest.raises(UserError, match=r"if 'train\.txt' says the labels"):
        refusals.refuse(look(tmp_path / "a.zip"), None, None)


def test_numbers_that_are_written_in_two_ways_look_the_same() -> None:
    assert alike({"1", "01", "1.0", "10", "2", "1.5"}) == [["01", "1", "1.0"]]


def yolo(root: Path, place: str = "{of}/{part}") -> None:
    part = ["train" if k < 12 else "val" for k in range(18)]
    for k in range(18):
        text = root / place.format(of="labels", part=part[k]) / f"{k}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        several = "0 0.5 0.5 0.2 0.2\n" * (k == 17)
        text.write_text(f"{k % 2} 0.5 0.5 0.25 0.25\n{k % 2} 0.1 0.2 0.1 0.1\n{several}", encoding="utf-8")
    make(root, [f"{place.format(of='images', part=part[k])}/{k}.jpg" for k in range(18)])
    (root / "data.yaml").write_text("names: [cat, dog]", encoding="utf-8")


def yolo_below_parts(root: Path) -> None:
    yolo(root, "{part}/{of}")


def voc(root: Path) -> None:
    (root / "Annotations").mkdir()
    make(root, [f"JPEGImages/{k}.jpg" for k in range(18)])
    for k in range(18):
        box = "<object><name>{}</name><bndbox><xmin>1</xmin></bndbox></object>"
        boxes = box.format(CLASSES[k % 2]) + box.format("dog") * (k == 16)
        xml = f"<annotation>\n<filename>{k}.jpg</filename>{boxes}</annotation>"
        (root / f"Annotations/{k}.xml").write_text(xml, encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "said"), [(yolo, "form of YOLO"), (yolo_below_parts, "form of YOLO"), (voc, "form of Pascal VOC")]
)
def test_boxes_are_told_and_the_documented_lines_make_a_table_of_them(
    kind: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: Any, brought: Any
) -> None:
    (tmp_path / "pictures").mkdir()
    kind(tmp_path / "pictures")
    with pytest.raises(UserError, match=said) as error:
        new()
    assert "docs/howto.md, 'Make a table from boxes'" in str(error.value)
    assert "one class" not in str(error.value)
    text = (
        (Path(__file__).parents[2] / "docs/howto.md").read_text(encoding="utf-8").split("## Make a table from boxes")[1]
    )
    block = re.findall(r"```python\n(.*?)```", text, re.S)[kind is voc]
    monkeypatch.chdir(tmp_path / "pictures")
    exec(block, {})  # noqa: S102 - what the reader runs
    new()
    found = {path: row["label"] for path, row in brought().items()}
    whole = {k: CLASSES[k % 2] for k in range(18) if k != (16 if kind is voc else 17)}
    assert {int(Path(path).stem): label for path, label in found.items()} == whole
