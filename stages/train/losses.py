"""Cross entropy with smoothed, weighted and mixed labels: `train` minimises it, and `evaluate` reports it as `loss`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from stages.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from stages.train.augment import Mixed
    from stages.train.sections import Loss


def cross_entropy(
    logits: Tensor, labels: Tensor, mixed: Mixed | None, weights: Tensor | None, smoothing: float
) -> Tensor:
    """The mean loss of a batch; of mixed images, each label counts by its share."""
    if mixed is None:
        return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    own, other = (
        F.cross_entropy(logits, y, weight=weights, label_smoothing=smoothing, reduction="none")
        for y in (labels, mixed.labels)
    )
    loss = mixed.share * own + (1 - mixed.share) * other
    return loss.mean() if weights is None else loss.sum() / weight(labels, mixed, weights)


def weight(labels: Tensor, mixed: Mixed | None, weights: Tensor) -> Tensor:
    """The sum of the weights of a batch's labels, by which the sum of its losses is divided."""
    if mixed is None:
        return weights[labels].sum()
    return (mixed.share * weights[labels] + (1 - mixed.share) * weights[mixed.labels]).sum()


def of_split(settings: Loss, logits: NDArray[np.float32], labels: NDArray[np.int64], weights: Tensor | None) -> float:
    """The mean loss of a whole split, in float64."""
    loss = F.cross_entropy(
        torch.from_numpy(logits).double(), torch.from_numpy(labels),
        weight=None if weights is None else weights.double(), label_smoothing=settings.label_smoothing,
    )  # fmt: skip
    return float(loss)


def class_weights(settings: Loss, labels: NDArray[np.int64], classes: list[str]) -> Tensor | None:
    """The weight of each class; `balanced` is images / (classes x images of the class), as scikit-learn has it.

    Args:
        settings: of the loss.
        labels: class index of every training image.
        classes: their names.

    Raises:
        UserError: as many weights as classes are needed, or a class has no training image.
    """
    rule = settings.class_weights
    if rule == "none":
        return None
    if isinstance(rule, list):
        if len(rule) != len(classes):
            raise UserError(f"params.yaml: `loss.class_weights` names {len(rule)} weights for {len(classes)} classes")
        return torch.tensor(rule)
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():  # of a split file that was edited by hand
        empty = classes[int(np.argmin(counts))]
        raise UserError(f"params.yaml: `loss.class_weights: balanced`: no training image of class {empty}")
    return torch.from_numpy((len(labels) / (len(classes) * counts)).astype(np.float32))
