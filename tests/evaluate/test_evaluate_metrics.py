"""Every metric is what its name says, whatever the logits look like."""

from __future__ import annotations

import hypothesis.extra.numpy as st_numpy
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.evaluate import metrics
from stages.train.sections import Loss


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Logits with many ties, and targets in which classes may be absent, or have one sample."""
    classes, images = draw(st.integers(2, 7)), draw(st.integers(2, 40))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-8, 8, width=32))
    logits = draw(st_numpy.arrays(np.float32, (images, classes), elements=values))
    targets = draw(st_numpy.arrays(np.int64, images, elements=st.integers(0, classes - 1)))
    assume(len(set(targets.tolist())) > 1)
    return logits, targets


@settings(max_examples=30, deadline=None)
@given(predictions())
def test_figures_by_hand(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, targets = case
    classes, guess = logits.shape[1], logits.argmax(axis=1)
    found = metrics.all_metrics(logits, targets, top_k=2)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    own = np.eye(classes)[targets]
    right = [(guess == c) & (targets == c) for c in range(classes)]
    recalls = [r.sum() / (targets == c).sum() for c, r in enumerate(right) if (targets == c).any()]
    f1 = [2 * r.sum() / n for c, r in enumerate(right) if (n := (targets == c).sum() + (guess == c).sum())]
    expected = {
        "top1": (guess == targets).mean(),
        "balanced_accuracy": np.mean(recalls),
        "macro_f1": np.mean(f1),
        "micro_precision": (guess == targets).mean(),
        "nll": -np.log(p[np.arange(len(p)), targets]).mean(),
        "loss": -np.log(p[np.arange(len(p)), targets]).mean(),
        "brier": ((p - own) ** 2).sum(axis=1).mean() / (2 if classes == 2 else 1),
    }
    if classes > 2 and all(len(set(row)) == classes for row in logits.tolist()):  # without ties
        own_logit = np.take_along_axis(logits, targets[:, None], axis=1)
        expected["top2"] = ((logits > own_logit).sum(axis=1) < 2).mean()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    assert ("top2" in found) == (classes > 2)
    assert all(isinstance(value, float) for value in found.values())


def test_auroc_is_the_chance_that_a_member_scores_higher() -> None:
    rng = np.random.default_rng(0)
    targets, p = rng.integers(0, 3, 60), rng.dirichlet(np.ones(5), 60)  # two classes have no image
    areas = []
    for c in range(3):
        members, others = p[targets == c, c], p[targets != c, c]
        areas.append(np.mean(members[:, None] > others) + np.mean(members[:, None] == others) / 2)
    assert metrics.auroc(p, targets) == pytest.approx(np.mean(areas), abs=1e-12)


def test_classes_without_images() -> None:
    targets, guess = np.array([0, 0, 2]), np.array([0, 1, 2])
    table = metrics.per_class(targets, guess, 4)
    assert table["recall"] == [0.5, 0.0, 1.0, 0.0]
    assert table["precision"] == [1.0, 0.0, 1.0, 0.0]
    assert table["support"] == [2, 0, 1, 0]
    assert metrics.confusion_matrix(targets, guess, 4)[0].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.1]])
def test_loss_is_the_training_loss(smoothing: float, weights: list[float] | None) -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(0, 4, 50)
    given = None if weights is None else torch.tensor(weights)
    found = metrics.all_metrics(logits, targets, top_k=5, loss=Loss(label_smoothing=smoothing), weights=given)
    w = np.array(weights or [1.0] * 4, np.float32).astype(np.float64)
    log_p = metrics.log_softmax(logits)
    own, spread = -log_p[np.arange(50), targets] * w[targets], -(log_p * w).mean(axis=1)
    assert found["loss"] == pytest.approx(
        ((1 - smoothing) * own + smoothing * spread).sum() / w[targets].sum(), abs=1e-9
    )
    assert found["nll"] == pytest.approx(-log_p[np.arange(50), targets].mean(), abs=1e-9)


def test_ece_by_hand_and_its_bins_are_closed_above() -> None:
    rows = metrics.reliability(np.array([0.5, 0.51, 0.9, 1.0]), np.array([True, False, True, True]), 2)
    assert [row["n"] for row in rows] == [1, 3]
    by_hand = (1 * abs(1 - 0.5) + 3 * abs(2 / 3 - (0.51 + 0.9 + 1) / 3)) / 4
    assert metrics.expected_calibration_error(rows) == pytest.approx(by_hand, abs=1e-12)


def test_temperature_finds_the_one_that_made_the_labels() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(20000, 4)) * 2
    p = np.exp(metrics.log_softmax(scores))
    targets = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=3)
    assert metrics.fit_temperature(scores * 2.5, targets) == pytest.approx(2.5, rel=0.03)


@pytest.mark.parametrize(("right", "expected"), [(True, metrics.COLDEST), (False, metrics.HOTTEST)])
def test_temperature_is_bounded_where_none_is_best(right: bool, expected: float) -> None:
    targets = np.arange(30) % 3
    logits = np.eye(3)[targets if right else (targets + 1) % 3]
    assert metrics.fit_temperature(logits, targets) == pytest.approx(expected, rel=1e-6)
