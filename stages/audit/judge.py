"""Confident learning: which labels models that were fitted to other pictures contradict (Northcutt et al. 2021).

The method is `cleanlab`'s. A picture counts as a `j` when its probability of `j` reaches the mean one of the pictures
that are labelled `j`. As many labels as count as another class are taken for wrong: those with the least probability
(self-confidence).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

C = 0.01  # inverse strength of the penalty on the weights; measured in docs/decisions/0433
CUT = 5.0  # SDs: a channel that is nearly constant in the other folds would else decide alone about a picture
_ITERATIONS = 5000  # at most; far more than are needed, so that a fit ends by its tolerance


class Judged(NamedTuple):
    """What the models say of pictures that they were not fitted to."""

    rows: NDArray[np.int64]
    """(judged,) positions of the pictures of classes that were judged"""
    classes: list[str]
    """names of these classes, sorted; the order of `probabilities`"""
    labels: NDArray[np.int64]
    """(judged,) index of the label in `classes`"""
    probabilities: NDArray[np.float64]
    """(judged, classes), out of fold"""


def groups_of_classes(labels: Sequence[str], groups: Sequence[str]) -> dict[str, int]:
    """How many groups each class has, in the order of the classes."""
    return dict(sorted(Counter(label for label, _ in set(zip(labels, groups, strict=True))).items()))


def parts(
    labels: NDArray[np.int64], groups: NDArray[np.str_], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Stratified folds that no group crosses.

    Args:
        labels: (images,) class indices.
        groups: (images,) of pictures that are copies or look alike.
        folds: how many, 2 or more.
        seed: of the order in which groups are dealt out.

    Returns:
        (positions to fit, positions to judge) of each fold.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(dealt.split(np.zeros(len(labels)), labels, groups))


def out_of_fold(
    features: NDArray[np.float32], labels: Sequence[str], groups: Sequence[str], folds: int, seed: int
) -> Judged:
    """Probabilities of each picture's classes, by a logistic regression that was fitted to the other folds.

    Args:
        features: (images, channels).
        labels: of the pictures.
        groups: of the pictures.
        folds: how many.
        seed: of the folds.

    Returns:
        No row where fewer than two classes have enough groups.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    named, grouped = np.array(labels, dtype=str), np.array(groups, dtype=str)
    # Not every fold could have a group of a class with fewer groups than folds to learn from.
    left_out = [label for label, count in groups_of_classes(labels, groups).items() if count < folds]
    while True:
        rows = np.flatnonzero(~np.isin(named, left_out))
        classes, index = np.unique(named[rows], return_inverse=True)
        if len(classes) < 2:
            return Judged(rows[:0], [], index[:0], np.zeros((0, 0)))
        cut = parts(index, grouped[rows], folds, seed)
        # With few large groups, such as sites, all groups of a class can fall into one fold: the others lack the class.
        absent = [str(name) for c, name in enumerate(classes) if any(c not in index[fit] for fit, _ in cut)]
        if not absent:
            break
        left_out += absent
    cut_off = FunctionTransformer(np.clip, kw_args={"a_min": -CUT, "a_max": CUT})
    model = make_pipeline(StandardScaler(), cut_off, LogisticRegression(C=C, max_iter=_ITERATIONS))
    found = cross_val_predict(model, features[rows].astype(np.float64), index, cv=cut, method="predict_proba")
    return Judged(rows, [str(c) for c in classes], index, found)


def issues(judged: Judged) -> NDArray[np.int64]:
    """Places in `judged` of likely label errors, the least probable label first; equal ones in their order."""
    from cleanlab.filter import find_label_issues

    if not len(judged.rows):
        return judged.rows
    mask = find_label_issues(judged.labels, judged.probabilities, filter_by="low_self_confidence", n_jobs=1)
    # The count can reach pictures whose label is the most probable class after all: nothing speaks against these.
    chosen = np.flatnonzero(mask & (judged.probabilities.argmax(axis=1) != judged.labels))
    own = judged.probabilities[chosen, judged.labels[chosen]]
    return chosen[np.argsort(own, kind="stable")]
