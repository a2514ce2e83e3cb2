"""The trained model as MLflow serves it: pictures in, logits out, with the normalisation it was trained with inside."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch

from stages.core import cells, console

if TYPE_CHECKING:
    from stages.train.predict import Loaded


class Served(torch.nn.Module):
    """uint8 images (n, size, size, 3) to float32 logits (n, classes), in plain float32."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.network = loaded.network
        self.normaliser = loaded.normaliser

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise and run the network."""
        logits: torch.Tensor = self.network(self.normaliser(images.permute(0, 3, 1, 2).float()))
        return logits


def log_model(run_id: str, variant: str, seed: int) -> None:
    """Log a cell's model with signature and input example, as a `pt2` that loads without our code.

    Where the weights are not at hand (a clone without the DVC cache), the run is logged without its model, and says so.
    """
    import mlflow.pytorch
    from mlflow.models import infer_signature

    from stages.train import predict

    if not (cells.run_folder(variant, seed) / "model.safetensors").exists():
        console.say(f"warning: no weights of {variant}-{seed} here, so its run has no model; `dvc pull` fetches them")
        return
    loaded = predict.load(variant, seed)
    example = loaded.images("val")[:2]
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch on reading back the example's read-only buffer
        mlflow.pytorch.log_model(
            Served(loaded).cpu(),
            name="model",
            signature=infer_signature(example, predict.logits(loaded, example)),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in ("torch", "numpy")],
            serialization_format="pt2",
        )
