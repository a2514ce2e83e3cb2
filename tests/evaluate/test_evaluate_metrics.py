"""Every metric equals scikit-learn's on the whole set, whatever the logits look like."""

from __future__ import annotations

import warnings

import hypothesis.extra.numpy as st_numpy
import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluate import calibration, metrics


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Logits with many ties, and targets in which classes may be absent, or may be the only one, or have one sample."""
    classes, images = draw(st.integers(2, 7)), draw(st.integers(1, 40))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-8, 8, width=32))
    logits = draw(st_numpy.arrays(np.float32, (images, classes), elements=values))
    targets = draw(st_numpy.arrays(np.int64, images, elements=st.integers(0, classes - 1)))
    return logits, targets


@settings(max_examples=30, deadline=None)
@given(predictions())
def test_equal_to_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, targets = case
    classes = logits.shape[1]
    ours = metrics.all_metrics(logits, targets, top_k=2)
    guess, labels = logits.argmax(axis=1), np.arange(classes)
    p = np.exp(metrics.log_softmax(logits))  # one softmax for both: rounding breaks ties, and so moves ranks
    wide = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(p, wide / wide.sum(axis=1, keepdims=True), rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        theirs = {
            "top1": sk.accuracy_score(targets, guess),
            "balanced_accuracy": sk.balanced_accuracy_score(targets, guess),
            "mcc": sk.matthews_corrcoef(targets, guess),
            "nll": sk.log_loss(targets, p, labels=labels),
            "brier": sk.brier_score_loss(targets if classes > 2 else targets == 1, p if classes > 2 else p[:, 1],
                                         **({"labels": labels} if classes > 2 else {"pos_label": True})),
        }  # fmt: skip
        for average in ("macro", "micro", "weighted"):
            values = sk.precision_recall_fscore_support(targets, guess, average=average, zero_division=0)
            theirs |= dict(zip((f"{average}_precision", f"{average}_recall", f"{average}_f1"), values[:3], strict=True))
        if classes > 2:
            theirs["top2"] = sk.top_k_accuracy_score(targets, logits, k=2, labels=labels)
        present = [c for c in np.unique(targets) if (targets != c).any()]
        if present:
            theirs["auroc"] = np.mean([sk.roc_auc_score(targets == c, p[:, c]) for c in present])
    theirs["loss"] = theirs["nll"]
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


@settings(max_examples=20, deadline=None)
@given(predictions())
def test_classes_equal_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, targets = case
    labels, guess = np.arange(logits.shape[1]), logits.argmax(axis=1).astype(np.int64)
    confusion = metrics.confusion_matrix(targets, guess, len(labels))
    assert (confusion == sk.confusion_matrix(targets, guess, labels=labels)).all()
    theirs = sk.precision_recall_fscore_support(targets, guess, labels=labels, zero_division=0)
    for column, values in zip(metrics.per_class(confusion).values(), theirs, strict=True):
        np.testing.assert_allclose(column.astype(float), values, atol=1e-12)


def test_auroc_of_all_classes_equals_scikit_learns_one_vs_rest() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 5, 200)
    p = rng.dirichlet(np.ones(5), 200)
    assert metrics.auroc(p, targets) == pytest.approx(sk.roc_auc_score(targets, p, multi_class="ovr"), abs=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.1]])
def test_loss_equals_torchs(smoothing: float, weights: list[float] | None) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    theirs = cross_entropy(torch.tensor(logits), torch.tensor(targets), given, label_smoothing=smoothing)
    mine = metrics.all_metrics(
        logits,
        targets,
        top_k=5,
        label_smoothing=smoothing,
        class_weights=None if weights is None else np.array(weights),
    )
    assert mine["loss"] == pytest.approx(float(theirs), abs=1e-12)
    plain = cross_entropy(torch.tensor(logits), torch.tensor(targets))
    assert mine["nll"] == pytest.approx(float(plain), abs=1e-12)


def test_ece_by_hand_and_its_bins_are_closed_above() -> None:
    rows = calibration.reliability(np.array([0.5, 0.51, 0.9, 1.0]), np.array([True, False, True, True]), 2)
    assert [row["n"] for row in rows] == [1, 3]
    by_hand = (1 * abs(1 - 0.5) + 3 * abs(2 / 3 - (0.51 + 0.9 + 1) / 3)) / 4
    assert calibration.expected_calibration_error(rows) == pytest.approx(by_hand, abs=1e-12)


def test_temperature_finds_the_one_that_made_the_labels() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(20000, 4)) * 2
    p = np.exp(metrics.log_softmax(scores))
    targets = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=3)
    assert calibration.fit_temperature(scores * 2.5, targets) == pytest.approx(2.5, rel=0.03)


@pytest.mark.parametrize(("right", "expected"), [(True, calibration.COLDEST), (False, calibration.HOTTEST)])
def test_temperature_is_bounded_where_none_is_best(right: bool, expected: float) -> None:
    targets = np.arange(30) % 3
    logits = np.eye(3)[targets if right else (targets + 1) % 3]
    assert calibration.fit_temperature(logits, targets) == pytest.approx(expected, rel=1e-6)
