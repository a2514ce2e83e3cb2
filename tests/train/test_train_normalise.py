"""Normalisation: what is fitted comes from the training images alone, and does what its name says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from stages.core import cells, files
from stages.train import normalise, predict
from stages.train import run as engine
from stages.train.feed import Images, whole
from tests.train import made

if TYPE_CHECKING:
    from pathlib import Path

STEPS = {
    "featurewise": [{"name": "scale"}, {"name": "featurewise"}],
    "zca": [{"name": "scale"}, {"name": "zca", "components": 64, "epsilon": 1e-3}],
}


def correlated(count: int, size: int, seed: int = 0) -> Images:
    """Smooth pictures: neighbouring pixels agree, as in photographs."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((count, 3, 3, 3), dtype=np.float32) * 200)
    fine = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    noisy = fine + torch.from_numpy(rng.random(tuple(fine.shape), dtype=np.float32)) * 40
    return Images(noisy.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy(), np.arange(count))


def normalised(steps: list[dict[str, object]], images: Images, fitted_on: Images | None = None) -> torch.Tensor:
    normaliser = normalise.fit(made.settings(normalise=steps), fitted_on or images)
    return whole(images[:], normaliser, torch.device("cpu"))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("split", ["val", "test"])
def test_statistics_come_from_the_training_images_alone(study: Path, name: str, split: str) -> None:
    cell = made.settings(normalise=STEPS[name], epochs=1, checkpoint="last")
    engine.run(cell, "v", 0)
    before = made.outputs()
    ids = {row["image_id"] for row in files.read_rows(cells.split_file(0)) if row["split"] == split}
    for image in ids:  # other pictures in their place
        path = study / "data/clean/images" / f"{image}.png"
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    engine.run(cell, "v", 0)
    after = made.outputs()
    assert before["runs/v/0/model.safetensors"] == after["runs/v/0/model.safetensors"]
    with np.load("runs/v/0/logits.npz") as logits:
        assert len(logits[split]) == len(ids)
    assert before["runs/v/0/logits.npz"] != after["runs/v/0/logits.npz"], "the pictures were not replaced"


def test_fitted_statistics_travel_with_the_model(study: Path) -> None:  # noqa: ARG001 - the working folder
    engine.run(made.settings(normalise=STEPS["zca"], epochs=1), "v", 0)
    files.write_rows(cells.split_file(0), ["image_id", "split"], [{"image_id": "0_0", "split": "train"}])
    loaded = predict.load("v", 0)  # fitting again, on this one image, would give other numbers
    x = whole(np.zeros((2, 12, 12, 3), np.uint8), loaded.normaliser, torch.device("cpu"))
    assert float(x.std()) > 0
    assert "1.directions" in loaded.normaliser.state_dict()


def test_featurewise_is_zero_mean_and_unit_deviation_per_channel() -> None:
    x = normalised([{"name": "featurewise"}], correlated(50, 9))
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_samplewise_is_zero_mean_and_unit_deviation_per_image() -> None:
    x = normalised([{"name": "scale"}, {"name": "samplewise"}], correlated(7, 9))
    torch.testing.assert_close(x.mean((1, 2, 3)), torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std((1, 2, 3), correction=0), torch.ones(7), atol=1e-3, rtol=0)


def test_zca_covariance_is_close_to_identity() -> None:
    steps: list[dict[str, object]] = [{"name": "scale"}, {"name": "zca", "components": 75, "epsilon": 1e-6}]
    images = correlated(3000, 5)
    x = normalised(steps, images).flatten(1).double()
    covariance = x.T @ x / len(x)
    assert float((covariance - torch.eye(75)).abs().max()) < 0.02
    raw = normalised([{"name": "scale"}], images).flatten(1).double()
    assert float(torch.corrcoef(raw.T).fill_diagonal_(0).abs().max()) > 0.5, "there was nothing to whiten"


def test_zca_is_the_zero_phase_solution() -> None:
    """Among all whitenings ZCA is the symmetric one: U diag(1/sqrt(s + eps)) U^T."""
    images = correlated(2000, 5)
    raw = normalised([{"name": "scale"}], images).flatten(1).double()
    centred = raw - raw.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(raw))
    expected = centred @ vectors @ torch.diag((values + 1e-3).rsqrt()) @ vectors.T
    x = normalised([{"name": "scale"}, {"name": "zca", "components": 75, "epsilon": 1e-3}], images).flatten(1).double()
    torch.testing.assert_close(x, expected, atol=2e-3, rtol=0)


def test_zca_with_few_components_whitens_the_leading_directions() -> None:
    steps: list[dict[str, object]] = [{"name": "scale"}, {"name": "zca", "components": 27, "epsilon": 1e-6}]
    x = normalised(steps, correlated(3000, 12)).flatten(1).double()
    variances = torch.linalg.eigvalsh(x.T @ x / len(x))
    assert float(variances.min()) > 0.3
    assert float(variances.max()) < 3.5


def test_a_backbone_gets_its_own_preprocessing_unless_told_otherwise() -> None:
    model = {"name": "backbone", "architecture": "resnet18", "weights": "none"}
    assert [s.name for s in normalise.resolve(made.settings(model))] == ["backbone"]
    assert [s.name for s in normalise.resolve(made.settings(model, normalise=[{"name": "scale"}]))] == ["scale"]
    assert [s.name for s in normalise.resolve(made.settings())] == ["scale"]
