"""What `make new` keeps together: the groups of a table, of folders and of names, in a split that works."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from stages.core.errors import UserError
from tests.studies.new_folders import divided, labels, make, raw, several, table

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
    assert "10 groups, for example 'p0'" in said
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


@pytest.mark.parametrize(
    ("order", "each"), [("{c}/session_{i}", 3), ("{c}/session_{i}", 6), ("camera{i}/{c}", 5), ("camera{i}/{c}", 6)]
)
def test_groups_that_a_split_may_not_divide_are_not_proposed(
    order: str, each: int, tmp_path: Path, new: Any, brought: Any
) -> None:
    make(tmp_path / "pictures", several([order.format(c=c, i=i) for c in ("cat", "dog") for i in range(each)]))
    said = new()
    assert "The folders look like" in said
    assert ("Taken: yes (--group none changes it)" in said) == (each == 6)
    assert ("'cat', 'dog' have too few of them" in said) == (each < 6)
    assert ("Taken: no (--group auto changes it)" in said) == (each < 6)
    rows = brought()
    assert {bool(row["group"]) for row in rows.values()} == {each == 6}
    assert set(divided(rows, raw(tmp_path)["split"]).values()) == {"train", "val", "test"}
    assert "few groups. If the study stops at the split" in new("--group", "auto", name="auto") or each == 6
    assert all(row["group"] in path for path, row in brought("auto").items() if row["group"])
    assert all(row["group"] for row in brought("auto").values())


@pytest.mark.parametrize("way", [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90])
def test_groups_that_share_copies_are_counted_as_one(way: Any, tmp_path: Path, new: Any) -> None:
    root = make(tmp_path / "pictures", several([f"{c}/session_{i}" for c in ("cat", "dog") for i in range(7)]))
    picture = Image.open(root / "cat/session_0/cata.png")
    for i in range(1, 3):
        (picture.transpose(way) if way is not None else picture).save(root / f"cat/session_{i}/copy.png")
    said = new()
    assert "'cat' has too few of them" in said, "seven, of which three are one"
    assert "'dog'" not in said.partition("too few of them")[0].rpartition("one thing.")[2]


@pytest.mark.parametrize(
    ("order", "fold"),
    [
        ("{fold}/{c}", "fold{i}"),
        ("{c}/{fold}", "Fold_{i}"),
        ("{fold}/{c}", "cv{i}"),
        ("{c}/{fold}", "split-{i}"),
        ("{fold}/{c}", "k-fold {i}"),
        ("{c}/{fold}", "{i}_fold"),
    ],
)
def test_folds_are_told_and_no_groups(order: str, fold: str, tmp_path: Path, new: Any, brought: Any) -> None:
    folds = [fold.format(i=i) for i in range(10)]
    make(tmp_path / "pictures", several([order.format(c=c, fold=one) for c in ("cat", "dog") for one in folds], 3))
    said = new()
    assert "are folds of a cross-validation" in said
    assert "Taken" not in said
    assert labels(brought()) == {"cat": 30, "dog": 30}
    assert "group" not in raw(tmp_path)["ingest"]
    pattern = re.search(r"--group '([^']+)'", said)
    assert pattern
    new("--group", pattern[1], name="folds")
    rows = brought("folds")
    assert {row["group"] for row in rows.values()} == set(folds)
    assert all(row["group"] in path.split("/") for path, row in rows.items())


def test_clips_within_folds_are_groups(tmp_path: Path, new: Any, brought: Any) -> None:
    make(
        tmp_path / "pictures",
        [f"fold{n}/{c}/clip{n}{k}_{f}.png" for n in range(3) for c in ("cat", "dog") for k in range(3) for f in "12"],
    )
    assert "18 series" in new()
    assert len({row["group"] for row in brought().values()}) == 18


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
    assert "taken for two groups" in new()
    parts = Counter(divided(brought(), raw(tmp_path)["split"]).values())
    assert parts["test"] == 24
    assert parts["train"] + parts["val"] == 24


@pytest.mark.parametrize("leaking", [4, 40])
def test_patients_in_several_published_parts(leaking: int, tmp_path: Path, new: Any, brought: Any) -> None:
    """A few cost some training pictures; if most do, the parts cannot be kept."""
    root = make(tmp_path / "pictures", [f"{i:03}.png" for i in range(60)])
    rows = [{"file": f"{i:03}.png", "label": "ab"[i % 2], "split": "test" if i > 39 else "train"} for i in range(60)]
    table(
        root,
        "t.csv",
        [row | {"patient": i % (40 if leaking == 4 else 20) if i < 40 + leaking else i} for i, row in enumerate(rows)],
    )
    said = new()
    parts = divided(brought(), raw(tmp_path)["split"])
    assert ("parts stay as they are" in said) == (leaking == 4)
    if leaking == 4:
        assert "4 training pictures belong to groups that stand in another part too" in said
        assert {parts[f"train/{i:03}.png"] for i in range(4)}.isdisjoint({"train", "val"})
    else:
        assert "40 of 40 training pictures belong to groups that stand in another part too" in said
    assert set(parts.values()) >= {"train", "val", "test"}


def test_folders_that_only_count_are_asked_about(tmp_path: Path, new: Any, brought: Any) -> None:
    make(tmp_path / "pictures", several([f"{c}/v_{c}_g{g:02}" for c in ("Jump", "Run") for g in range(6)], 4))
    assert "What is the label: 1" in new()
    rows = brought()
    assert labels(rows) == {"Jump": 24, "Run": 24}
    assert len({row["group"] for row in rows.values()}) == 12


@pytest.mark.parametrize("values", [pd.date_range("2026-01-01", periods=60), ["one day"] * 60])
def test_a_named_column_that_gives_no_groups_is_an_error(values: Any, tmp_path: Path, new: Any) -> None:
    """Dates are no text for `ingest`; left out without a word, the pictures of a day would be in train and in test."""
    root = make(tmp_path / "pictures", PATIENTS)
    pd.DataFrame({"path": PATIENTS, "day": values}).to_parquet(root / "list.parquet")
    with pytest.raises(UserError, match=r"--group is 'day', which gives \d groups, and at least two are needed"):
        new("--group", "day")
