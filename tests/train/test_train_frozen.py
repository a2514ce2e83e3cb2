"""A frozen part computed once gives the bytes of the live run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from stages.train import frozen, predict
from stages.train import run as engine
from tests.train import made

if TYPE_CHECKING:
    from pathlib import Path


def backbone(trainable: Any, architecture: str = "mobilenetv3_small_050", **more: Any) -> dict[str, Any]:
    return {
        "name": "backbone", "architecture": architecture, "weights": "none", "trainable": trainable,
        "head": {"widths": [16], "dropout": 0.5}, **more,
    }  # fmt: skip


CASES: dict[str, dict[str, Any]] = {
    "fully frozen": {"model": backbone("head")},
    "fully frozen, in windows": {"model": backbone("head"), "shuffle_window": 12},
    "two phases": {
        "model": backbone("head"),
        "phases": [{"epochs": 1}, {"epochs": 2, "lr": {"features": 1e-4, "head": 1e-3}, "trainable": {"last": 3}}],
    },
}
SLOW: dict[str, dict[str, Any]] = {
    "partly frozen": {"model": backbone({"last": 4}), "batch": 7},
    "VGG16, last layers": {"model": backbone({"last": 4}, "vgg16"), "size": 32, "epochs": 2},
    "ResNet18, partly frozen": {"model": backbone({"last": 4}, "resnet18"), "epochs": 2},
    "ResNet50V2": {"model": backbone("head", "resnetv2_50"), "epochs": 2},
}


def trained(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[dict[str, bytes], int]:
    """Outputs without config.json (which tells `frozen` apart), and how often the frozen part ran."""
    calls = []
    whole = frozen.Cache._forward

    def counted(self: frozen.Cache, x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return whole(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(frozen.Cache, "_forward", counted)
        engine.run(made.settings(**{"size": 33, **settings}), "v", 0)
    return {name: value for name, value in made.outputs().items() if "config" not in name}, sum(calls)


@pytest.mark.parametrize("case", [*CASES, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)])
def test_cached_equals_live_to_the_bit(study: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:  # noqa: ARG001
    settings = {**CASES, **SLOW}[case]
    cached, computed = trained(monkeypatch, **settings)
    live, none = trained(monkeypatch, **settings, frozen="live")
    assert computed >= 39  # the training and validation images, at each boundary
    assert none == 0
    assert cached == live


def test_heads_seeds_and_rates_share_what_is_frozen(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    _, computed = trained(monkeypatch, model=backbone("head"))
    assert computed == 48
    _, again = trained(monkeypatch, model=backbone("head") | {"head": {"widths": []}}, lr=0.1)
    assert again == 0
    _, other = trained(monkeypatch, model=backbone("head"), normalise=[{"name": "scale"}])
    assert other == 48


def test_predictions_from_images_have_the_bits_of_those_from_the_cache(
    study: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained(monkeypatch, model=backbone("head"))
    loaded = predict.load("v", 0)
    with np.load("runs/v/0/logits.npz") as written:
        for split in ("train", "val", "test"):
            assert np.array_equal(predict.logits(loaded, loaded.images(split)), written[split])


def test_augmented_views_take_turns(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    seen = []
    whole = frozen.Cache.view

    def counted(self: frozen.Cache, number: int) -> frozen.Activations:
        seen.append(number)
        return whole(self, number)

    monkeypatch.setattr(frozen.Cache, "view", counted)
    settings: dict[str, Any] = {"model": backbone("head"), "augment": "bananas", "views": 2, "epochs": 4}
    _, computed = trained(monkeypatch, **settings)
    assert seen == [1, 2, 1, 2]
    assert computed == 2 * 30 + 48, "each view once; each split once as it is"


@pytest.mark.slow
def test_bfloat16_is_kept_to_the_bit(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    cached, _ = trained(monkeypatch, model=backbone("head"), precision="bf16", epochs=1)
    live, _ = trained(monkeypatch, model=backbone("head"), precision="bf16", epochs=1, frozen="live")
    assert cached == live
    full, _ = trained(monkeypatch, model=backbone("head"), epochs=1)
    assert full != cached
    assert torch.get_num_threads() == 1
