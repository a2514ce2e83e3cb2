"""`make new` on folders of every kind: the stage `ingest` then gives the labels that the folder's maker meant."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stages.core import files, params
from stages.core.errors import UserError
from stages.ingest import ingest
from stages.ingest.params import check_source
from tests.studies.new_folders import make, run, several

Truth = dict[str, str]
LETTERS = "abcdefgh"


def labelled(paths: list[str], level: int = -1) -> Truth:
    return {path: path.split("/")[:-1][level] for path in paths}


def folders(root: Path) -> Truth:
    paths = several(["01", "1", "nan", "true", "ภาพ แมว", "it's"])
    make(root, paths)
    return labelled(paths)


def split_in_any_words(root: Path) -> Truth:
    paths = several(f"{part}/{label}" for part in ("Training_Set", "VALID", "hold-out") for label in ("cat", "dog"))
    make(root, paths)
    return labelled(paths)


def split_below_labels(root: Path) -> Truth:
    paths = several(f"{label}/{part}" for part in ("train", "test") for label in ("cat", "dog"))
    make(root, paths)
    return labelled(paths, 0)


def two_depths(root: Path) -> Truth:
    paths = several(["Fruit/Apple/Golden", "Fruit/Apple/Red", "Fruit/Pear", "Veg/Leek", "Veg/Cabbage/White"])
    make(root, paths)
    return labelled(paths)


def same_name_twice(root: Path) -> Truth:
    paths = several(["Fruit/Apple", "Fruit/Pear", "Fruit/Plum", "Fruit/Other", "Veg/Other", "Veg/Leek", "Veg/Bean"])
    make(root, paths)
    return {path: path.rpartition("/")[0] for path in paths}


def sorted_by_session(root: Path) -> Truth:
    paths = several(f"{label}/session_{i}" for label in ("cat", "dog") for i in (1, 2, 3))
    make(root, paths)
    return labelled(paths, 0)


def one_folder_between(root: Path) -> Truth:
    paths = several(f"data/{label}/images" for label in ("n01", "n02", "n03"))
    make(root, paths)
    return labelled(paths, 1)


def sites(root: Path) -> Truth:
    paths = several(f"site{i}/{label}" for label in ("cat", "dog") for i in (1, 2, 3))
    make(root, paths)
    return labelled(paths)


def names(root: Path) -> Truth:
    paths = [f"{label}_{i:03}.png" for label in ("cat", "great_dane", "ม้า") for i in range(9)]
    make(root, paths)
    return {path: path.rpartition("_")[0] for path in paths}


def names_with_number_first(root: Path) -> Truth:
    paths = [f"{i:03}-{label}.png" for i, label in enumerate(["cat", "dog"] * 9)]
    make(root, paths)
    return {path: path.partition("-")[2].removesuffix(".png") for path in paths}


def _table(root: Path, write: Callable[[pd.DataFrame, Path], object], file: str, values: Callable[[str], str]) -> Truth:
    paths = [f"pics/{i}{letter}.png" for i in range(3) for letter in LETTERS]
    make(root, paths)
    truth = {path: ["NA", "01", "cat, big"][int(path[5])] for path in paths}
    frame = pd.DataFrame({"Nr": range(len(paths)), "bild": [values(p) for p in paths], "Sorte": list(truth.values())})
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    write(frame, root / file)
    return truth


def csv(root: Path) -> Truth:
    return _table(root, lambda frame, file: frame.to_csv(file, index=False), "list.csv", lambda path: path)


def csv_with_semicolons_and_stems(root: Path) -> Truth:
    return _table(
        root, lambda frame, file: frame.to_csv(file, index=False, sep=";"), "a b.csv", lambda path: path[5:-4]
    )


def tsv(root: Path) -> Truth:
    return _table(root, lambda f, file: f.to_csv(file, index=False, sep="\t"), "pics/t.tsv", lambda p: p.split("/")[1])


def parquet(root: Path) -> Truth:
    return _table(root, lambda frame, file: frame.to_parquet(file), "t.parquet", lambda path: f"./{path}")


def json_lines(root: Path) -> Truth:
    return _table(root, lambda f, file: f.to_json(file, orient="records", lines=True), "t.jsonl", lambda path: path)


def paths_of_another_machine(root: Path) -> Truth:
    return _table(root, lambda f, file: f.to_csv(file, index=False), "t.csv", lambda p: f"C:\\data\\{p.split('/')[1]}")


def hugging_face(root: Path) -> Truth:
    truth: Truth = {}
    for part in ("train", "test"):
        paths = [f"{part}/{i}{letter}.png" for i in range(2) for letter in LETTERS]
        make(root, paths)
        truth |= {path: f"class {path.split('/')[1][0]}" for path in paths}
        rows = [{"file_name": path.split("/")[1], "label": truth[path]} for path in paths]
        pd.DataFrame(rows).to_csv(root / part / "metadata.csv", index=False)
    return truth


def coco(root: Path) -> Truth:
    paths = [f"images/{i}{letter}.png" for i in range(2) for letter in LETTERS]
    make(root, paths)
    truth = {path: ("cat", "dog")[int(path[7])] for path in paths}
    found: dict[str, Any] = {"categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}]}
    found["images"] = [{"id": i, "file_name": path.split("/")[1]} for i, path in enumerate(paths)]
    found["annotations"] = [{"image_id": i, "category_id": 3 if truth[p] == "cat" else 9} for i, p in enumerate(paths)]
    (root / "annotations").mkdir()
    (root / "annotations/instances.json").write_text(json.dumps(found))
    return truth


KINDS = [
    folders, split_in_any_words, split_below_labels, two_depths, same_name_twice, sorted_by_session, one_folder_between,
    sites, names, names_with_number_first, csv, csv_with_semicolons_and_stems, tsv, parquet, json_lines,
    paths_of_another_machine, hugging_face,
    coco,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_ingest_gives_the_labels(
    kind: Callable[[Path], Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = kind(tmp_path / "my 'pictures'")
    run(monkeypatch, tmp_path, tmp_path / "my 'pictures'")
    assert ingested(tmp_path, monkeypatch) == truth


def ingested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Truth:
    """Path -> label of the pictures, as the stage finds them with the params.yaml that was written."""
    monkeypatch.chdir(tmp_path / "studies/mine")
    ingest(check_source(params.read().raw["ingest"]))
    rows = files.read_rows("data/raw/manifest.csv")
    return {row["path"]: row["label"] for row in rows if row["path"].endswith(".png") and row["file"]}


def test_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = folders(tmp_path / "pictures")
    with zipfile.ZipFile(tmp_path / "my pictures.zip", "w") as file:
        for path in truth:
            file.write(tmp_path / "pictures" / path, path)
    run(monkeypatch, tmp_path, tmp_path / "my pictures.zip")
    assert (tmp_path / "studies/mine/source.zip").resolve() == tmp_path / "my pictures.zip"
    assert ingested(tmp_path, monkeypatch) == truth


def test_a_list_of_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"Link": f"https://example.org/{i}.jpg", "Tier": ("cat", "dog")[i % 2]} for i in range(20)]
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    run(monkeypatch, tmp_path, tmp_path / "list.csv")
    monkeypatch.chdir(tmp_path / "studies/mine")
    source = check_source(params.read().raw["ingest"])
    assert (source.source, source.path) == ("urls", "addresses.csv")
    written = files.read_rows("addresses.csv")
    assert [(row["url"], row["label"]) for row in written] == [(row["Link"], row["Tier"]) for row in rows]
    rows.append({"Link": "https://example.org/x.jpg", "Tier": "cow"})
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    said = run(monkeypatch, tmp_path, tmp_path / "list.csv", name="other")
    assert "'cow'. It is left out; add addresses" in said
    assert len(files.read_rows(tmp_path / "studies/other/addresses.csv")) == 20
    pd.DataFrame(rows[::2]).iloc[:10].to_csv(tmp_path / "one.csv", index=False)
    with pytest.raises(UserError, match="one class only, 'cat'"):
        run(monkeypatch, tmp_path, tmp_path / "one.csv", name="third")


def test_published_parts_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split_in_any_words(tmp_path / "pictures")
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "divided already" in said
    split = params.read(tmp_path / "studies/mine/params.yaml").raw["split"]
    assert (split["test"], split["val"]) == ({"folder": "hold-out"}, {"folder": "VALID"})
    run(monkeypatch, tmp_path, tmp_path / "pictures", "--split", "new", name="other")
    split = params.read(tmp_path / "studies/other/params.yaml").raw["split"]
    assert (split["test"], split["val"], split["per_seed"]) == (0.2, 0.2, True)


def test_parts_in_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.split import Images, assign
    from stages.split.params import Split

    paths = [f"{i:02}.png" for i in range(40)]
    make(tmp_path / "pictures", paths)
    fold = ["train", "train", "valid", "Test"]
    rows = [{"image": p, "species": "ab"[i % 2], "fold": fold[i // 2 % 4]} for i, p in enumerate(paths)]
    pd.DataFrame(rows).to_csv(tmp_path / "pictures/t.csv", index=False)
    assert "divided already" in run(monkeypatch, tmp_path, tmp_path / "pictures")
    monkeypatch.chdir(tmp_path / "studies/mine")
    raw = params.read().raw
    ingest(check_source(raw["ingest"]))
    listed = [row for row in files.read_rows("data/raw/manifest.csv") if row["file"]]
    split = Split.model_validate(raw["split"])
    found = [row["path"] for row in listed]
    parts = assign(Images([row["label"] for row in listed], found, found), split)
    want = {"train": "train", "valid": "val", "Test": "test"}
    assert {path.rpartition("/")[2]: part for path, part in zip(found, parts, strict=True)} == {
        str(row["image"]): want[str(row["fold"])] for row in rows
    }


def test_an_unlabelled_test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As competitions have it: a table has the labels of training alone. The test pictures are left out, as is said."""
    names_ = [f"train/{i:03}.png" for i in range(30)]
    make(tmp_path / "pictures", [*names_, *(f"test/{i:03}.png" for i in range(30, 40))])
    rows = [{"id": path[6:9], "label": "ab"[i % 2]} for i, path in enumerate(names_)]
    pd.DataFrame(rows).to_csv(tmp_path / "pictures/train.csv", index=False)
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "10 pictures have no label and will be left out" in said
    assert "A new split is drawn" in said
    assert ingested(tmp_path, monkeypatch) == {path: "ab"[i % 2] for i, path in enumerate(names_)}


