"""Settings without effect are refused, pixels are cached by content, every kind of cell ends with its files."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from stages.core import files, params
from stages.core.errors import UserError
from stages.train import pixels, predict
from stages.train import run as engine
from stages.train.params import cell, check
from stages.train.sections import Resize
from tests.train import made

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "momentum with Adam": ({"optimizer": {"name": "adam", "momentum": 0.9}}, r"`variants.v.optimizer.momentum` has no"),
    "a typo": ({"batchsize": 3}, r"unknown key `variants.v.batchsize`; did you mean `batch`"),
    "epochs and phases": ({"epochs": 3, "phases": [{"epochs": 1}]}, "both `epochs` and `phases`"),
    "no such preset": ({"augment": "banana"}, "no preset `banana`; there are none, "),
    "no such optimizer": ({"optimizer": {"name": "adma"}}, "`variants.v.optimizer`.*'adam'"),
    "views of nothing": ({"views": 2}, "`variants.v.views` needs a backbone"),
    "a trainable part of an MLP": ({"phases": [{"epochs": 1, "trainable": "head"}]}, "needs a backbone"),
    "two kinds of shift": ({"augment": {"shift": {"px": 1, "fraction": 0.1}}}, "either `px` or `fraction`"),
    "text for a number": ({"batch": "8"}, "`variants.v.batch` is '8'"),
    "one rate of two": ({"lr": {"head": 0.1}}, "the key `variants.v.lr.features` is missing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    own, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        made.settings(made.MLP, **own)


def test_a_wrong_default_is_named_where_it_stands() -> None:
    study = params.Study("t", 0.1, [0], {"v": {"model": made.MLP}}, {"train": {**made.TRAIN, "batches": 3}})
    with pytest.raises(UserError, match=r"unknown key `train.batches`; did you mean `batch`"):
        cell(study, "v")


def test_precedence() -> None:
    train = {**made.TRAIN, "lr": 0.2}
    study = params.Study(
        "t", 0.1, [0], {"a": {"model": made.MLP}, "b": {"model": made.MLP, "lr": 0.3}}, {"train": train}
    )
    assert [cell(study, v).lr for v in "ab"] == [0.2, 0.3]
    assert cell(params.Study("t", 0.1, [0], study.variants, {"train": made.TRAIN}), "a").lr == 0.1


def test_the_study_of_this_repository_is_valid() -> None:
    check(params.read(ROOT / "params.yaml"))


def test_pixels_are_cached_by_content(study: Path) -> None:
    paths = sorted((study / "data/clean/images").iterdir())[:5]
    first = pixels.load(paths, 8, Resize())
    assert first.shape == (5, 8, 8, 3)
    expected = np.asarray(Image.open(paths[2]).resize((8, 8), Image.Resampling.BILINEAR))
    assert np.array_equal(first[2], expected)
    cached = set((study / ".cache/pixels").glob("*.npy"))
    pixels.load(paths, 8, Resize())
    assert set((study / ".cache/pixels").glob("*.npy")) == cached
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(paths[2])
    assert not pixels.load(paths, 8, Resize())[2].any(), "a changed picture came from the cache"


@pytest.mark.parametrize(
    "damage", [lambda whole: bytes(len(whole)), lambda whole: whole[:-100] + bytes(100), lambda whole: whole[:200]]
)
def test_a_damaged_array_is_made_again(study: Path, damage: Callable[[bytes], bytes]) -> None:
    paths = sorted((study / "data/clean/images").iterdir())[:5]
    whole = pixels.load(paths, 8, Resize()).copy()
    (file,) = (study / ".cache/pixels").glob("*.npy")
    file.write_bytes(damage(file.read_bytes()))
    assert np.array_equal(pixels.load(paths, 8, Resize()), whole)


@pytest.mark.parametrize("path", ["../../secret.png", "/etc/hostname", "images/../../a.png", "reports/a.png"])
def test_no_path_leads_out_of_the_images(study: Path, path: str) -> None:
    manifest = study / "data/clean/manifest.csv"
    manifest.write_text(manifest.read_text().replace("images/0_0.png", path))
    with pytest.raises(UserError, match=r"manifest\.csv is damaged \(the path .* does not lie in images/"):
        engine.run(made.settings(), "v", 0)


@pytest.mark.parametrize(("mode", "box"), [("crop", (4, 0, 12, 8)), ("pad", None)])
def test_resize_keeps_the_aspect(mode: str, box: tuple[int, int, int, int] | None) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8))
    out = np.asarray(pixels.square(picture, 8, Resize.model_validate({"mode": mode, "interpolation": "nearest"})))
    assert out.shape == (8, 8, 3)
    if box:
        assert np.array_equal(out, np.asarray(picture.crop(box)))
    else:
        assert not out[:2].any()
        assert not out[-2:].any()
        assert out[2:-2].any()


def test_parallel_builders_build_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert set(pool.map(made.build_shared, [str(tmp_path)] * 3)) == {499999500000}
    assert (tmp_path / "builders").read_text() == "."


def test_a_damaged_picture_is_named(study: Path) -> None:
    path = study / "data/clean/images/0_0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r"0_0\.png cannot be decoded"):
        engine.run(made.settings(), "v", 0)


def test_the_class_prior_needs_no_training(study: Path) -> None:  # noqa: ARG001
    engine.run(made.settings({"name": "random"}, checkpoint="last"), "v", 0)
    config = files.read_json("results/v/0/train/config.json")
    assert (config["epochs_run"], config["params_trainable"]) == (0, 0)
    with np.load("runs/v/0/logits.npz") as logits:
        np.testing.assert_allclose(np.exp(logits["test"]), 1 / 3, rtol=1e-5)


def test_the_chosen_epoch_is_the_one_that_is_kept(study: Path) -> None:  # noqa: ARG001
    cell = made.settings(made.CNN, epochs=6, lr=0.05, checkpoint="best_val_loss")
    engine.run(cell, "v", 0)
    config, history = files.read_json("results/v/0/train/config.json"), files.read_rows("results/v/0/train/history.csv")
    losses = [float(row["val_loss"]) for row in history]
    assert config["best_epoch"] == 1 + int(np.argmin(losses))
    loaded = predict.load("v", 0)
    logits = predict.logits(loaded, loaded.images("val")).astype(np.float64)
    labels = loaded.data.labels[loaded.data.rows["val"]]
    kept = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels])
    np.testing.assert_allclose(kept, min(losses), rtol=1e-6)
    with np.load("runs/v/0/logits.npz") as written:
        assert np.array_equal(written["val"], predict.logits(loaded, loaded.images("val")))


def test_early_stopping(study: Path) -> None:  # noqa: ARG001
    cell = made.settings(made.MLP, epochs=40, lr=0.5, early_stopping={"patience": 2})
    engine.run(cell, "v", 0)
    losses = [float(row["val_loss"]) for row in files.read_rows("results/v/0/train/history.csv")]
    assert len(losses) < 40
    assert int(np.argmin(losses)) == len(losses) - 3
