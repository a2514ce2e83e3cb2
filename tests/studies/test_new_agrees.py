"""`make new` on folders that were misread once: what it says is what `ingest` then does."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stages.core import params
from stages.core.errors import UserError
from tests.studies.new_folders import divided, labels, make, raw, several, table, zipped


@pytest.mark.parametrize("name", ["101", "2023-05-17", "1e3", "true", "0x1F", "1_000", "a-b", "No"])
def test_any_name_is_text(name: str, tmp_path: Path, new: Any) -> None:
    make(tmp_path / "pictures", several(["cat", "dog"]))
    new(name=name)
    assert params.read(tmp_path / "studies" / name / "params.yaml").name == name


@pytest.mark.parametrize(("upper", "lower"), [("10{i:03}", ["0", "1"]), ("patient{i}", ["0", "1"])])
def test_patients_above_numbered_classes(upper: str, lower: list[str], tmp_path: Path, new: Any, brought: Any) -> None:
    folders = [f"{upper.format(i=i)}/{label}" for i in range(12) for label in lower]
    make(tmp_path / "pictures", several(folders, 3))
    said = new()
    assert "What is the label: parent" in said
    rows = brought()
    assert labels(rows) == {"0": 36, "1": 36}
    assert {row["group"] for row in rows.values()} == {folder.split("/")[0] for folder in folders}
    assert set(divided(rows, raw(tmp_path)["split"]).values()) == {"train", "val", "test"}


CASES = {
    "a test part without labels": ([*several(["tr/cat", "tr/dog"], 20), "te/1.png", "te/2.png"], ["cat", "dog"]),
    "samples beside the parts": (
        [*several(["train/cat", "train/dog"], 20), "test/1.png", "test/2.png", "samples/a.png"], ["cat", "dog"],
    ),
    "several objects beside the parts": (
        [*several([f"{p}/{c}" for p in ("Training", "Test") for c in ("Kiwi", "Fig")], 12), "test-multiple/a.png"],
        ["Fig", "Kiwi"],
    ),
    "parts below labels": (several([f"{c}/{p}" for c in ("cat", "dog") for p in ("train", "val")]), ["cat", "dog"]),
    "parts below sites": (
        several([f"site{s}/{p}/{c}" for s in "ab" for p in ("train", "test") for c in ("cat", "dog")]), ["cat", "dog"],
    ),
    "short names": (several([f"{p}/{c}" for p in ("tr", "te") for c in ("Fruit/Other", "Veg/Other")], 9),
                    ["Fruit/Other", "Veg/Other"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_parts_are_no_labels_for_either(case: str, tmp_path: Path, new: Any, brought: Any) -> None:
    paths, classes = CASES[case]
    make(tmp_path / "pictures", paths)
    said = new(*(["--label", "path"] if "/" in classes[0] else []))
    rows = brought()
    assert sorted(labels(rows)) == classes
    assert f"{len(paths)} pictures, {len(classes)} classes" in said
    assert all(f"{label} {count}" in said for label, count in labels(rows).items())
    left = len(paths) - len(rows)
    assert (f"{left} picture{'s have' if left > 1 else ' has'} no label" in said) == (left > 0)
    if case in ("several objects beside the parts", "short names"):
        assert "divided already" in said


@pytest.mark.parametrize(("train", "test"), [(30, 160), (100, 20)])
def test_validation_is_a_fifth_of_the_training_part(
    train: int, test: int, tmp_path: Path, new: Any, brought: Any
) -> None:
    paths = [
        f"{p}/{c}/{i}.png" for p, n in (("train", train), ("test", test)) for c in ("cat", "dog") for i in range(n // 2)
    ]
    make(tmp_path / "pictures", paths, side=8)
    new()
    parts = Counter(divided(brought(), raw(tmp_path)["split"]).values())
    assert (parts["train"], parts["val"], parts["test"]) == (train * 4 // 5, train // 5, test)


def test_batches_are_no_classes_where_names_tell(tmp_path: Path, new: Any, brought: Any) -> None:
    make(tmp_path / "pictures", [f"batch{b}/{c}_{i:03}.png" for b in (1, 2) for c in ("cat", "dog") for i in range(8)])
    assert "What is the label: name" in new()
    assert labels(brought()) == {"cat": 16, "dog": 16}


def test_names_that_end_in_a_vowel_sign(tmp_path: Path, new: Any, brought: Any) -> None:
    make(tmp_path / "pictures", [f"{c}_{i:03}.png" for c in ("แมวสี", "हाथी", "ม้า") for i in range(8)])
    new()
    assert labels(brought()) == {"แมวสี": 8, "हाथी": 8, "ม้า": 8}


def test_names_of_the_training_part_tell(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"train/{c}.{i}.png" for c in ("cat", "dog") for i in range(12)])
    make(root, [f"test1/{i}.png" for i in range(1, 13)])
    table(root, "sampleSubmission.csv", [{"id": i, "label": 0} for i in range(1, 13)])
    new()
    assert labels(brought()) == {"cat": 12, "dog": 12}
    new("--label", "name", name="other")
    assert labels(brought("other")) == {"cat": 12, "dog": 12}


def test_copies_in_an_archive_are_counted(tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "made", several(["cat", "dog"]))
    shutil.copyfile(root / "cat/cata.png", root / "cat/again.png")
    assert "About 1 picture is a copy of another picture: 1 with the same bytes" in new(
        at=zipped(root, tmp_path / "x.zip")
    )


def test_heic(tmp_path: Path, new: Any, brought: Any) -> None:
    import pillow_heif
    from PIL import Image

    root = make(tmp_path / "pictures", several(["cat", "dog"]))
    for path in sorted(root.rglob("*.png")):
        pillow_heif.from_pillow(Image.open(path).resize((64, 64))).save(path.with_suffix(".HEIC"))
        path.unlink()
    said = new()
    assert "16 pictures, 2 classes" in said
    assert "HEIF 16" in said
    assert labels(brought()) == {"cat": 8, "dog": 8}


def test_links(tmp_path: Path, new: Any) -> None:
    make(tmp_path / "blobs", several(["cat", "dog"]))
    for path in (tmp_path / "blobs").rglob("*.png"):
        link = tmp_path / "pictures" / path.relative_to(tmp_path / "blobs")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    with pytest.raises(UserError, match=r"16 links to places outside of it, for example .*`ingest.links_out: true`"):
        new()
    make(tmp_path / "other", several(["cat", "dog"]))
    (tmp_path / "other/cat/round.png").symlink_to("round.png")
    assert "1 link leads" in new(at=tmp_path / "other")


def test_a_folder_name_of_any_bytes(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", several(["cat", "dog"]))
    os.rename(os.fsencode(root / "cat"), os.fsencode(root) + b"/caf\xe9")  # noqa: PTH104 - Path refuses such bytes
    said = new()
    assert "dog 8" in said
    assert set(labels(brought())) == {"caf\\udce9", "dog"}
    assert all(f"{label} 8" in said for label in labels(brought()))


def test_unlabelled_copies_cost_no_class_its_pictures(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"a_train/{i:02}.png" for i in range(20)])
    (root / "a_test").mkdir()
    for i in range(20):
        shutil.copyfile(root / f"a_train/{i:02}.png", root / f"a_test/x{i:02}.png")
    table(root, "t.csv", [{"id": f"{i:02}", "label": "ab"[i % 2]} for i in range(20)])
    new()
    assert labels(brought()) == {"a": 10, "b": 10}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--group", "(?P<group>zzz)"], "`--group` is .* matches none of 16 names"),
        (["--split", "published"], "neither folders .* nor a column of a table divide"),
        (["--label", "1"], "--label 1 takes 'test', 'train' for labels, which are names of parts"),
    ],
)
def test_flags_that_cannot_be_followed(flags: list[str], message: str, tmp_path: Path, new: Any) -> None:
    make(tmp_path / "pictures", several(["train/a", "test/b"] if "--label" in flags else ["cat", "dog"]))
    with pytest.raises(UserError, match=message):
        new(*flags)


def test_pictures_that_are_all_broken(tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "pictures", several(["cat", "dog"]))
    for path in root.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="none of 16 pictures that were opened can be read"):
        new()


def test_dates_are_no_classes(tmp_path: Path, new: Any) -> None:
    make(tmp_path / "pictures", [f"202301{d:02}_1{i}3015.png" for d in range(1, 6) for i in range(5)])
    with pytest.raises(UserError, match="nor the names of the files"):
        new()


def test_what_looks_odd_is_said(tmp_path: Path, new: Any) -> None:
    make(tmp_path / "pictures", several(["trainA", "testA", "Horse", "horse"]))
    said = new()
    assert "'testA', 'trainA' are named like parts of a data set" in said
    assert "The labels 'Horse', 'horse' look the same" in said


def test_a_row_that_names_the_file_of_another_folder_names_none(tmp_path: Path, new: Any, brought: Any) -> None:
    """old/1.png and other/1.png are not new/1.png, which is the only 1.png here."""
    root = make(tmp_path / "pictures", [f"new/{i}.png" for i in range(24)])
    rows = [{"file": f"old/{i}.png", "label": "cat" if i % 2 else "dog"} for i in range(24)]
    table(root, "labels.csv", [*rows, {"file": "other/1.png", "label": "cat"}])
    said = new()
    assert "names 2 files that are not there" in said
    assert "cat 11" in said
    assert "dog 12" in said
    assert labels(brought()) == {"cat": 11, "dog": 12}