def test_five_hundred_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "pictures", [f"{c:03}/{i}.png" for c in range(500) for i in range(3)], side=8)
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "500 classes" in said
    split = params.read(tmp_path / "studies/mine/params.yaml").raw["split"]
    assert (split["val"], split["test"]) == (500, 500)


def test_copies_across_parts_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split_in_any_words(tmp_path / "pictures")
    copied = (tmp_path / "pictures/Training_Set/cat/Traa.png").read_bytes()
    (tmp_path / "pictures/hold-out/cat/copy.png").write_bytes(copied)
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "1 of the test pictures have a copy in the training part" in said


def test_series_are_kept_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"{label}/clip{clip:02}_{i:04}.png" for label in ("cat", "dog") for clip in range(6) for i in range(4)]
    make(tmp_path / "pictures", paths)
    said = run(monkeypatch, tmp_path, tmp_path / "pictures")
    assert "12 series" in said
    assert "--group none changes it" in said
    monkeypatch.chdir(tmp_path / "studies/mine")
    ingest(check_source(params.read().raw["ingest"]))
    groups = {row["path"]: row["group"] for row in files.read_rows("data/raw/manifest.csv")}
    assert groups == {path: path.rpartition("_")[0] for path in paths}
    run(monkeypatch, tmp_path, tmp_path / "pictures", "--group", "none", name="other")
    assert "group" not in params.read(tmp_path / "studies/other/params.yaml").raw["ingest"]


@pytest.mark.parametrize("name", ["Lady_Finger ({i}).png", "cat_{i:03}.png", "28fc3fad-{i}c70-9c5d-ee739d2e21a8.png"])
def test_numbers_alone_are_no_series(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "pictures", [f"{label}/{name.format(i=i)}" for label in ("cat", "dog") for i in range(9)])
    assert "series" not in run(monkeypatch, tmp_path, tmp_path / "pictures")
