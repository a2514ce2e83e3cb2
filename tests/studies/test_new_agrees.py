"""`make new` on folders that were misread once: what it says, what `ingest` then does, and a split that works."""

import os
import shutil
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stages.core import files, params
from stages.core.errors import UserError
from stages.ingest import ingest
from stages.ingest.params import check_source
from stages.split import assign
from stages.split.params import Split
from tests.studies.new_folders import make, run, several

Rows = dict[str, dict[str, str]]


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `make new` on tmp_path/pictures."""
    return lambda *flags, at=tmp_path / "pictures", name="mine": run(monkeypatch, tmp_path, at, *flags, name=name)


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `ingest` makes of the study: path -> row, of the pictures that are in it."""

    def rows(name: str = "mine") -> Rows:
        monkeypatch.chdir(tmp_path / "studies" / name)
        ingest(check_source(raw(tmp_path, name)["ingest"]))
        found = files.read_rows("data/raw/manifest.csv")
        return {row["path"]: row for row in found if row["file"] and row["label"]}

    return rows


def raw(tmp_path: Path, name: str = "mine") -> dict[str, Any]:
    return params.read(tmp_path / "studies" / name / "params.yaml").raw


def labels(rows: Rows) -> Counter[str]:
    return Counter(row["label"] for row in rows.values())


def divided(rows: Rows, split: dict[str, Any]) -> dict[str, str]:
    """Path -> part, by the stage `split`, on pictures without copies."""
    paths = list(rows)
    groups = [row["group"] or path for path, row in rows.items()]
    parts = assign([row["label"] for row in rows.values()], groups, Split.model_validate(split), paths)
    return dict(zip(paths, parts, strict=True))


