"""Metrics and calibration from the logits of all images of train, val or test, by scikit-learn and torch.

The predicted class is the first of the largest logits (`numpy.argmax`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

COLDEST, HOTTEST = 0.01, 100.0  # a temperature beyond these means: no finite one is best (all right, or all noise)


def log_softmax(logits: NDArray[np.floating]) -> Floats:
    """Log-probabilities, float64 (images, classes), of logits of any float type."""
    return np.asarray(special.log_softmax(logits.astype(np.float64), axis=1))


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts (classes, classes): rows are the true classes, columns the predicted ones."""
    return np.asarray(sk.confusion_matrix(targets, predicted, labels=np.arange(classes)))


def per_class(targets: Ints, predicted: Ints, classes: int) -> dict[str, list[float]]:
    """Precision, recall and F1 (0 where undefined) and support of each class."""
    names = ("precision", "recall", "f1", "support")
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


def auroc(probabilities: Floats, targets: Ints) -> float:
    """Area under the ROC curve, one class against the rest, averaged over the classes."""
    return float(np.mean([sk.roc_auc_score(targets == c, probabilities[:, c]) for c in np.unique(targets)]))


def brier(probabilities: Floats, targets: Ints) -> float:
    """Brier score: the squared distance to the true class, summed over the classes (halved for two classes)."""
    return float(sk.brier_score_loss(targets, probabilities, labels=np.arange(probabilities.shape[1])))


def all_metrics(
    logits: NDArray[np.float32], targets: Ints, *, top_k: int, loss: Loss | None = None, weights: Tensor | None = None
) -> dict[str, float]:
    """The metrics of one part that need neither bins nor a temperature; `tables.write` adds those that do.

    Args:
        logits: (images, classes).
        targets: class index of each image, int64 (images,).
        top_k: k of the top-k accuracy, which is left out where there are not more than k classes.
        loss: the training loss. `loss` is that loss on the whole part; `nll` is plain cross entropy.
        weights: of the classes in the training loss, (classes,); None for equal ones.

    Returns:
        Name -> value, names as in docs/architecture.md.
    """
    p, classes = np.exp(log_softmax(logits)), logits.shape[1]
    values = of_classes(targets, logits.argmax(axis=1))
    if top_k < classes:
        values[f"top{top_k}"] = float(sk.top_k_accuracy_score(targets, logits, k=top_k, labels=np.arange(classes)))
    values["brier"] = brier(p, targets)
    values["loss"] = losses.of_split(loss or Loss(), logits, targets, weights)
    values["nll"] = losses.of_split(Loss(), logits, targets, None)
    values["auroc"] = auroc(p, targets)
    return values


def reliability(confidence: Floats, correct: NDArray[np.bool_], bins: int) -> list[dict[str, Any]]:
    """Images by confidence, in `bins` bins of equal width, closed above: (0, 1/bins], ..., (1 - 1/bins, 1].

    Args:
        confidence: probability of the predicted class, (images,).
        correct: whether that class is the true one, (images,).
        bins: how many bins the range from 0 to 1 is cut into.

    Returns:
        A row for every bin, also the empty ones, whose means are None.
    """
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows: list[dict[str, Any]] = []
    for index in range(bins):
        inside = place == index
        n = int(inside.sum())
        rows.append(
            {
                "bin_low": index / bins,
                "bin_high": (index + 1) / bins,
                "n": n,
                "confidence": float(confidence[inside].mean()) if n else None,
                "accuracy": float(correct[inside].mean()) if n else None,
            }
        )
    return rows


def expected_calibration_error(rows: list[dict[str, Any]]) -> float:
    """ECE (Guo et al., 2017): the gap between confidence and accuracy, averaged over the bins by their images."""
    filled = [row for row in rows if row["n"]]
    gaps = sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in filled)
    return float(gaps / sum(row["n"] for row in filled))


def fit_temperature(logits: NDArray[np.floating], targets: Ints) -> float:
    """The temperature that minimises the NLL of `logits / temperature` (Guo et al., 2017); fit it on validation alone.

    The NLL is convex in 1 / temperature, so bisection on its derivative finds the one minimum; the answer is held
    between 0.01 and 100.
    """
    scores = logits.astype(np.float64)
    true = scores[np.arange(len(targets)), targets]
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        expected = (np.exp(log_softmax(scores * middle)) * scores).sum(axis=1)
        if (expected - true).mean() > 0:
            high = middle
        else:
            low = middle
    return float(1 / np.sqrt(low * high))
