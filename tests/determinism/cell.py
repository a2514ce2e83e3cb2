"""One cell with everything that draws: augmentation, order, dropout, batch norm, a schedule, the best epoch."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from tests import tiny

TRAIN = (sys.executable, "-m", "stages.train", "--variant", "noisy", "--seed", "3")
OUTPUTS = ("runs/noisy/3/model.safetensors", "runs/noisy/3/logits.npz", "results/noisy/3/train/history.csv",
           "results/noisy/3/train/config.json")  # fmt: skip


def study(folder: Path, epochs: int) -> Path:
    """A tiny study of that cell; its data is ready, nothing is trained."""

    def change(params: dict[str, Any]) -> None:
        params["seeds"] = [3]
        params["train"]["device"] = "cpu"
        params["variants"] = {
            "noisy": {
                "epochs": epochs,
                "batch": 8,
                "augment": {"horizontal_flip": 0.5, "rotation": 10.0, "zoom": [0.8, 1.2], "mixup": 0.2},
                "schedule": {"name": "cosine"},
                "optimizer": {"name": "sgd", "momentum": 0.9},
                "checkpoint": "best_val_loss",
                "model": {
                    "name": "cnn",
                    "blocks": [{"filters": [8, 8], "dropout": 0.2}],
                    "layers": ["conv", "batch_norm", "activation", "pool", "dropout"],
                },
            }
        }

    made = tiny.copy(folder, change)
    tiny.run(made, "dvc", "repro", "split")
    tiny.commit(made, "Split")
    return made


def environment(**more: str) -> dict[str, str]:
    """For a bare `python -m stages.train` in the folder of a study; this environment's programs come first."""
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_"))}
    return kept | {"PATH": path, "PYTHONPATH": ".", "DVC_NO_ANALYTICS": "1", "CI": "1"} | more


def digests(study: Path) -> dict[str, str]:
    """SHA-256 of everything that the cell is locked by."""
    return {name: digest(study, name) for name in OUTPUTS}


def digest(study: Path, name: str) -> str:
    """SHA-256 of one of them."""
    return hashlib.sha256((study / name).read_bytes()).hexdigest()


def forget(study: Path) -> None:
    """Remove what the cell made."""
    for name in OUTPUTS:
        (study / name).unlink(missing_ok=True)
