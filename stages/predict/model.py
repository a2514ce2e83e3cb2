"""The trained networks of one variant, together as one classifier that gives probabilities."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from stages.core import cells, files, intact
from stages.core.children import cores
from stages.core.errors import UserError
from stages.train import feed, predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


UNLIKE = 0.05  # share of the validation pictures that may be called unlike training, where no one says otherwise


@dataclass(frozen=True)
class Member:
    """One trained network.

    temperature: divides the logits before the softmax; fitted on validation. threshold: a picture whose largest logit
    is below it counts as unlike the training pictures.
    """

    loaded: predict.Loaded
    temperature: float
    threshold: float


class Ensemble:
    """The networks of several seeds of a variant: their calibrated probabilities are averaged."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Put networks together.

        Raises:
            UserError: they were trained on different data.
        """
        self.members = list(members)
        first = self.members[0].loaded
        self.classes, self.size, self.resize = first.classes, first.cell.size, first.cell.resize
        if any(_takes(member.loaded) != _takes(first) for member in self.members):
            raise UserError(
                "the networks of the seeds have different classes or sizes of pictures, so they were trained on "
                "different data; `dvc repro` trains them on the present data, and `--seed` takes one of them alone"
            )

    @classmethod
    def trained(cls, variant: str, seeds: Sequence[int], unlike: float) -> Ensemble:
        """The networks of this study.

        Args:
            variant: its name in params.yaml.
            seeds: of the networks.
            unlike: share of the validation pictures that may count as unlike training.

        Raises:
            UserError: a network is not trained, or its files do not fit together.
        """
        return cls([load(variant, seed, unlike) for seed in seeds])

    def __call__(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Predict images, uint8 (n, size, size, 3).

        Returns:
            Probabilities (n, classes), and whether each picture is unlike the training pictures (n,).
        """
        probabilities = np.zeros((len(images), len(self.classes)))
        unlike = np.zeros(len(images))  # how many networks call each picture unlike; most of them must
        for member in self.members:
            logits = _logits(member.loaded, images).astype(np.float64)
            unlike += logits.max(axis=1) < member.threshold
            probabilities += softmax(logits / member.temperature, axis=1)
        return probabilities / len(self.members), unlike * 2 > len(self.members)


def _takes(loaded: predict.Loaded) -> tuple[object, ...]:
    """What networks must have in common to be averaged."""
    return loaded.classes, loaded.cell.size, loaded.cell.resize


def _logits(loaded: predict.Loaded, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`predict.logits`, with its chunks side by side on the cores of this process.

    A network keeps to the threads that it was trained with, often one, since its bits depend on them.
    """
    chunks = list(feed.chunks(len(images), loaded.cell))
    at_once = max(1, cores() // loaded.cell.threads) if loaded.device.type == "cpu" else 1
    with ThreadPoolExecutor(at_once) as pool:
        return np.concatenate(list(pool.map(lambda chunk: predict.logits(loaded, images[chunk]), chunks)))


def load(variant: str, seed: int, unlike: float) -> Member:
    """Load one network of this study; its pictures need not be here.

    Raises:
        UserError: it is not trained here, or its files do not fit together.
    """
    path = cells.run_folder(variant, seed) / "model.safetensors"
    if not path.exists():
        raise files.missing(path)
    loaded = predict.restored(cells.train_folder(variant, seed) / "config.json", path, seed)
    return Member(loaded, _temperature(variant, seed), _threshold(variant, seed, unlike))


def _temperature(variant: str, seed: int) -> float:
    """The temperature that `evaluate` fitted on validation; 1 leaves the logits as they are."""
    path = cells.evaluate_folder(variant, seed) / "metrics.csv"
    for row in files.read_rows(path, ["value"]):
        if (row["split"], row["metric"]) == ("val", "temperature") and row["value"]:
            return float(row["value"])
    raise intact.damaged(path, "it has no temperature")


def _threshold(variant: str, seed: int, unlike: float) -> float:
    """The largest logit that all but a share `unlike` of the validation pictures reach.

    The largest logit as the score is the "maximum logit" of D. Hendrycks et al., 2022.
    """
    path = cells.run_folder(variant, seed) / "logits.npz"
    if not path.exists():
        raise files.missing(path)
    logits = intact.arrays(path, ["val"])["val"]
    return float(np.quantile(logits.max(axis=1), unlike))
