"""The pictures that a cell leaves for the report are those that its network got."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from stages.core import cells, files
from stages.evaluate import inputs
from stages.train import feed, predict
from stages.train import run as engine
from tests.train import made

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.train.params import Cell

FOLDER = Path("results/v/0/evaluate")


def _run(cell: Cell, seed: int = 0) -> None:
    engine.run(cell, "v", seed)
    inputs.write(predict.load("v", seed), seed, cells.evaluate_folder("v", seed))


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
    told = files.read_json(FOLDER / "inputs.json")["tiles"]
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
    about = files.read_json(FOLDER / "inputs.json")
    assert (about["px"], len(about["tiles"])) == (48, 16 + 4 * 3)
    assert (FOLDER / "inputs.jpg").stat().st_size < 60_000


def test_cached_views_take_turns(study: Path, tiles: list[NDArray[np.uint8]]) -> None:  # noqa: ARG001
    backbone = {"name": "backbone", "architecture": "mobilenetv3_small_050", "weights": "none", "trainable": "head"}
    _run(made.settings(backbone, size=32, augment="flip_crop", views=1, epochs=2, normalise="auto"), 3)
    about = files.read_json("results/v/3/evaluate/inputs.json")
    assert [a["epoch"] for a in about["tiles"][8:]] == [0, 2] * 4
    for i in range(4):
        assert np.array_equal(tiles[i], tiles[8 + 2 * i + 1]), "the one view there is serves both epochs"
