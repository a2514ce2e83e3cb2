"""The leak cost: difference of two independent arms, and which test images had a copy among the training images."""

from pathlib import Path

import numpy as np
import pytest

from stages.aggregate import collect
from stages.core import files
from stages.core.errors import UserError
from studies import leak


def test_difference_covers_the_truth() -> None:
    """Ten splits in either arm, drawn independently: 95 % of the intervals should hold the true difference."""
    random, inside = np.random.default_rng(0), 0
    for _ in range(1000):
        one, two = random.normal(0.8, 0.02, 10), random.normal(0.7, 0.04, 10)
        found = leak.difference(one, two)
        assert found["low"] is not None and found["high"] is not None  # noqa: PT018
        inside += found["low"] <= 0.1 <= found["high"]
    assert 0.93 <= inside / 1000 <= 0.97


def test_no_variance_no_interval() -> None:
    found = leak.difference(np.ones(3), np.zeros(4))
    assert (found["leak"], found["low"], found["high"]) == (1, 1, 1)
    assert leak.difference(np.ones(1), np.zeros(4))["leak"] is None  # no picture of a kind, or in one split alone


def test_what_differs_in_more_than_the_copies_is_refused() -> None:
    split = collect.SharedSplit([0], {"train": {"a": 5}, "val": {"a": 1}, "test": {"a": 2}})
    one = collect.Tested(split, [], [], np.zeros((1, 1, 2)), np.zeros((1, 1, 2), dtype=np.int64))
    arm = leak.Arm(["v"], 190, [one] * 10, {})
    folders = (Path("published"), Path("clean"))
    leak._check(*folders, arm, arm)
    for other, message in (
        (arm._replace(train=180), "trains on 190 pictures and clean on 180"),
        (arm._replace(variants=["w"]), "different variants"),
        (arm._replace(tested=[one]), "split.per_seed: true"),
    ):
        with pytest.raises(UserError, match=message):
            leak._check(*folders, arm, other)


def test_copies_are_found_through_the_ledger(tmp_path: Path) -> None:
    ledger = ["path", "image_id", "duplicate_of"]
    for study, rows in {
        "published": [("a", "1", ""), ("a copy", "1-2", ""), ("b", "2", ""), ("b like", "3", ""), ("c", "4", "")],
        # In the clean study `a copy` was dropped, and `b like` was kept but grouped with `b`.
        "clean": [("a", "1", ""), ("a copy", "", "1"), ("b", "2", ""), ("b like", "3", ""), ("c", "4", "")],
    }.items():
        table = [dict(zip(ledger, row, strict=True)) for row in rows]
        files.write_rows(tmp_path / study / "data/clean/ledger.csv", ledger, table)
    groups = [{"image_id": i, "group_id": g} for i, g in (("1", "1"), ("2", "2"), ("3", "2"), ("4", "4"))]
    files.write_rows(tmp_path / "clean/data/clean/manifest.csv", ["image_id", "group_id"], groups)
    parts = [("1", "train"), ("1-2", "test"), ("2", "val"), ("3", "test"), ("4", "test")]
    files.write_rows(
        tmp_path / "published/data/split/seeds/0.csv",
        ["image_id", "split"],
        [dict(zip(("image_id", "split"), part, strict=True)) for part in parts],
    )
    group = leak._groups(tmp_path / "clean")
    assert group == {"a": "1", "a copy": "1", "b": "2", "b like": "2", "c": "4"}
    paths = {"1": "a", "1-2": "a copy", "2": "b", "3": "b like", "4": "c"}
    split = collect.SharedSplit([0], {"train": {"a": 1}, "val": {"a": 1}, "test": {"a": 3}})
    tested = collect.Tested(split, ["1-2", "3", "4"], [], np.zeros((1, 1, 3)), np.zeros((1, 1, 3), dtype=np.int64))
    # `b` stands in validation, which nothing is learnt from where the number of epochs is fixed.
    assert leak._seen(tmp_path / "published", tested, paths, group).tolist() == [True, False, False]
    # `b like` has a look-alike that nothing was learnt from: it is neither with a copy in training nor without any.
    assert leak._alone(tested, paths, group).tolist() == [False, False, True]


def test_a_share_is_that_of_the_pictures_asked_for() -> None:
    split = collect.SharedSplit([0], {"train": {"a": 1}, "val": {"a": 1}, "test": {"a": 3}})
    tested = collect.Tested(
        split, ["1", "2", "3"], [], np.array([[[1.0, 0.0, 0.0]]]), np.zeros((1, 1, 3), dtype=np.int64)
    )
    assert leak._shares([tested], 0, None).tolist() == [pytest.approx(1 / 3)]
    assert leak._shares([tested], 0, [np.array([True, True, False])]).tolist() == [0.5]
    assert leak._shares([tested], 0, [np.zeros(3, dtype=bool)]).tolist() == []


def test_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["leak"])
    with pytest.raises(UserError, match="usage"):
        leak.main()
