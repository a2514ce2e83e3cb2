"""The prepared run for a machine with a GPU, on the CPU and with tiny sizes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from benchmarks.gpu import airbench, carry, measure
from benchmarks.gpu.repeat import repeat
from benchmarks.gpu.side_by_side import Runner
from stages.core import files
from stages.core.errors import UserError
from tests.train import made

ROOT = Path(__file__).parents[2]
ROBUSTNESS: dict[str, list[float]] = {
    name: [] for name in ("rotation", "shift", "scale", "brightness", "blur", "noise", "jpeg")
}


def study(folder: Path, name: str = "tiny", **train: Any) -> Path:
    """Two variants, two seeds, data as split leaves it."""
    made.make(folder / name)
    raw = {
        "study": name, "lr": 0.01, "seeds": [0, 1], "ingest": {}, "clean": {}, "split": {},
        "evaluate": {"robustness": {**ROBUSTNESS, "flip": False}, "gradcam": {"classes": 0, "shared": 0}},
        "aggregate": {}, "report": {}, "train": {**made.TRAIN, "device": "cpu", **train},
        "variants": {"mlp": {"model": made.MLP}, "cnn": {"model": made.CNN_BN, "augment": "flip_crop"}},
    }  # fmt: skip
    with (folder / name / "params.yaml").open("w") as file:
        YAML().dump(raw, file)
    return folder / name


def command(*given: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *map(str, given)],
        cwd=ROOT, env=made.environment(), check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_pictures_travel_whole(tmp_path: Path) -> None:
    here = study(tmp_path)
    for name in ("a", "b"):
        carry.pack(here, tmp_path / f"{name}.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    carry.unpack(tmp_path / "a.tar.gz", tmp_path / "there")
    assert tree(tmp_path / "there/data") == tree(here / "data")
    shutil.rmtree(here / "data/split")
    with pytest.raises(UserError, match=r"split/seeds is not here; `dvc repro .*:split` makes it"):
        carry.pack(here, tmp_path / "c.tar.gz")


@pytest.mark.weekly
@pytest.mark.slow
def test_cells_come_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, home, out = study(tmp_path), tmp_path / "home", tmp_path / "out"
    shutil.copytree(here, home / "tiny")
    shutil.rmtree(home / "tiny/data")
    carry.pack(here, tmp_path / "tiny.tar.gz")
    shutil.rmtree(here / "data")
    (tmp_path / ".dvc").mkdir()
    said = command("cells", "--study", here, "--data", tmp_path / "tiny.tar.gz", "--out", out, "--jobs", 2,
                   "--variants", "cnn", "mlp", "--seeds", 1)  # fmt: skip
    assert "2 of 2 cells are done" in said
    assert carry.bring(out, home) == ["tiny cnn-1", "tiny mlp-1"]
    for part in ("results", "runs", "timings"):
        assert tree(home / "tiny" / part) == tree(here / part)
    assert "results/mlp/1/evaluate/metrics.csv" in tree(here)
    listed = files.read_json(out / "tiny.json")
    assert listed["cnn-1"]["runs/cnn/1/logits.npz"]["sent"]

    monkeypatch.setattr(carry, "LARGEST", 10)
    monkeypatch.setattr(carry, "PART", 10)
    carry.deliver(here, [("cnn", 1), ("mlp", 1)], tmp_path / "small")
    assert len(list((tmp_path / "small").glob("*.tar"))) == 2
    weights = files.read_json(tmp_path / "small/tiny.json")["cnn-1"]["runs/cnn/1/model.safetensors"]
    assert weights == {**listed["cnn-1"]["runs/cnn/1/model.safetensors"], "sent": False}
    (home / "tiny/runs/cnn/1/model.safetensors").unlink()
    carry.bring(tmp_path / "small", home)
    assert not (home / "tiny/runs/cnn/1/model.safetensors").exists()

    # What is done stays; what the time does not allow is not begun.
    before = tree(here / "results")
    runner = Runner(here, 1, time.monotonic() - 1, cuda=False)
    assert runner.run([("cnn", 0), ("cnn", 1)]) == [("cnn", 1)]
    assert tree(here / "results") == before
    assert runner.environment["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.slow
def test_a_cell_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    here = study(tmp_path)
    (tmp_path / ".dvc").mkdir()
    runner = Runner(here, 2, time.monotonic() + 300, cuda=False, evaluate=False)
    assert runner.run([("nothing", 0), ("mlp", 0)]) == [("mlp", 0)]
    assert list(runner.failed) == ["train@nothing-0"]
    assert "there is no cell 'nothing-0'" in runner.failed["train@nothing-0"]


@pytest.mark.slow
@pytest.mark.weekly
def test_runs_repeat_to_the_byte(tmp_path: Path) -> None:
    deadline = time.monotonic() + 100
    found = repeat(study(tmp_path), ["cnn", "mlp"], 2, tmp_path / "scratch", cuda=False, deadline=deadline)
    assert found == {"cnn": {"again": True, "plain": True}, "mlp": {"again": True, "plain": True}}
    assert "epochs: 2" in (tmp_path / "scratch/again/params.yaml").read_text()


def test_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "WAYS", {k: v for k, v in measure.WAYS.items() if "compiled" not in k})
    cell = made.settings(made.CNN_BN, device="cpu", augment="flip_crop")
    rows = list(measure.rates({"small": (cell, 64)}, tmp_path, time.monotonic() + 100))
    assert [row["way"] for row in rows] == ["fp32", "bf16"]
    for row in rows:
        assert "error" not in row
        assert row["images_per_second"] > 0
        assert row["bare"] > 0
        assert 0 < row["input_share"] < 1
    assert not list(measure.rates({"small": (cell, 64)}, tmp_path, time.monotonic() - 1))


@pytest.mark.slow
def test_the_peer_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airbench, "WIDTHS", (16, 16, 16))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    pixels = rng.integers(0, 120, (600, 32, 32, 3))
    for label in range(3):  # the fourth class is darker
        pixels[labels == label, :, :, label] += 120
    parts = [
        airbench.images(torch.from_numpy(pixels[rows].astype(np.uint8)), torch.from_numpy(labels[rows]))
        for rows in (slice(0, 500), slice(500, 600))
    ]
    found = airbench.train(parts[0], parts[1], 0, epochs=4, batch=50)
    assert found["top1"] > 0.6, json.dumps(found)
    assert found["top1_mirrored"] > 0.6
    assert found["seconds"] > 0
