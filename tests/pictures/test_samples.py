"""The page's images are those that the predictions of the cells name, each once, under its true place in the sprite."""

from __future__ import annotations

import contextlib
import shutil
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.core import cells, files, params
from stages.core.errors import UserError
from stages.pictures import samples
from stages.report.params import ReportParams, Samples
from tests.evaluate import made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SKILLS, SEEDS = {"weak": 0.4, "strong": 2.5}, [3, 1]  # the first seed of the study is not the smallest
Tested = dict[tuple[str, int], list[dict[Any, Any]]]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    made.study(folder, SKILLS, SEEDS, images=150, report={"published": "", "leak": ""})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for variant in SKILLS:
            for seed in SEEDS:
                made.evaluate(variant, seed)
    return folder


@pytest.fixture
def tested(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> Tested:
    """The predictions on the test set of each cell, as plain rows."""
    monkeypatch.chdir(evaluated)
    every = {}
    for variant in SKILLS:
        for seed in SEEDS:
            table = pd.read_parquet(cells.evaluate_folder(variant, seed) / "predictions.parquet")
            every[variant, seed] = [row for row in table.to_dict("records") if row["split"] == "test"]
    return every


def write(suspects: list[str], **chosen: int) -> dict[str, Any]:
    settings = ReportParams(published="", leak="", suspects=2, samples=Samples.model_validate(chosen))
    files.write_rows("reports/suspects.csv", ["image_id"], [{"image_id": image} for image in suspects])
    with files.fresh_folder("reports/pictures") as folder:
        samples.write(params.read(), ["strong"], settings, folder)
    return dict(files.read_json("reports/pictures/samples.json"))


def test_the_surest_of_each_class_are_those_of_the_first_seed(tested: Tested) -> None:
    told = write([], classes=2, per_class=2, grid=0, confused=0)
    for variant in SKILLS:
        rows = tested[variant, 3]
        support = Counter(row["label"] for row in rows)
        largest = sorted(support, key=lambda label: (-support[label], label))[:2]
        for kind in ("surest_right", "surest_wrong"):
            expected = set()
            for label in largest:
                own = [r for r in rows if r["label"] == label and (r["predicted"] == label) == (kind == "surest_right")]
                own.sort(key=lambda row: -row["confidence"])
                expected |= {row["image_id"] for row in own[:2]}
            shown = [about for about in told["variants"][variant] if about["kind"] == kind]
            assert {about["image_id"] for about in shown} == expected
            assert {about["seed"] for about in shown} <= {3}


def test_each_frequent_confusion_has_the_image_that_is_surest_in_the_first_seed_that_makes_it(tested: Tested) -> None:
    told = write([], classes=1, per_class=0, grid=0, confused=4)
    for variant in SKILLS:
        wrong = [
            (seed, row) for seed in SEEDS for row in tested[variant, seed] if row["label"] != row["predicted"]
        ]  # in the order of the seeds
        often = Counter((row["label"], row["predicted"]) for _, row in wrong)
        shown = told["variants"][variant]
        assert len(shown) == min(4, len(often))
        pairs = [(about["label"], about["predicted"]) for about in shown]
        assert sorted(often[pair] for pair in pairs) == sorted(sorted(often.values())[-4:])
        for about, pair in zip(shown, pairs, strict=True):
            having = [(seed, row) for seed, row in wrong if (row["label"], row["predicted"]) == pair]
            first = [row for seed, row in having if seed == having[0][0]]
            assert about["seed"] == having[0][0]
            surest = max(first, key=lambda row: float(row["confidence"]))
            assert about["image_id"] == surest["image_id"]
            assert about["confidence"] == pytest.approx(surest["confidence"], rel=1e-6)


def test_the_grid_counts_the_trained_cells(tested: Tested) -> None:
    told = write([], per_class=0, confused=0, grid=12)
    assert len({about["image_id"] for about in told["grid"]}) == 12
    for about in told["grid"]:
        guesses = [
            next(row["predicted"] for row in tested["strong", seed] if row["image_id"] == about["image_id"])
            for seed in SEEDS
        ]
        assert about["total"] == len(SEEDS)
        assert about["right"] == guesses.count(about["label"])
        assert dict(about["wrong"]) == Counter(guess for guess in guesses if guess != about["label"])


@pytest.mark.usefixtures("tested")
def test_a_tile_shows_its_image_and_every_image_has_one_tile() -> None:
    rows = files.read_rows("data/clean/manifest.csv")
    suspects = [row["image_id"] for row in rows[:3]]
    told = write(suspects)
    ids = [tile["image_id"] for tile in told["tiles"]]
    assert len(set(ids)) == len(ids)
    named = {about["image_id"] for chosen in (*told["variants"].values(), told["grid"]) for about in chosen}
    assert set(ids) == named | set(suspects[:2]), "as many suspects as the page shows"
    assert told["px"] == 8  # never magnified: the pictures are 8 px wide
    path = {row["image_id"]: f"data/clean/{row['path']}" for row in rows}
    pictures = np.stack([np.asarray(Image.open(path[image]).convert("L"), float) for image in ids])
    with Image.open("reports/pictures/samples.jpg") as sheet:
        pixels = np.asarray(sheet.convert("L"), float)
    for index in range(len(ids)):
        row, column = divmod(index, told["columns"])
        shown = pixels[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        assert np.abs(pictures - shown).mean(axis=(1, 2)).argmin() == index


@pytest.mark.usefixtures("tested")
def test_a_study_that_asks_for_no_picture_has_no_sprite(evaluated: Path) -> None:
    told = write([], per_class=0, confused=0, grid=0)
    assert (told["tiles"], told["grid"], set(map(len, told["variants"].values()))) == ([], [], {0})
    assert not (evaluated / "reports/pictures/samples.jpg").exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


@pytest.mark.parametrize(
    ("damage", "reason"), [(_cut, "cannot be decoded"), (lambda path: path.unlink(), "is not here; `dvc repro`")]
)
def test_a_picture_that_cannot_be_read_is_named(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], reason: str
) -> None:
    shutil.copytree(evaluated / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    row = files.read_rows(samples.MANIFEST)[0]
    damage(samples.MANIFEST.parent / row["path"])
    with pytest.raises(UserError, match=f"{row['path']} {reason}"):
        samples._tiles([row["image_id"]], 64)


@pytest.mark.usefixtures("tested")
def test_an_image_that_is_not_in_the_manifest_is_named() -> None:
    with pytest.raises(UserError, match=r"manifest\.csv has no image beef"):
        write(["beef"])


@pytest.mark.usefixtures("tested")
def test_more_pictures_than_a_sprite_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [row["image_id"] for row in files.read_rows(samples.MANIFEST)[:31]]
    monkeypatch.setattr(samples, "JPEG_SIDE", 24)  # three rows of 8 px
    assert len(samples._tiles(ids[:30], 64)[1]) == 30
    with pytest.raises(UserError, match=r"31 pictures of 8 px, and a sprite holds 30; lower `samples.px`"):
        samples._tiles(ids, 64)
    monkeypatch.setattr(samples, "JPEG_PIXELS", 2 * 10 * 8 * 8)
    with pytest.raises(UserError, match="holds 20;"):
        samples._tiles(ids, 64)


@pytest.mark.usefixtures("tested")
def test_one_picture_is_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[weakref.ref[Image.Image]] = []

    opened = files.picture

    @contextlib.contextmanager
    def watched(path: Path) -> Iterator[Image.Image]:
        assert not any(one() for one in seen)
        with opened(path) as picture:
            seen.append(weakref.ref(picture))
            yield picture

    monkeypatch.setattr(files, "picture", watched)
    tiles = write([])["tiles"]
    assert len(seen) == len(tiles) > 9, "once for its tile: the manifest has its size"
