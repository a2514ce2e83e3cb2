"""UECFOOD-256 without the data: generated photos in its exact layout drive the loader and U1 to U18."""

import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.clean.params import Clean
from stages.clean.run import run as clean
from stages.core import files, params
from stages.ingest import ingest
from stages.ingest.params import check_source
from stages.train.params import Cell, cell
from stages.train.run import run
from studies import systems

STUDY = params.read(systems.HERE / "uecfood256" / params.FILE)
SYSTEMS = [f"U{i}" for i in range(1, 19)]
CLASSES, PHOTOS = 256, 31_395
ODD_NAMES = {1: "rice", 2: "eels on rice", 23: "croquette", 41: "chip, butty", 101: "fish & chips", 256: "khao soi's"}


def layout(root: Path, counts: dict[int, int], *, twice: int) -> Path:
    """The tree of the archive: folders 1 to 256, boxes, names with commas, mixed line ends.

    Args:
        root: where `UECFOOD256` goes.
        counts: class id to its number of photos, ids 1, 2, 3 ... over all classes.
        twice: so many photos of class 1 stand in class 2 as well, with another box.
    """
    folder = root / "UECFOOD256"
    folder.mkdir()
    names = {k: ODD_NAMES.get(k, f"dish {k if k != 200 else 199}") for k in counts}  # 199 and 200 share a name
    ends = ("\r\n", "\n", "\n\n", ",\n", ",\r\n")
    lines = ["id\tname\r\n"] + [f"{k}\t{name}{ends[k % len(ends)]}" for k, name in names.items()]
    (folder / "category.txt").write_bytes("".join(lines).encode())
    photo = 0
    first: list[int] = []
    for number, count in counts.items():
        (folder / str(number)).mkdir()
        mine = [photo + i for i in range(1, count + 1)]
        photo += count
        first = mine[:twice] if number == 1 else first
        mine = (first if number == 2 else []) + mine
        for i in mine:
            picture(folder / f"{number}/{i}.jpg", i)
        end = ends[number % 3]
        box = "24 12 48 36" if number == 2 else "0 0 24 24"
        boxes = [f"{i} {box}" for i in mine] + [f"{i} 5 5 40 {28 + number % 8}" for i in mine[:1]]  # the first has two
        (folder / f"{number}/bb_info.txt").write_bytes(end.join(["img x1 y1 x2 y2", *boxes, ""]).encode())
    (folder / "multiple_food.txt").write_text("1 2\n")
    return folder


def picture(path: Path, seed: int) -> None:
    """A photo of 48x36 px that resembles no other: large patches of colour."""
    patches = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(patches).resize((48, 36), Image.Resampling.BICUBIC).save(path, quality=90)


