"""Who judges whom, and which labels are likely errors; on made features, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.aggregate.params import Aggregate
from stages.audit import judge
from stages.core import params
from stages.core.errors import UserError

CLASSES = 4
Floats = NDArray[np.floating[Any]]
Index = NDArray[np.int64]


def clouds(each: int = 40, apart: float = 2.0) -> tuple[NDArray[np.float32], list[str], list[str]]:
    """Features of overlapping classes, their labels, and groups of one to three pictures."""
    rng = np.random.default_rng(0)
    labels = [f"c{k}" for k in range(CLASSES) for _ in range(each)]
    centres = rng.normal(0, apart, (CLASSES, 6)).repeat(each, 0)
    groups = [f"g{g:03d}" for g in np.sort(rng.integers(0, len(labels) // 2, len(labels)))]
    return (centres + rng.normal(size=centres.shape)).astype(np.float32), labels, groups


def counted_by_hand(probabilities: Floats, labels: Index) -> int:
    """How many labels confident learning takes for wrong (Northcutt et al. 2021, equation 1), one picture at a time.

    Where several classes reach their thresholds, the paper takes the most probable of these, and the library the most
    probable of all. Labels that are the most probable class are right for both.
    """
    classes = probabilities.shape[1]
    thresholds = [np.mean([p[j] for p, y in zip(probabilities, labels, strict=True) if y == j]) for j in range(classes)]
    count = 0
    for p, label in zip(probabilities, labels, strict=True):
        confident = [j for j in range(classes) if p[j] >= thresholds[j]]
        said = p.argmax() if len(confident) > 1 else confident[0] if confident else label
        count += said != label != p.argmax()
    return int(count)


@pytest.mark.parametrize("apart", [0.7, 1.0, 2.0])
def test_what_is_named_is_what_the_method_says(apart: float) -> None:
    features, labels, groups = clouds(apart=apart)
    for i in range(0, len(labels), 13):
        labels[i] = f"c{(int(labels[i][1]) + 1) % CLASSES}"
    judged = judge.out_of_fold(features, labels, groups, 5, 0)
    own = judged.probabilities[np.arange(len(labels)), judged.labels]
    wanted = np.argsort(own)[: counted_by_hand(judged.probabilities, judged.labels)].tolist()
    wanted = [i for i in wanted if judged.probabilities[i].argmax() != judged.labels[i]]
    assert len(wanted) > 3
    assert judge.issues(judged).tolist() == wanted


def test_no_group_is_judged_by_its_own_members_and_each_picture_once() -> None:
    _, labels, groups = clouds()
    index, grouped = np.unique(labels, return_inverse=True)[1], np.array(groups)
    cut = judge.parts(index, grouped, 5, 0)
    assert sorted(np.concatenate([held for _, held in cut]).tolist()) == list(range(len(labels)))
    for fit, held in cut:
        assert not set(grouped[fit]) & set(grouped[held])
        assert set(index[fit]) == set(range(CLASSES))
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(cut, judge.parts(index, grouped, 5, 1), strict=True))


def test_a_copy_with_another_label_cannot_vouch_for_itself() -> None:
    """Features that tell pairs apart perfectly, and no class: with groups nothing can be known of a label."""
    labels = [f"c{k % 2}" for k in range(200)]
    pairs = np.eye(100, dtype=np.float32)[np.arange(200) // 2]
    groups = [f"g{k // 2}" for k in range(200)]
    together = judge.out_of_fold(pairs, labels, groups, 5, 0).probabilities
    assert np.abs(together - 0.5).max() < 0.1
    assert judge.issues(judge.out_of_fold(pairs, labels, groups, 5, 0)).tolist() == []


def test_what_a_picture_is_judged_by_does_not_know_it() -> None:
    features, labels, groups = clouds()
    before = judge.out_of_fold(features, labels, groups, 5, 0)
    mark = np.flatnonzero(np.array(groups) == groups[0])
    others = features.copy()
    others[mark] += 1.0
    after = judge.out_of_fold(others, labels, groups, 5, 0)
    fold = next(held for _, held in judge.parts(before.labels, np.array(groups), 5, 0) if mark[0] in held)
    same = np.setdiff1d(fold, mark)
    np.testing.assert_array_equal(before.probabilities[same], after.probabilities[same])
    assert not np.array_equal(before.probabilities[mark], after.probabilities[mark])


def test_small_classes_are_left_out_and_the_others_judged() -> None:
    features, labels, groups = clouds()
    labels[:4], groups[:4] = ["few"] * 4, ["f0", "f1", "f2", "f2"]
    assert judge.groups_of_classes(labels, groups)["few"] == 3
    judged = judge.out_of_fold(features, labels, groups, 5, 0)
    assert judged.classes == [f"c{k}" for k in range(CLASSES)]
    assert judged.rows.tolist() == list(range(4, len(labels)))


def test_a_class_whose_groups_all_lie_in_one_fold_is_left_out() -> None:
    """Three sites in two folds: both sites of `c` lie in one fold, so that the other fold cannot learn it."""
    labels, groups = list("abccaabb"), ["north"] * 3 + ["west"] + ["south"] * 4
    dealt = judge.parts(np.unique(labels, return_inverse=True)[1], np.array(groups), 2, 0)
    assert any("c" not in np.array(labels)[fit] for fit, _ in dealt)
    judged = judge.out_of_fold(np.eye(8, dtype=np.float32), labels, groups, 2, 0)
    assert judged.classes == ["a", "b"]
    assert judged.rows.tolist() == [0, 1, 4, 5, 6, 7]
    assert (judged.probabilities > 0).all()


def test_one_class_alone_judges_nothing() -> None:
    judged = judge.out_of_fold(np.zeros((9, 2), np.float32), ["a"] * 6 + ["b"] * 3, [str(i) for i in range(9)], 5, 0)
    assert (len(judged.rows), judge.issues(judged).tolist()) == (0, [])


def test_a_channel_that_is_nearly_constant_decides_nothing_alone() -> None:
    features, labels, groups = clouds(apart=3.0)
    features = np.hstack([features, np.full((len(labels), 1), 1.0, np.float32)])
    features[:, -1] += np.random.default_rng(1).normal(0, 1e-6, len(labels)).astype(np.float32)
    features[0, -1] = 9.0
    judged = judge.out_of_fold(features, labels, groups, 5, 0)
    assert judged.probabilities[0, judged.labels[0]] > 0.2


def test_one_fold_is_refused() -> None:
    with pytest.raises(UserError, match=r"aggregate\.audit\.folds.*one fold leaves no other pictures"):
        params.section(Aggregate, {"audit": {"folds": 1}}, "aggregate")
