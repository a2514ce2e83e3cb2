"""`make new` on what is no folder of classes, and on folders with a flaw: a sentence that says what, and what to do."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from stages.core import params
from stages.core.errors import UserError
from studies.new import study
from tests.studies.new_folders import make, run, several

ROOT = Path(__file__).parents[2]


def nothing(root: Path) -> None:
    (root / "docs").mkdir(parents=True)
    (root / "docs/letter.txt").write_text("Dear reader")


def one_class(root: Path) -> None:
    make(root, several(["cat"]))


def flat(root: Path) -> None:
    make(root, [f"IMG_{i}.png" for i in range(30)])


def parts_alone(root: Path) -> None:
    make(root, several(["train", "Validation", "TEST"]))


def folds_alone(root: Path) -> None:
    make(root, several(["cv1", "cv2", "cv3"]))


def two_of_each(root: Path) -> None:
    make(root, several(["cat", "dog", "cow"], 2))


REFUSED = [
    (nothing, "holds no pictures, but 1 other file;", "name a folder that holds"),
    (one_class, "has one class only, 'cat'", "name the folder above"),
    (flat, "holds 30 pictures, and neither folders", "put the pictures of each class into a folder of its own"),
    (folds_alone, "'cv1', 'cv2', 'cv3', which are parts of a data set and no labels", "below them"),
    (parts_alone, "parts of a data set and no labels", "into a folder of its own below them"),
    (two_of_each, "3 of 3 classes have fewer than 3 pictures", "add pictures"),
]


@pytest.mark.parametrize(("kind", "what", "way_out"), REFUSED, ids=[kind.__name__ for kind, _, _ in REFUSED])
def test_refused(kind, what, way_out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    kind(tmp_path / "pictures")
    with pytest.raises(UserError) as refused:
        run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert what in str(refused.value)
    assert way_out in str(refused.value)
    assert not list((tmp_path / "studies").iterdir())


def test_one_picture_under_two_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "pictures", several(["cat", "dog"]))
    shutil.copyfile(root / "cat/cata.png", root / "dog/x.png")
    said = run(monkeypatch, tmp_path, root)
    assert "1 picture stands under several labels, for example 'cat/cata.png' and 'dog/x.png'" in said


def test_copies_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "pictures", several(["cat", "dog"], 1))
    for label in ("cat", "dog"):
        for i in range(9):
            shutil.copyfile(root / f"{label}/{label}a.png", root / f"{label}/{i}.png")
    with pytest.raises(UserError, match="without copies 2 classes have fewer than 3 pictures"):
        run(monkeypatch, tmp_path, root)


def test_three_of_each_can_be_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.split import Images, assign
    from stages.split.params import Split

    make(tmp_path / "pictures", several(["cat", "dog", "cow"], 3))
    assert "too few to learn from" in run(monkeypatch, tmp_path, tmp_path / "pictures")
    split = Split.model_validate(params.read(tmp_path / "studies/mine/params.yaml").raw["split"])
    labels = ["cat", "dog", "cow"] * 3
    parts = assign(Images(labels, [str(i) for i in range(9)]), split)
    assert sorted(zip(labels, parts, strict=True)) == sorted(
        (label, part) for label in ("cat", "dog", "cow") for part in ("train", "val", "test")
    )


def test_small_classes_are_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "pictures", [*several(["cat", "dog"]), *several(["rare"], 1), *several(["few"], 4)])
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "2 classes have fewer than 6 pictures without copies, 1 of them with a single picture" in said
    assert params.read(tmp_path / "studies/mine/params.yaml").raw["ingest"]["min_images"] == 6


def test_unbalanced_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "pictures", [f"ok/{i}.png" for i in range(200)] + several(["scratch"], 9))
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "'ok' has 96 % of the pictures" in said
    raw = params.read(tmp_path / "studies/mine/params.yaml").raw
    assert raw["aggregate"]["compare"] == "balanced_accuracy"
    assert raw["train"]["loss"]["class_weights"] == "balanced"


def test_a_table_that_names_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"{i}.png" for i in range(20)]
    make(tmp_path / "pictures", paths)
    rows = [{"file": path, "label": "ab"[i % 2]} for i, path in enumerate([*paths, "gone.png", "lost.png"])]
    pd.DataFrame(rows).to_csv(tmp_path / "pictures/list.csv", index=False)
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "'list.csv' names 2 files that are not there, for example 'gone.png'" in said


def test_damage_and_links_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "pictures", several(["cat", "dog"]))
    make(tmp_path / "elsewhere", ["x.png"])
    (root / "cat/broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (root / "cat/link.png").symlink_to(tmp_path / "elsewhere/x.png")
    (root / "cat/Thumbs.db").write_bytes(b"x")
    said = run(monkeypatch, tmp_path, root)
    assert "1 file cannot be opened and will be left out, for example 'cat/broken.jpg'" in said
    assert "1 link leads to a folder, nowhere, or out of the folder, for example 'cat/link.png'" in said
    assert "Left out: 1 hidden file" in said


@pytest.mark.parametrize("name", ["a b", "it's", 'say "x"', "$HOME", "รูปภาพ", "-pictures", "a#b", "ünï"])
def test_any_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From make to the link, the path stays what it is, and nothing is written into the folder."""
    folder = make(tmp_path / name, several(["cat", "dog"]))
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    folder.chmod(0o555)
    told = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "-o", "setup", "new", f"IMAGES={folder}", "NAME=it's"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    shell = told.replace("python -m studies.new", "printf '%s\\n'")
    words = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words == ["--name=it's", "--", str(folder)]
    run(monkeypatch, tmp_path, folder)
    folder.chmod(0o755)
    assert (tmp_path / "studies/mine/source").resolve() == folder
    assert params.read(tmp_path / "studies/mine/params.yaml").raw["ingest"]["path"] == "source"
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_a_link_to_a_folder_and_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "far/pictures", several(["cat", "dog"]))
    (tmp_path / "link").symlink_to(tmp_path / "far/pictures")
    monkeypatch.setenv("HOME", str(tmp_path))
    run(monkeypatch, tmp_path, "~/link")
    assert sorted(p.name for p in (tmp_path / "studies/mine/source").iterdir()) == ["cat", "dog"]