def bring(folder: Path, boxes: str) -> list[dict[str, str]]:
    ingest(check_source({"source": "uecfood256", "path": str(folder), "boxes": boxes}))
    return files.read_rows("data/raw/manifest.csv")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study folder with what ingest and clean leave of two photos a class, five of them listed twice."""
    place = tmp_path_factory.mktemp("uecfood256")
    folder = layout(place, dict.fromkeys(range(1, CLASSES + 1), 2) | {1: 12}, twice=5)
    before = Path.cwd()
    os.chdir(place)
    try:
        bring(folder, "whole")
        clean(params.section(Clean, STUDY.raw["clean"], "clean"))
    finally:
        os.chdir(before)
    return place


@pytest.mark.slow
def test_every_file_has_a_fate(prepared: Path) -> None:
    ledger = files.read_rows(prepared / "data/clean/ledger.csv")
    photos = [row for row in ledger if row["path"].endswith(".jpg")]
    assert len(photos) == 2 * 255 + 12 + 5
    assert {row["status"] for row in ledger if not row["path"].endswith(".jpg")} == {"quarantined"}
    # A photo in the folders of two dishes is kept in both, and stays in one part of the split.
    assert {row["status"] for row in photos} == {"kept"}
    assert Counter(row["reason"] for row in photos) == {"": 2 * 255 + 12 - 5, "label_conflict": 10}
    group = {row["image_id"]: row["group_id"] for row in files.read_rows(prepared / "data/clean/manifest.csv")}
    twice = [row for row in photos if row["reason"] == "label_conflict"]
    assert len({group[row["image_id"]] for row in twice}) == 5
    kept = [row["label"] for row in photos if row["status"] == "kept"]
    assert len(set(kept)) == CLASSES
    assert {"41 chip, butty", "101 fish & chips", "256 khao soi's", "199 dish 199", "200 dish 199"} <= set(kept)


@pytest.mark.slow
def test_the_boxes_of_one_photo_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bring(layout(tmp_path, {1: 6, 2: 4, 3: 4}, twice=3), "crop")
    clean(params.section(Clean, STUDY.raw["clean"], "clean"))
    group = {row["image_id"]: row["group_id"] for row in files.read_rows("data/clean/manifest.csv")}
    photos = [row for row in files.read_rows("data/clean/ledger.csv") if row["status"] == "kept"]
    assert len(photos) == 6 + 3 + 4 + 4 + 3  # photos of each class, those listed twice, second boxes
    for photo in ("1", "2", "3"):
        boxes = [row for row in photos if Path(row["path"]).stem == photo]
        assert {row["label"] for row in boxes} == {"1 rice", "2 eels on rice"}
        assert len({group[row["image_id"]] for row in boxes}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("system", [*SYSTEMS, "ZCA"])
def test_system_takes_a_few_steps(system: str, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prepared)
    manifest = files.read_rows("data/clean/manifest.csv")
    parts = [*["train"] * 70, *["val"] * 20, *["test"] * 20]  # two to four steps; every class is in `classes`
    rows = [{"image_id": row["image_id"], "split": part} for row, part in zip(manifest, parts, strict=False)]
    files.write_rows("data/split/seeds/0.csv", ["image_id", "split"], rows)
    labels = sorted({row["label"] for row in manifest}, key=lambda label: int(label.split()[0]))
    files.write_json("data/split/classes.json", labels)
    settings = cell(STUDY, system).model_dump() | {"epochs": 1}
    settings["size"] = min(settings["size"], 64)
    if settings["model"]["name"] == "backbone":
        settings["model"]["weights"] = "none"

    run(Cell.model_validate(settings), system, 0)

    logits = np.load(f"runs/{system}/0/logits.npz")
    assert {name: logits[name].shape for name in logits} == {
        "train": (70, CLASSES), "val": (20, CLASSES), "test": (20, CLASSES)
    }  # fmt: skip
    assert all(np.isfinite(logits[name]).all() for name in logits)
    config = files.read_json(f"results/{system}/0/train/config.json")
    assert config["params_trainable"] == systems.count("uecfood256", system)[1]


@pytest.mark.slow
@pytest.mark.weekly
def test_the_loader_at_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    share, odd = divmod(PHOTOS - 800, CLASSES)
    counts = {number: share + (number <= odd) for number in range(1, CLASSES + 1)}
    photo = tmp_path / "photo.jpg"
    picture(photo, 0)
    content = photo.read_bytes()
    monkeypatch.setattr("tests.studies.test_uecfood256.picture", lambda path, _: path.write_bytes(content))
    counts[1] += 800 - 100  # 700 photos more, and 100 that class 2 lists again
    folder = layout(tmp_path, counts, twice=100)
    began = time.process_time()

    rows = bring(folder, "whole")

    assert time.process_time() - began < 60
    images = [row for row in rows if row["label"]]
    assert len(images) == PHOTOS
    assert len(rows) == PHOTOS + CLASSES + 2  # bb_info.txt of each class, category.txt, multiple_food.txt: no images
    assert len({row["label"] for row in images}) == CLASSES
    assert Counter(Counter(row["group"] for row in images).values()) == {1: PHOTOS - 200, 2: 100}
    assert all(row["label"].split()[0] == row["path"].split("/")[0] for row in images)
    crops = [row for row in bring(folder, "crop") if row["label"]]
    assert len(crops) == PHOTOS + CLASSES  # the first photo of each class has two boxes
    assert not [row for row in crops if row["problem"]]
