"""Metrics of a whole split from its logits, equal to scikit-learn's; never an average over batches.

They are computed here from one confusion matrix rather than by scikit-learn because its import costs more than the rest
of the stage on a small study, and because it warns or fails on absent classes, which scraped data have. The tests hold
every figure to scikit-learn's within 1e-9. Ties: the predicted class is the first of the largest logits
(`numpy.argmax`); for top-k they are broken as `sklearn.metrics.top_k_accuracy_score` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


def log_softmax(logits: NDArray[np.floating]) -> Floats:
    """Log-probabilities, float64 (images, classes), of logits of any float type."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts (classes, classes): rows are the true classes, columns the predicted ones."""
    return np.bincount(targets * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_class(confusion: Ints) -> dict[str, NDArray[np.generic]]:
    """Precision, recall and F1 (0 where undefined, as scikit-learn's `zero_division=0`) and support of each class."""
    right, support, guessed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        "precision": _ratio(right, guessed),
        "recall": _ratio(right, support),
        "f1": _ratio(2 * right, support + guessed),
        "support": support,
    }


def from_confusion(confusion: Ints) -> dict[str, float]:
    """Everything that the predicted classes alone decide.

    `macro_*` averages over the classes that occur among the true or the predicted ones, `balanced_accuracy` over those
    that occur among the true ones: scikit-learn's defaults.
    """
    table = per_class(confusion)
    support, guessed = confusion.sum(axis=1), confusion.sum(axis=0)
    occurs, true = (support + guessed) > 0, support > 0
    total = int(confusion.sum())
    accuracy = float(np.trace(confusion) / total)
    values = {"top1": accuracy, "balanced_accuracy": float(table["recall"][true].mean())}
    for name in ("precision", "recall", "f1"):
        column = table[name].astype(np.float64)
        values[f"macro_{name}"] = float(column[occurs].mean())
        values[f"micro_{name}"] = accuracy  # with one label an image, micro averages are the accuracy
        values[f"weighted_{name}"] = float((column * support).sum() / total)
    values["mcc"] = _mcc(confusion)
    return values


def top_k_accuracy(scores: NDArray[np.floating], targets: Ints, k: int) -> float:
    """The fraction of images whose true class is among the `k` largest scores."""
    best = np.argsort(scores, axis=1, kind="stable")[:, ::-1][:, :k]
    return float((best == targets[:, None]).any(axis=1).mean())


def auroc(probabilities: Floats, targets: Ints) -> float | None:
    """Area under the ROC curve, one class against the rest, averaged over the classes for which it is defined.

    By ranks (Hanley and McNeil, 1982), ties counting half. None where no class has both members and non-members.
    """
    areas = []
    for index in np.unique(targets):
        member = targets == index
        inside, outside = int(member.sum()), int((~member).sum())
        if outside:
            _, place, count = np.unique(probabilities[:, index], return_inverse=True, return_counts=True)
            rank = (np.cumsum(count) - (count - 1) / 2)[place.reshape(-1)]
            areas.append((rank[member].sum() - inside * (inside + 1) / 2) / (inside * outside))
    return float(np.mean(areas)) if areas else None


def brier(probabilities: Floats, targets: Ints) -> float:
    """Brier score: the squared distance to the true class, summed over the classes (halved for two classes)."""
    error = probabilities.copy()
    error[np.arange(len(targets)), targets] -= 1.0
    score = float((error**2).sum(axis=1).mean())
    return score / 2 if probabilities.shape[1] == 2 else score


def cross_entropy(log_p: Floats, targets: Ints, label_smoothing: float, class_weights: Floats | None) -> float:
    """The mean training loss as `torch.nn.functional.cross_entropy` defines it, with smoothed labels and weights."""
    weights = np.ones(log_p.shape[1]) if class_weights is None else class_weights
    own = -log_p[np.arange(len(targets)), targets] * weights[targets]
    spread = -(log_p * weights).mean(axis=1)
    total = (1 - label_smoothing) * own + label_smoothing * spread
    return float(total.sum() / weights[targets].sum())


def all_metrics(
    logits: NDArray[np.floating],
    targets: Ints,
    *,
    top_k: int,
    label_smoothing: float = 0.0,
    class_weights: Floats | None = None,
) -> dict[str, float]:
    """Every scalar metric of one split.

    Args:
        logits: (images, classes).
        targets: class index of each image, int64 (images,).
        top_k: k of the top-k accuracy, which is left out where there are not more than k classes.
        label_smoothing: of the training loss. `loss` is that loss on the whole split; `nll` is plain cross entropy.
        class_weights: of the training loss, (classes,); None for equal ones.

    Returns:
        Name -> value, names as in docs/architecture.md; `auroc` is left out where it is undefined.
    """
    log_p = log_softmax(logits)
    classes = log_p.shape[1]
    predicted = logits.argmax(axis=1).astype(np.int64)
    values = from_confusion(confusion_matrix(targets, predicted, classes))
    if top_k < classes:
        values[f"top{top_k}"] = top_k_accuracy(logits, targets, top_k)
    values["loss"] = cross_entropy(log_p, targets, label_smoothing, class_weights)
    values["nll"] = cross_entropy(log_p, targets, 0.0, None)
    probabilities = np.exp(log_p)
    values["brier"] = brier(probabilities, targets)
    area = auroc(probabilities, targets)
    if area is not None:
        values["auroc"] = area
    return values


def _ratio(part: Ints, whole: Ints) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _mcc(confusion: Ints) -> float:
    """Matthews correlation coefficient for several classes (Gorodkin, 2004); 0 where undefined."""
    counts = confusion.astype(np.float64)
    support, guessed, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    covariance = np.trace(counts) * total - support @ guessed
    spread = (total**2 - guessed @ guessed) * (total**2 - support @ support)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0