def test_a_folder_inside_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link is relative, so that the repository may move."""
    make(tmp_path / "one/data/mine", several(["cat", "dog"]))
    run(monkeypatch, tmp_path / "one", tmp_path / "one/data/mine")
    shutil.move(tmp_path / "one", tmp_path / "two")
    assert sorted(p.name for p in (tmp_path / "two/studies/mine/source").iterdir()) == ["cat", "dog"]


@pytest.mark.parametrize("name", ["", "a b", "../x", "new", "sources", "-x", "a/b", "ภาพ", ".hidden", "x" * 61])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which is no name for a study"):
        study.check_name(name, tmp_path)


def test_a_name_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "pictures", several(["cat", "dog"]))
    run(monkeypatch, tmp_path, tmp_path / "pictures")
    before = (tmp_path / "studies/mine/params.yaml").read_bytes()
    with pytest.raises(UserError, match="is there already, and nothing is overwritten"):
        run(monkeypatch, tmp_path, tmp_path / "pictures")
    with pytest.raises(UserError, match="is there already"):
        run(monkeypatch, tmp_path, tmp_path / "pictures", name="MINE")
    assert (tmp_path / "studies/mine/params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Pictures (2)", "my_pictures_2"),
        ("ภาพ", "pictures"),
        ("Bäume", "baume"),
        ("new", "new_study"),
        ("...", "pictures"),
    ],
)
def test_proposed_names(folder: str, name: str) -> None:
    assert study.proposed_name(Path("/somewhere") / folder) == name
    assert study.check_name(name, Path(__file__).parent).name == name


def test_the_folder_of_the_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "repository", several(["cat", "dog"]))
    with pytest.raises(UserError, match="holds this repository itself"):
        run(monkeypatch, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--label", "table"], "--label table finds no label"),
        (["--label", "0"], "--label is '0'; it can be"),
        (["--group", "(x"], "it is no regular expression"),
        (["--group", "x+"], "write `\\(\\?P<group>"),
        (["--label-column", "x"], "no table of"),
        (["--seeds", "0"], "a number from 1 up"),
    ],
)
def test_flags_that_fit_nothing(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "pictures", several(["cat", "dog"]))
    with pytest.raises(UserError, match=message):
        run(monkeypatch, tmp_path, tmp_path / "pictures", *flags)


def test_large_tiny_and_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny pictures are trained on at their size; photographs get networks that were trained before."""
    make(tmp_path / "tiny", several(["cat", "dog"]), side=28)
    run(monkeypatch, tmp_path, tmp_path / "tiny", name="tiny")
    tiny = params.read(tmp_path / "studies/tiny/params.yaml")
    assert 28 <= tiny.raw["train"]["size"] <= 30
    assert all(settings["model"]["name"] != "backbone" for settings in tiny.variants.values())
    make(tmp_path / "photos", several(["cat", "dog"]), side=200)
    for pretrained in (True, False):
        monkeypatch.setattr("studies.new.networks.machine", lambda here=pretrained: (False, here, 2))
        run(monkeypatch, tmp_path, tmp_path / "photos", name=f"photos{pretrained}")
        study_ = params.read(tmp_path / f"studies/photos{pretrained}/params.yaml")
        assert ("frozen" in study_.variants, "tuned" in study_.variants) == (pretrained, pretrained)


def test_what_is_no_jpeg_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files without an ending count by their first bytes; one with the wrong ending is told."""
    for label, colour in (("cat", "red"), ("dog", "blue")):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(8):
            Image.effect_noise((30, 30 + i), 60).convert("RGB").save(tmp_path / f"pictures/{label}/{colour}{i}", "WEBP")
    Image.effect_noise((30, 50), 60).save(tmp_path / "pictures/cat/wrong.jpg", "PNG")
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "17 pictures" in said
    assert "WEBP 16, PNG 1" in said
    assert "1 have the ending of another format" in said


@pytest.mark.parametrize(("name", "taken"), [("bananas", True), ("it's new", False), ("", False)])
def test_a_name_that_is_taken_is_said_before_anything_is_set_up(name: str, taken: bool) -> None:
    """`free` stands before `setup`, so that nobody waits for an environment to read this."""
    made = subprocess.run(["make", "free", f"NAME={name}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (made.returncode != 0) == taken
    assert ("error: studies/bananas is there already" in made.stdout) == taken
    order = subprocess.run(["make", "--print-data-base", "--question", "new"], cwd=ROOT, capture_output=True, text=True)  # noqa: PLW1510
    assert "\nnew: free setup\n" in order.stdout
