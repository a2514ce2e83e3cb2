"""A study of tiny pictures that train finds as `clean` and `split` would have left it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stages.core import cells, files, params
from stages.train import store
from stages.train.params import Cell, cell

TRAIN: dict[str, Any] = {
    "size": 12,
    "epochs": 3,
    "batch": 8,
    "optimizer": {"name": "adam"},
    "checkpoint": "best_val_loss",
}
MLP = {"name": "mlp", "widths": [16], "dropout": 0.2}
CNN = {"name": "cnn", "blocks": [{"filters": [8]}, {"filters": [8]}]}
CNN_BN = {
    "name": "cnn",
    "blocks": [{"filters": [8], "dropout": 0.1}],
    "layers": ["conv", "batch_norm", "activation", "pool", "dropout"],
}


def make(folder: Path, per_class: int = 16, px: int = 12) -> None:
    """Three classes of noisy stripes; 10 of 16 train, 3 validate, 3 test."""
    rng = np.random.default_rng(0)
    manifest, split = [], []
    for label in range(3):
        for index in range(per_class):
            name = f"{label}_{index}"
            path = folder / "data/clean/images" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 160, (px, px, 3))
            pixels[:, label::3, label] += 90
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            row = {"image_id": name, "path": f"images/{name}.png", "label": f"c{label}"}
            manifest.append({**row, "width": px, "height": px, "group_id": name})
            part = index * 16 // per_class
            split.append({"image_id": name, "split": "train" if part < 10 else "val" if part < 13 else "test"})
    files.write_rows(folder / "data/clean/manifest.csv", list(manifest[0]), manifest)
    for seed in range(10):
        files.write_rows(folder / cells.split_file(seed), list(split[0]), split)
    files.write_json(folder / "data/split/classes.json", ["c0", "c1", "c2"])


def settings(model: dict[str, Any] | None = None, **variant: Any) -> Cell:
    """A resolved cell."""
    own = {"model": model or MLP, **variant}
    study = params.Study("test", 0.01, [0, 1], {"v": own}, {"train": TRAIN})
    return cell(study, "v")


def outputs(seed: int = 0, variant: str = "v") -> dict[str, bytes]:
    """Every locked byte of a cell."""
    folders = [Path("runs") / variant / str(seed), Path("results") / variant / str(seed) / "train"]
    return {str(p): p.read_bytes() for folder in folders for p in sorted(folder.iterdir())}


def environment() -> dict[str, str]:
    """For a process of its own in a study's folder."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def build_shared(folder: str) -> int:
    """Ask for a cached array in a process of its own; note who builds it."""
    os.chdir(folder)

    def build(target: Path) -> None:
        with Path("builders").open("a") as log:
            log.write(".")
        np.save(target, np.arange(1_000_000))

    return int(store.array("test", "key", build).sum())
