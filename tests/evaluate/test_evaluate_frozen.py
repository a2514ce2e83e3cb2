"""A frozen part sees each changed test picture once, whatever stands behind it, and no bit depends on that."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from stages.core import cells
from stages.evaluate import __main__ as stage
from stages.train import frozen, predict
from stages.train import run as engine
from tests.evaluate import made as study_of
from tests.train import made

if TYPE_CHECKING:
    from pathlib import Path

    import torch

BACKBONE = {"name": "backbone", "architecture": "mobilenetv3_small_050", "weights": "none", "trainable": "head"}
HEADS: dict[str, dict[str, Any]] = {"plain": {}, "hidden": {"widths": [16], "dropout": 0.5}}
CHANGES = {"rotation": [45], "noise": [0.1], "jpeg": [20], "scale": [0.5]}
EVALUATE = {"robustness": {"shift": [], "brightness": [], "blur": [], "flip": False, **CHANGES}}


def outputs(monkeypatch: pytest.MonkeyPatch, head: str, seed: int, **settings: Any) -> tuple[dict[str, bytes], int]:
    """Train and evaluate a cell; what evaluate wrote, and how many pictures the frozen part saw in evaluate."""
    length = {} if "phases" in settings else {"epochs": 1}
    engine.run(made.settings(BACKBONE | {"head": HEADS[head]}, size=32, **length, **settings), "v", seed)
    seen = []
    whole = frozen.Cache._forward

    def counted(self: frozen.Cache, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return whole(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(frozen.Cache, "_forward", counted)
        patch.setattr(sys, "argv", ["evaluate", "--variant", "v", "--seed", str(seed)])
        stage.main()
    return {path.name: path.read_bytes() for path in cells.evaluate_folder("v", seed).iterdir()}, sum(seen)


@pytest.mark.slow
def test_heads_and_seeds_share_what_a_frozen_part_makes_of_changed_pictures(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (study / "params.yaml").write_text(json.dumps(study_of.params(["v"], [0, 1], evaluate=EVALUATE)))
    engine.run(made.settings(BACKBONE, size=32, epochs=1), "v", 0)
    (study / "runs/v/0/model.safetensors").rename(study / "pretrained.safetensors")
    monkeypatch.setitem(BACKBONE, "weights", "pretrained.safetensors")  # else each seed draws features of its own
    cached, computed = outputs(monkeypatch, "plain", 0)
    assert computed == 4 * 9, "each of 9 test pictures once for each change; unchanged ones come from training"
    again, none = outputs(monkeypatch, "plain", 0)
    assert (again, none) == (cached, 0)
    live, _ = outputs(monkeypatch, "plain", 0, frozen="live")
    assert live == cached
    _, other = outputs(monkeypatch, "hidden", 1)
    assert other == 0
    hidden, _ = outputs(monkeypatch, "hidden", 1, frozen="live")
    assert hidden["robustness.csv"] == (cells.evaluate_folder("v", 1) / "robustness.csv").read_bytes()


@pytest.mark.slow
def test_what_any_phase_trained_is_not_shared(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study / "params.yaml").write_text(json.dumps(study_of.params(["v"], [0, 1], evaluate=EVALUATE)))
    phases = [{"epochs": 1, "trainable": {"last": 4}}, {"epochs": 1, "trainable": "head"}]
    cached, _ = outputs(monkeypatch, "plain", 0, phases=phases)
    live, _ = outputs(monkeypatch, "plain", 0, phases=phases, frozen="live")
    assert live == cached
    loaded = predict.load("v", 0)  # of the live cell
    frozen.cut(dataclasses.replace(loaded, cell=loaded.cell.model_copy(update={"frozen": "cached"})))
    trained = [name for name, parameter in loaded.network.named_parameters() if parameter.requires_grad]
    assert any(name.startswith("features.") for name in trained), "the first phase trained a part of the features"
