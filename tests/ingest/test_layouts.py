"""Where the label comes from, in trees as people have them; what is said before anything long begins."""

import time
import zipfile
from pathlib import Path

import pytest

from stages.core import files
from stages.core.errors import UserError
from stages.core.folders import notes, part_level, part_named
from stages.ingest import pattern
from tests.ingest.test_ingest import bring
from tests.ingest.test_names import tree

SOURCES = ["folder", "archive"]


@pytest.fixture(autouse=True)
def _in_an_empty_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")


def source(tmp_path: Path, kind: str, *names: str) -> Path:
    """A folder, or a zip, with files of these names."""
    folder = tree(tmp_path / "pictures", *names)
    if kind == "folder":
        return folder
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for name in names:
            archive.write(folder / name, name)
    return tmp_path / "pictures.zip"


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(
    ("label", "labels"),
    [
        ("parent", ["Golden-Delicious", "Pink Lady", "Asparagus", "Pear"]),
        (1, ["Fruit", "Fruit", "Vegetables", "Fruit"]),
        (2, ["Apple", "Apple", "Asparagus", "Pear"]),
        (3, ["Golden-Delicious", "Pink Lady", "", ""]),
        ("path", ["Fruit/Apple/Golden-Delicious", "Fruit/Apple/Pink Lady", "Vegetables/Asparagus", "Fruit/Pear"]),
    ],
)
def test_labels_at_two_depths(tmp_path: Path, kind: str, label: str | int, labels: list[str]) -> None:
    names = [
        "Fruit/Apple/Golden-Delicious/1.jpg", "Fruit/Apple/Pink Lady/1.jpg", "Vegetables/Asparagus/1.jpg",
        "Fruit/Pear/1.jpg",
    ]  # fmt: skip
    rows = bring(kind, source(tmp_path, kind, *names), label=label)
    assert [rows[name]["label"] for name in names] == labels


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("wrapper", ["", "garments-main/"])
@pytest.mark.parametrize(
    "parts", [("train", "validation", "test"), ("Train", "VALID", "holdout"), ("train2017", "dev_set", "Eval")]
)
def test_published_parts_are_no_labels(tmp_path: Path, kind: str, wrapper: str, parts: tuple[str, ...]) -> None:
    names = [f"{wrapper}{part}/{label}/1.png" for part in parts for label in ("hat", "long/sleeve")]
    flat = f"{wrapper}{parts[2]}/nobody knows.png"
    path = source(tmp_path, kind, *names, flat, "readme.txt")
    rows = bring(kind, path)
    assert {rows[name]["label"] for name in names} == {"hat", "sleeve"}
    assert rows[flat]["label"] == "", "a picture in the part's own folder has no label"
    rows = bring(kind, path, label="path")
    assert {rows[name]["label"] for name in names} == {f"{wrapper}hat", f"{wrapper}long/sleeve"}
    assert part_level(names) == wrapper.count("/")


def test_a_train_among_vehicles_is_a_class(tmp_path: Path) -> None:
    rows = bring("folder", source(tmp_path, "folder", "Train/Steam/1.jpg", "Train/2.jpg", "Car/3.jpg"), label="path")
    assert [row["label"] for row in rows.values()] == ["Car", "Train", "Train/Steam"]


@pytest.mark.parametrize(
    "name", ["train", "VAL", "Valid", "validation", "dev", "Test", "eval", "holdout", "hold-out", "test_set"]
)
def test_names_of_parts(name: str) -> None:
    assert part_named(name)


@pytest.mark.parametrize(
    "name", ["trainer", "trains", "testament", "device", "valley", "Evaluator", "7", "contest", ""]
)
def test_names_that_are_none(name: str) -> None:
    assert not part_named(name)


@pytest.mark.parametrize("kind", SOURCES)
def test_labels_in_the_names_of_the_files(tmp_path: Path, kind: str) -> None:
    names = ["cat_001.jpg", "cat-2.jpg", "Cat17.jpeg", "st. bernard_1.jpg", "more/dog_3.jpg", "007.jpg"]
    rows = bring(kind, source(tmp_path, kind, *names), label="name", name_pattern=r"(?P<label>\D+?)[_-]?\d*\.\w+")
    assert {name: rows[name]["label"] for name in names} == {
        "cat_001.jpg": "cat", "cat-2.jpg": "cat", "Cat17.jpeg": "Cat", "st. bernard_1.jpg": "st. bernard",
        "more/dog_3.jpg": "dog", "007.jpg": "",
    }  # fmt: skip
    with pytest.raises(UserError, match=r"`ingest.name_pattern` is .* matches none of 6 names"):
        bring(
            kind,
            tmp_path / ("pictures" if kind == "folder" else "pictures.zip"),
            label="name",
            name_pattern="(?P<label>x+)9",
        )