def table(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    pd.DataFrame(rows).to_csv(root / name, index=False)


@pytest.mark.parametrize("name", ["101", "2023-05-17", "1e3", "true", "0x1F", "1_000", "a-b", "No"])
def test_any_name_is_text(name: str, tmp_path: Path, new: Any) -> None:
    make(tmp_path / "pictures", several(["cat", "dog"]))
    new(name=name)
    assert params.read(tmp_path / "studies" / name / "params.yaml").name == name


PATIENTS = [f"{label}/{i:03}.png" for label in ("cat", "dog") for i in range(30)]


def _patient(path: str) -> str:
    return f"p{int(path[4:7]) // 3}"


@pytest.mark.parametrize("columns", ["label patient", "patient", "label patient split"])
def test_folders_keep_the_groups_and_parts_of_a_table(columns: str, tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", PATIENTS)
    given: dict[str, Any] = {
        "label": lambda p: p[:3],
        "patient": _patient,
        "split": lambda p: "test" if int(p[4:7]) > 23 else "train",
    }
    table(root, "list.csv", [{"path": p} | {c: given[c](p) for c in columns.split()} for p in PATIENTS])
    said = new()
    assert "10 groups, as 'p0'" in said
    rows = brought()
    assert labels(rows) == {"cat": 30, "dog": 30}
    parts = divided(rows, raw(tmp_path)["split"])
    assert len({(row["group"], parts[path]) for path, row in rows.items()}) == 10, "a patient stands in one part"
    if "split" in columns:
        assert {p for p, part in parts.items() if part == "test"} == {f"test/{p}" for p in PATIENTS if int(p[4:7]) > 23}


def test_groups_of_a_few_pictures_are_not_taken(tmp_path: Path, new: Any, brought: Any) -> None:
    """`ingest` takes no picture without a row."""
    root = make(tmp_path / "pictures", PATIENTS)
    table(root, "list.csv", [{"path": p, "patient": _patient(p)} for p in PATIENTS[:40]])
    assert "'patient' of 'list.csv' is not used, since it has rows for 40 of 60 pictures only" in new()
    assert labels(brought()) == {"cat": 30, "dog": 30}


def test_pixels_in_columns_are_read_fast(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", several(["cat", "dog"]))
    pixels = {f"pixel{i:04}": range(400) for i in range(2352)}
    pd.DataFrame({**pixels, "label": [i % 7 for i in range(400)]}).to_csv(root / "pixels.csv", index=False)
    began = time.process_time()
    new()
    assert time.process_time() - began < 4
    assert labels(brought()) == {"cat": 8, "dog": 8}


def test_folders_count_more_than_a_column_of_sizes(tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", PATIENTS)
    table(root, "sizes.csv", [{"path": p, "width": 24 + i % 2, "height": 9} for i, p in enumerate(PATIENTS)])
    new()
    assert labels(brought()) == {"cat": 30, "dog": 30}


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


@pytest.mark.parametrize("each", [2, 3])
def test_groups_that_no_split_can_hold_are_not_proposed(each: int, tmp_path: Path, new: Any, brought: Any) -> None:
    make(tmp_path / "pictures", several([f"{c}/part{i}" for c in ("cat", "dog") for i in range(each)]))
    said = new()
    assert "The folders look like" in said
    assert ("Taken: yes" in said) == (each == 3)
    assert ("have fewer than 3" in said) == (each == 2)
    assert set(divided(brought(), raw(tmp_path)["split"]).values()) == {"train", "val", "test"}


LOCATED = [
    {"file": f"{i:02}.png", "label": "ab"[i % 2], "location": f"L{i // 20}", "plot": f"x{i // 4}"} for i in range(40)
]


@pytest.mark.parametrize(
    ("flags", "groups"),
    [([], {""}), (["--group", "none"], {""}), (["--group", "location"], {"L0", "L1"}),
     (["--group", "plot"], {f"x{i}" for i in range(10)}), (["--group", r"^(?P<group>\d)"], set("0123"))],
)  # fmt: skip
def test_the_flag_decides_on_a_column(
    flags: list[str], groups: set[str], tmp_path: Path, new: Any, brought: Any
) -> None:
    root = make(tmp_path / "pictures", [str(row["file"]) for row in LOCATED])
    table(root, "t.csv", LOCATED)
    said = new(*flags)
    assert ("The column 'location' of 't.csv' names 2 groups" in said) == (not flags)
    assert {row["group"] for row in brought().values()} == groups


@pytest.mark.parametrize("flags", [["--split", "new"], []])
def test_a_clip_does_not_cross_parts(flags: list[str], tmp_path: Path, new: Any, brought: Any) -> None:
    clips = [f"{c}/clip{n:02}_{f}.png" for c in ("cat", "dog") for n in range(10) for f in range(4)]
    paths = [("val/" if i % 16 == 3 else "train/") + path for i, path in enumerate(clips)]
    make(tmp_path / "pictures", paths)
    assert "20 groups" in new(*flags)
    rows = brought()
    parts = divided(rows, raw(tmp_path)["split"])
    found = {
        (path.split("/", 1)[1].rpartition("_")[0], part)
        for path, part in parts.items()
        if part in ("train", "val", "test")
    }
    assert len(found) == 20, "each clip stands in one part, whatever folder its frames lie in"


def test_clips_that_are_counted_anew_in_each_part(tmp_path: Path, new: Any, brought: Any) -> None:
    folders = [f"{p}/{c}" for p in ("train", "test") for c in ("cat", "dog")]
    make(tmp_path / "pictures", [f"{folder}/clip{n}_{f}.png" for folder in folders for n in range(4) for f in range(3)])
    assert "taken for different groups" in new()
    parts = Counter(divided(brought(), raw(tmp_path)["split"]).values())
    assert parts["test"] == 24
    assert parts["train"] + parts["val"] == 24


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


def test_rows_that_contradict_each_other(tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i}.png" for i in range(20)])
    rows = [{"file": f"{i}.png", "label": ("cat", "dog")[i % 2]} for i in range(20)]
    table(root, "l.csv", [*rows, {"file": "0.png", "label": "dog"}, {"file": "2.png", "label": "dog"}, rows[5]])
    said = new()
    assert "2 pictures have several labels in the table, as '0.png'" in said
    assert "dog 10, cat 8" in said
    assert "no label" not in said


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


@pytest.mark.parametrize("header", ["filename,animal", "image,scene", "picture,site"])
def test_a_label_that_could_be_a_group(header: str, tmp_path: Path, new: Any, brought: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i}.png" for i in range(24)])
    (root / "t.csv").write_text(header + "\n" + "".join(f"{i}.png,{('cat', 'dog')[i % 2]}\n" for i in range(24)))
    new()
    assert labels(brought()) == {"cat": 12, "dog": 12}


def _zipped(root: Path, target: Path, *, windows: bool = False, unflagged: bool = False) -> Path:
    with zipfile.ZipFile(target, "w") as file:
        for place in sorted(root.rglob("*")):
            if place.is_file():
                name = place.relative_to(root).as_posix()
                info = zipfile.ZipInfo(name)
                info.filename = name.replace("/", "\\") if windows else name
                file.writestr(info, place.read_bytes())
    if unflagged:  # the flag that names are UTF-8, in each header
        data = bytearray(target.read_bytes())
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = data.find(mark)
            while start >= 0:
                data[start + at + 1] &= ~0x08
                start = data.find(mark, start + 4)
        target.write_bytes(bytes(data))
    return target


@pytest.mark.parametrize("kind", ["table", "windows", "unflagged"])
def test_zips_as_programs_write_them(kind: str, tmp_path: Path, new: Any, brought: Any) -> None:
    classes = ("แมว", "หมา")
    root = make(tmp_path / "made", several(["pics"] if kind == "table" else classes, 16))
    if kind == "table":
        names = sorted(path.name for path in root.rglob("*.png"))
        table(root, "labels.csv", [{"file": name, "label": classes[i % 2]} for i, name in enumerate(names)])
    said = new(at=_zipped(root, tmp_path / "x.zip", windows=kind == "windows", unflagged=kind == "unflagged"))
    assert f"{classes[0]} {8 if kind == 'table' else 16}" in said
    assert set(labels(brought())) == set(classes)


def test_copies_in_an_archive_are_counted(tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "made", several(["cat", "dog"]))
    shutil.copyfile(root / "cat/cata.png", root / "cat/again.png")
    assert "1 have the same bytes" in new(at=_zipped(root, tmp_path / "x.zip"))


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
    (root / "l.csv").write_text("".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(20)))
    with pytest.raises(UserError, match="begins with a picture and not with the names of its columns"):
        new()


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
    with pytest.raises(UserError, match=r"16 links to places outside of it, as .*`ingest.links_out: true`"):
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


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--group", "(?P<group>zzz)"], "matches none of 16 paths"),
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


def test_a_second_table_is_named(tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "pictures", [f"{i:02}.png" for i in range(40)])
    for name, numbers in (("train.csv", range(30)), ("val.csv", range(30, 40))):
        table(root, name, [{"file": f"{i:02}.png", "label": "ab"[i % 2]} for i in numbers])
    assert "'val.csv' has labels too, of 10 further pictures" in new()
