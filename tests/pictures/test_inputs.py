"""The pictures of the input on the page are those that the network got."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from stages.core import cells, files
from stages.evaluate import cell, tables
from stages.evaluate.params import Evaluate
from stages.pictures import __main__ as stage
from stages.pictures import inputs
from stages.train import feed
from stages.train import run as engine
from tests.evaluate import made as evaluated
from tests.train import made

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.train.params import Cell

FOLDER = Path("reports/pictures")


def _run(cell: Cell, seed: int = 0) -> None:
    engine.run(cell, "v", seed)
    config = files.read_json(f"results/v/{seed}/train/config.json")
    inputs.write({"v": config["cell"], "w": config["cell"]}, seed, FOLDER)
    assert files.read_json(FOLDER / "inputs_v.json")["variants"] == ["v", "w"], "fed alike, shown once"


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.uint8]]:
    """What was written into the sprite, before JPEG."""
    kept: list[NDArray[np.uint8]] = []
    monkeypatch.setattr("stages.core.sprite.write", lambda _, found: kept.extend(found))
    return kept


@pytest.mark.parametrize("augment", ["none", "flip_crop", {"rotation": 40}, {"mixup": 0.4}])
def test_they_are_what_was_fed(
    study: Path,  # noqa: ARG001
    augment: Any,
    tiles: list[NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: dict[int, dict[int, NDArray[np.uint8]]] = {}
    call = feed.Live.__call__

    def spy(self: feed.Live, epoch: int, rows: Any, labels: Any) -> Any:
        x, mixed = call(self, epoch, rows, labels)
        pictures = (x * 255).round().byte().permute(0, 2, 3, 1).numpy()
        fed.setdefault(epoch, {}).update(zip(rows.tolist(), pictures, strict=True))
        return x, mixed

    monkeypatch.setattr(feed.Live, "__call__", spy)
    _run(made.settings(augment=augment, batch=8, epochs=3))
    parts = {row["image_id"]: row["split"] for row in files.read_rows("data/split/seeds/0.csv")}
    train = [image for image, part in parts.items() if part == "train"]
    told = files.read_json(FOLDER / "inputs_v.json")["tiles"]
    assert len(tiles) == len(told) == (8 if augment == "none" else 8 + 4 * 3)
    assert [train.index(about["image_id"]) for about in told[:8]] == list(fed[1])[:8], "not the first batch"
    for about, tile in zip(told, tiles, strict=True):
        if about["epoch"]:
            np.testing.assert_allclose(tile, fed[about["epoch"]][train.index(about["image_id"])], atol=1)
        else:
            assert np.array_equal(tile, np.asarray(Image.open(f"data/clean/images/{about['image_id']}.png")))
        assert ("mixed_with" in about) == (augment == {"mixup": 0.4} and about["epoch"] > 0)


def test_large_pictures_are_kept_small(study: Path) -> None:  # noqa: ARG001
    _run(made.settings(size=96, augment="bananas", batch=64, epochs=3))
    about = files.read_json(FOLDER / "inputs_v.json")
    assert (about["px"], len(about["tiles"])) == (48, 16 + 4 * 3)
    assert (FOLDER / "inputs_v.jpg").stat().st_size < 60_000


def test_cached_views_take_turns(study: Path, tiles: list[NDArray[np.uint8]]) -> None:  # noqa: ARG001
    backbone = {"name": "backbone", "architecture": "mobilenetv3_small_050", "weights": "none", "trainable": "head"}
    _run(made.settings(backbone, size=32, augment="flip_crop", views=1, epochs=2, normalise="auto"), 3)
    about = files.read_json(FOLDER / "inputs_v.json")
    assert [a["epoch"] for a in about["tiles"][8:]] == [0, 2] * 4
    for i in range(4):
        assert np.array_equal(tiles[i], tiles[8 + 2 * i + 1]), "the one view there is serves both epochs"


def test_a_class_prior_is_neither_fed_nor_counted(study: Path) -> None:  # noqa: ARG001
    for variant, model in (("prior", {"name": "random"}), ("net", made.MLP)):
        engine.run(made.settings(model), variant, 0)
        tables.write(cell.read(variant, 0), Evaluate(), cells.evaluate_folder(variant, 0))
    written = evaluated.params(["prior", "net"], [0], report={"published": "", "leak": ""})
    files.write_json("params.yaml", written)
    files.write_json("data/split/summary.json", {"splits": [{"seeds": [0], "counts": {}}]})
    files.write_rows("reports/suspects.csv", ["image_id"], [])
    stage.main()
    assert {about["total"] for about in files.read_json(FOLDER / "samples.json")["grid"]} == {1}
    assert [path.name for path in FOLDER.glob("inputs_*.json")] == ["inputs_net.json"]


def test_variants_with_another_first_batch_stand_apart(study: Path) -> None:  # noqa: ARG001
    mixing: dict[str, Any] = {"augment": {"mixup": 0.4}, "epochs": 1}
    own: dict[str, dict[str, Any]] = {
        "a": {"batch": 8},
        "b": {"batch": 8, "lr": 0.5},
        "c": {"batch": 6},
        "d": {"batch": 8, "shuffle_window": 9},
    }
    inputs.write({name: made.settings(**mixing, **keys).model_dump() for name, keys in own.items()}, 0, FOLDER)
    told = {path.stem: files.read_json(path) for path in FOLDER.glob("inputs_*.json")}
    assert {name: about["variants"] for name, about in told.items()} == {
        "inputs_a": ["a", "b"], "inputs_c": ["c"], "inputs_d": ["d"]
    }  # fmt: skip
    first = {name: [tile["image_id"] for tile in about["tiles"] if tile["epoch"]] for name, about in told.items()}
    assert first["inputs_a"][:6] == first["inputs_c"]
    assert len(first["inputs_a"]) == 8
    assert set(first["inputs_d"]) != set(first["inputs_a"])