@pytest.mark.parametrize(
    "nasty", [r"(?P<label>(a+)+)$", r"(?P<label>(a|aa)+)b", r"(?P<label>(\w*)*)!", r"(?P<label>([a-z]+\d?)*)=$"]
)
def test_a_pattern_cannot_hang_the_run(tmp_path: Path, nasty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "SECONDS", 0.3)
    folder = source(tmp_path, "folder", f"x/{'a' * 60}.jpg")
    began = time.process_time()
    with pytest.raises(UserError, match=r"`ingest.name_pattern` takes more than 0.3 s of computing on 1 names"):
        bring("folder", folder, label="name", name_pattern=nasty)
    assert time.process_time() - began < 3
    assert not Path("data/raw").exists()


@pytest.mark.parametrize("kind", SOURCES)
def test_groups_by_a_pattern_on_the_path(tmp_path: Path, kind: str) -> None:
    names = ["cat/clip07_0001.jpg", "dog/clip07_0002.jpg", "cat/clip8_1.jpg", "cat/single.jpg"]
    rows = bring(kind, source(tmp_path, kind, *names), group={"pattern": r"/(?P<group>clip\d+)_"})
    assert [rows[name]["group"] for name in names] == ["clip07", "clip07", "clip8", ""]
    assert [rows[name]["label"] for name in names] == ["cat", "dog", "cat", "cat"]
    whole = bring(
        kind, tmp_path / ("pictures" if kind == "folder" else "pictures.zip"), group={"pattern": "^(?P<group>[^/]+)"}
    )
    assert {row["group"] for row in whole.values()} == {"cat", "dog"}


def said(*pictures: tuple[str, int], published: bool = False) -> str:
    """Notes on so many pictures in each folder, labelled by it."""
    found = [(f"{folder}/{i}.jpg", folder.rpartition("/")[2]) for folder, number in pictures for i in range(number)]
    return " ".join(notes(found, published=published))


def test_what_should_be_looked_at_is_said() -> None:
    assert said(("cat", 10), ("dog", 10)) == ""
    assert "The labels `test`, `train` look like names of published parts" in said(("train", 10), ("test", 9))
    presplit = (("train/a", 9), ("train/b", 9), ("valid/a", 3), ("Test/b", 3))
    assert "to use them: `split: {test: {folder: Test}, val: {folder: valid}}`" in said(*presplit)
    assert "test: {folder: w/test}" in said(("w/train/a", 2), ("w/train/b", 2), ("w/test/a", 2))
    assert said(*presplit, published=True) == ""
    assert "The class `cat` holds 95 of 100 pictures" in said(("cat", 95), ("dog", 5))
    assert "holds" not in said(("cat", 94), ("dog", 6))
    assert "All pictures have the label `cat`" in said(("cat", 5))
    assert "This class has a single picture" in said(("cat", 5), ("dog", 6), ("cow", 1))
    assert "`0`, `1`, `10`, `100`, `101` and 495 more" in said(*((str(i), 1) for i in range(500)))


def test_notes_are_printed_before_anything_else_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bring("folder", source(tmp_path, "folder", "train/1.jpg", "test/2.jpg"))
    told = capsys.readouterr().err
    assert "The labels `test`, `train` look like names of published parts" in told
    assert "These classes have a single picture" in told


