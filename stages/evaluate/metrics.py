"""Metrics of a whole split from its logits, by scikit-learn and torch; never an average over batches.

The predicted class is the first of the largest logits (`numpy.argmax`).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import special
from sklearn import metrics as sk

from stages.train import losses
from stages.train.sections import Loss

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


def log_softmax(logits: NDArray[np.floating]) -> Floats:
    """Log-probabilities, float64 (images, classes), of logits of any float type."""
    return np.asarray(special.log_softmax(logits.astype(np.float64), axis=1))


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts (classes, classes): rows are the true classes, columns the predicted ones."""
    if not len(targets):
        return np.zeros((classes, classes), np.int64)
    return np.asarray(sk.confusion_matrix(targets, predicted, labels=np.arange(classes)))


def per_class(targets: Ints, predicted: Ints, classes: int) -> dict[str, list[float]]:
    """Precision, recall and F1 (0 where undefined) and support of each class."""
    names = ("precision", "recall", "f1", "support")
    if not len(targets):
        return {name: [0] * classes for name in names}
    columns = sk.precision_recall_fscore_support(targets, predicted, labels=np.arange(classes), zero_division=0)
    return {name: column.tolist() for name, column in zip(names, columns, strict=True)}


def of_classes(targets: Ints, predicted: Ints) -> dict[str, float]:
    """Everything that the predicted classes alone decide.

    `macro_*` averages over the classes that occur among the true or the predicted ones, `balanced_accuracy` over those
    that occur among the true ones: scikit-learn's defaults.
    """
    values = {
        "top1": sk.accuracy_score(targets, predicted),
        "balanced_accuracy": sk.recall_score(targets, predicted, labels=np.unique(targets), average="macro"),
        "mcc": sk.matthews_corrcoef(targets, predicted),
    }
    for average in ("macro", "micro", "weighted"):
        columns = sk.precision_recall_fscore_support(targets, predicted, average=average, zero_division=0)
        values |= {f"{average}_{name}": v for name, v in zip(("precision", "recall", "f1"), columns[:3], strict=True)}
    return {name: float(value) for name, value in values.items()}


def auroc(probabilities: Floats, targets: Ints) -> float | None:
    """Area under the ROC curve, one class against the rest, averaged over the classes for which it is defined.

    None where no class has both members and non-members.
    """
    defined = [c for c in np.unique(targets) if (targets != c).any()]
    areas = [sk.roc_auc_score(targets == c, probabilities[:, c]) for c in defined]
    return float(np.mean(areas)) if areas else None


def brier(probabilities: Floats, targets: Ints) -> float:
    """Brier score: the squared distance to the true class, summed over the classes (halved for two classes)."""
    return float(sk.brier_score_loss(targets, probabilities, labels=np.arange(probabilities.shape[1])))


def all_metrics(
    logits: NDArray[np.float32], targets: Ints, *, top_k: int, loss: Loss | None = None, weights: Tensor | None = None
) -> dict[str, float]:
    """Every scalar metric of one split.

    Args:
        logits: (images, classes).
        targets: class index of each image, int64 (images,).
        top_k: k of the top-k accuracy, which is left out where there are not more than k classes.
        loss: the training loss. `loss` is that loss on the whole split; `nll` is plain cross entropy.
        weights: of the classes in the training loss, (classes,); None for equal ones.

    Returns:
        Name -> value, names as in docs/architecture.md; `auroc` is left out where it is undefined.
    """
    p, classes = np.exp(log_softmax(logits)), logits.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn's, of a split with a single class
        values = of_classes(targets, logits.argmax(axis=1))
        if top_k < classes:
            values[f"top{top_k}"] = float(sk.top_k_accuracy_score(targets, logits, k=top_k, labels=np.arange(classes)))
        values["brier"] = brier(p, targets)
        area = auroc(p, targets)
    values["loss"] = losses.of_split(loss or Loss(), logits, targets, weights)
    values["nll"] = losses.of_split(Loss(), logits, targets, None)
    return values if area is None else values | {"auroc": area}
