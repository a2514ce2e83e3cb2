"""The whole stage on a cell that was really trained."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stages.core import cells, files
from stages.core.errors import UserError
from stages.evaluate import __main__ as stage
from stages.evaluate import cost, gradcam
from stages.evaluate.params import Evaluate
from tests.evaluate import made

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = [{"filters": [4]}, {"filters": [8]}]
VARIANTS = {"cnn": {"model": {"name": "cnn", "blocks": BLOCKS}}, "mlp": {"model": {"name": "mlp", "widths": [16]}}}
FILES = {
    "metrics.csv", "per_class.csv", "confusion.csv", "predictions.parquet", "calibration.csv", "robustness.csv",
    "cost.json", "gradcam.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stages.core import params
    from stages.train import params as train_params
    from stages.train import run

    folder = tmp_path_factory.mktemp("study")
    made.study(folder, dict.fromkeys(VARIANTS, 1.0), [0])
    raw = json.loads((folder / "params.yaml").read_text())
    raw["variants"] = VARIANTS
    raw["train"] = {
        "size": 12, "epochs": 2, "batch": 8, "optimizer": {"name": "adam"}, "checkpoint": "last", "device": "cpu"
    }  # fmt: skip
    raw["evaluate"] = {"gradcam": {"coarsest": 2, "px": 16}}
    files.write_json(folder / "params.yaml", raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for variant in VARIANTS:
            run.run(train_params.cell(params.read(), variant), variant, 0)
            evaluate(variant)
    return folder


@pytest.fixture
def folder(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def evaluate(variant: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["evaluate", "--variant", variant, "--seed", "0"])
        stage.main()


def contents(variant: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cells.evaluate_folder(variant, 0).iterdir()}


@pytest.mark.usefixtures("folder")
def test_all_files_are_there_and_come_out_the_same_again() -> None:
    before = contents("cnn")
    assert set(before) == FILES | {"gradcam.jpg"}
    assert set(contents("mlp")) == FILES
    evaluate("cnn")
    assert contents("cnn") == before


@pytest.mark.usefixtures("folder")
def test_identity_strengths_give_the_clean_figures_to_the_bit() -> None:
    out = cells.evaluate_folder("cnn", 0)
    clean = pd.read_csv(out / "metrics.csv").set_index(["split", "metric"])["value"]
    for row in pd.read_csv(out / "robustness.csv").to_dict("records"):
        if row["changed"] == 0:
            assert row["top1"] == clean["test", "top1"]
            assert row["macro_f1"] == clean["test", "macro_f1"]


@pytest.mark.usefixtures("folder")
def test_gradcam() -> None:
    listed = files.read_json(cells.evaluate_folder("cnn", 0) / "gradcam.json")
    assert listed["skipped"] is None
    shared = [tile for tile in listed["tiles"] if tile["kind"] == "shared"]
    assert len(shared) == 8
    assert all(
        tile["target"] == tile["label"] and {len(row.split()) for row in tile["map"]} == {len(tile["map"])} == {12}
        for tile in shared
    )
    assert files.read_json(cells.evaluate_folder("mlp", 0) / "gradcam.json") == {
        "skipped": "the network has no feature map",
        "tiles": [],
    }


@pytest.mark.usefixtures("folder")
def test_gradcam_is_the_published_formula_and_reaches_a_frozen_network() -> None:
    from stages.train import predict

    loaded = predict.load("cnn", 0)
    (inputs,) = predict.normalised(loaded, loaded.images("test"))
    layer = loaded.network.cam_layer()
    assert layer is not None
    for parameter in loaded.network.parameters():
        parameter.requires_grad_(False)
    maps = gradcam.explain(loaded.network, layer, inputs[:2], [1, 1])

    seen: list[torch.Tensor] = []

    def keep(_module: object, _inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    handle = layer.register_forward_hook(keep)
    loaded.network(inputs[:2].clone().requires_grad_())[:, 1].sum().backward()
    handle.remove()
    assert seen[0].grad is not None
    heat = torch.relu((seen[0].grad.mean(dim=(2, 3), keepdim=True) * seen[0]).sum(dim=1))
    for mine, other in zip(maps, heat.detach().numpy(), strict=True):
        small = other - other.min()
        small /= small.max() + 1e-7
        large = np.asarray(Image.fromarray(small).resize(mine.shape, Image.Resampling.BILINEAR))
        assert np.corrcoef(mine.ravel(), large.ravel())[0, 1] > 0.98


@pytest.mark.usefixtures("folder")
def test_a_coarse_map_is_not_shown_and_a_wrong_layer_is_named() -> None:
    from stages.train import predict

    loaded = predict.load("cnn", 0)
    one = next(iter(predict.normalised(loaded, loaded.images("test"))))[:1]
    settings = Evaluate().gradcam.model_copy(update={"coarsest": 20})
    reason = gradcam.refuse(loaded.network, loaded.network.cam_layer(), one, settings)
    assert reason is not None
    assert "too coarse" in reason
    first = gradcam.choose_layer(loaded.network, "features.0", "cnn")
    assert first is loaded.network.get_submodule("features.0")
    with pytest.raises(UserError, match=r"evaluate.gradcam.layers.cnn` is 'features.x'; nearest: features"):
        gradcam.choose_layer(loaded.network, "features.x", "cnn")


@pytest.mark.usefixtures("folder")
def test_cost_by_hand() -> None:
    written = files.read_json(cells.evaluate_folder("mlp", 0) / "cost.json")
    inputs = 12 * 12 * 3
    assert written["macs"] == inputs * 16 + 16 * 3
    assert written["params_total"] == written["params_trainable"] == (inputs + 1) * 16 + 17 * 3
    assert written["bytes"] == (cells.run_folder("mlp", 0) / "model.safetensors").stat().st_size
    conv = torch.nn.Conv2d(3, 8, 3, padding=1)
    assert cost.macs(conv, torch.zeros(1, 3, 10, 10)) == 10 * 10 * 8 * 3 * 9


@pytest.mark.usefixtures("folder")
def test_timings_stand_outside_of_the_locked_folder() -> None:
    timed = files.read_json(cells.timing_file("cnn", 0).with_suffix(".inference.json"))
    assert timed["ms_per_image"]["cpu"]["batch_1"] > 0
    assert not any("timing" in name or "inference" in name for name in contents("cnn"))