@pytest.mark.parametrize("kind", SOURCES)
def test_a_flat_folder_says_what_can_be_done(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=r"no file of .* has a label by `ingest.label: parent`, for example '1.jpg'"):
        bring(kind, source(tmp_path, kind, "1.jpg", "2.jpg"))


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("label", [3, 9])
def test_a_level_that_is_too_deep_is_answered_with_one_that_gives_labels(tmp_path: Path, kind: str, label: int) -> None:
    pictures = source(tmp_path, kind, "train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "test/dog/4.jpg")
    with pytest.raises(
        UserError,
        match=rf"by `ingest.label: {label}`.*`ingest.label: 2` gives 2 labels: `cat`, `dog`$",
    ):
        bring(kind, pictures, label=label)
    assert {row["label"] for row in bring(kind, pictures, label=2).values()} == {"cat", "dog"}


@pytest.mark.parametrize("label", [1, "parent"])
def test_a_level_with_one_name_alone_is_answered_with_one_that_gives_labels(
    tmp_path: Path, label: int | str, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = source(tmp_path, "folder", "all/cat/jpg/1.jpg", "all/dog/jpg/2.jpg")
    bring("folder", pictures, label=label)
    assert "if folders name the labels, `ingest.label: 2` gives 2 labels: `cat`, `dog`" in capsys.readouterr().err
    assert {row["label"] for row in bring("folder", pictures, label=2).values()} == {"cat", "dog"}


def test_a_folder_without_pictures_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bring("folder", source(tmp_path, "folder", "src/main.c", "docs/readme.md"))
    said = capsys.readouterr().err
    assert "is named like a picture, for example 1.jpg; `ingest.path` must lead to the pictures" in said


@pytest.mark.parametrize("name", ["my pictures", 'it\'s "mine"', "รูปภาพ", "$(touch x)", "a;b", "-x", "#1"])
def test_odd_names_of_the_folder(tmp_path: Path, name: str) -> None:
    tree(tmp_path / name, "แมว/1.png", "dog's/2.png")
    assert {row["label"] for row in bring("folder", tmp_path / name).values()} == {"แมว", "dog's"}
    link = tmp_path / "link"
    link.symlink_to(tmp_path / name)
    assert not any(row["problem"] for row in bring("folder", link).values())


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    folder = source(tmp_path, "folder", "cat/1.png", "dog/2.png")
    for path in (folder / "cat", folder / "dog", folder):
        path.chmod(0o555)
    assert len(bring("folder", folder)) == len(bring("folder", folder)) == 2
    for path in (folder, folder / "cat", folder / "dog"):
        path.chmod(0o755)


def test_a_folder_inside_the_study_and_the_study_itself(tmp_path: Path) -> None:
    tree(Path("pictures"), "cat/1.png", "dog/2.png")
    assert len(bring("folder", Path("pictures"))) == 2
    for around in (Path(), tmp_path):
        with pytest.raises(UserError, match="holds this study itself; move the pictures to a folder of their own"):
            bring("folder", around)


def test_labels_that_other_programs_take_for_something_else(tmp_path: Path) -> None:
    labels = [
        "nan",
        "NA",
        "null",
        "true",
        "01",
        "1",
        "a b",
        'it\'s "so"',
        "แมว",
        "=1+1",
        "-5",
        "1e3",
        "None",
        "'",
        "@x",
        "a,b",
    ]
    bring("folder", source(tmp_path, "folder", *(f"{label}/{i}.png" for label in labels for i in range(2))))
    assert {row["label"] for row in files.read_rows("data/raw/manifest.csv")} == set(labels)


@pytest.mark.parametrize(
    ("trees", "advice"),
    [
        (["cat/train", "cat/test", "dog/train", "dog/test"], None),
        (["all/train/cat", "all/train/dog", "all/test/cat", "all/test/dog"], "`split: {test: {folder: all/test}}`"),
    ],
)
def test_one_folder_is_advised_only_where_it_holds_the_whole_part(trees: list[str], advice: str | None) -> None:
    """`cat/test` alone would leave the test pictures of dogs out."""
    found = [(f"{tree}/{i}.jpg", "cat" if "cat" in tree else "dog") for tree in trees for i in range(5)]
    (said,) = notes(found, published=False)
    assert "look like published parts" in said
    assert said.endswith(f"to use it: {advice}.") if advice else "to use" not in said


def test_an_empty_column_of_labels_is_not_answered_with_folders(tmp_path: Path) -> None:
    """Whoever took this advice would compare images with masks."""
    pictures = source(tmp_path, "folder", "images/1.jpg", "masks/2.jpg")
    (pictures / "list.csv").write_text("path,label\nimages/1.jpg,\nmasks/2.jpg,\n")
    with pytest.raises(UserError, match=r"has a label by `ingest\.label: table`") as told:
        bring("folder", pictures, label="table", table={"file": "list.csv", "path": "path", "label": "label"})
    assert "ingest.label: 1" not in str(told.value)
