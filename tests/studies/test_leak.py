"""The leak cost: difference of two independent arms, and which test images had a copy among the training images."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_ind

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


def test_the_difference_is_welchs() -> None:
    one, two = np.array([0.8, 0.7, 0.9, 0.75]), np.array([0.5, 0.65, 0.6])
    theirs = ttest_ind(one, two, equal_var=False).confidence_interval(0.95)
    found = leak.difference(one, two)
    assert (found["low"], found["high"]) == pytest.approx((theirs.low, theirs.high))


def drawn(random: np.random.Generator, splits: int, skill: np.ndarray, sizes: np.ndarray, gain: float) -> leak.Families:
    """Splits of families: their files are tested on their own (`gain` > 0), or one picture of each."""
    right, seen = np.full((splits, len(skill)), np.nan), np.zeros((splits, len(skill)), dtype=np.bool_)
    for row, of_row in zip(right, seen, strict=True):
        tested = random.binomial(sizes, 0.4) if gain else random.binomial(1, 0.4, len(sizes))
        of_row[:] = (sizes > 1) & (random.random(len(sizes)) < 1 - 0.5 ** (sizes - tested)) & (gain > 0)
        share = np.clip(skill + gain * of_row + random.normal(0, 0.02), 0, 1)
        row[tested > 0] = (random.binomial(tested, share) / np.maximum(tested, 1))[tested > 0]
    return leak.Families(right, seen)


def test_families_are_compared_with_themselves() -> None:
    """Pictures with many copies are easier here, and a copy in training is worth .15, no more."""
    random = np.random.default_rng(1)
    sizes = np.where(random.random(150) < 0.6, 1, random.integers(2, 9, 150))
    skill, single = 0.4 + 0.05 * sizes, sizes == 1
    inside = dict.fromkeys(leak.WEIGHTED, 0)
    for _ in range(60):
        one, two = drawn(random, 8, skill, sizes, 0.15), drawn(random, 8, skill, sizes, 0.0)
        found = {kind: leak.weighted(one, two, single, kind) for kind in leak.WEIGHTED}
        truth = {"copies": 0.15, "apart": 0.0, "others": 0.0, "all": 0.15 * (found["copies"]["share"] or 0)}
        for kind, row in found.items():
            assert row["low"] is not None and row["high"] is not None  # noqa: PT018
            inside[kind] += row["low"] <= truth[kind] <= row["high"]
    assert all(hits / 60 >= 0.88 for hits in inside.values()), inside
    kinds = [found[kind] for kind in ("copies", "apart", "others")]
    for key in ("published", "clean", "leak"):  # the rows add up
        assert sum((row["share"] or 0) * (row[key] or 0) for row in kinds) == pytest.approx(found["all"][key])
    assert sum(row["share"] or 0 for row in kinds) == pytest.approx(1)


def test_a_family_counts_once_by_hand() -> None:
    """x is tested with a copy in training in one of two splits, y never, z has no copy, w has no clean test."""
    nan = np.nan
    one = leak.Families(
        np.array([[1.0, 0.5, 0.0, 1.0], [0.0, nan, 1.0, 1.0]]),
        np.array([[True, False, False, False], [False, True, False, False]]),
    )
    two = leak.Families(np.array([[0.5, 1.0, nan, nan], [nan, 1.0, 0.0, nan]]), np.zeros((2, 4), dtype=np.bool_))
    single = np.array([False, False, True, True])
    assert leak.estimate(one, two, single, "copies") == pytest.approx((0.5 / 3, 1.0, 0.5))
    # x with weight 1/2 and 0 right, y with weight 1 and half right
    assert leak.estimate(one, two, single, "apart") == pytest.approx((1.5 / 3, 0.5 / 1.5, 1.25 / 1.5))
    assert leak.estimate(one, two, single, "others") == pytest.approx((1 / 3, 0.5, 0.0))
    assert leak.estimate(one, two, single, "all") == pytest.approx((1.0, 1.5 / 3, 1.5 / 3))
    assert leak.weighted(one, two, np.ones(4, dtype=np.bool_), "apart")["leak"] is None


def test_what_differs_in_more_than_the_copies_is_refused() -> None:
    split = collect.SharedSplit([0], {"train": {"a": 5}, "val": {"a": 1}, "test": {"a": 2}})
    one = collect.Tested(split, [], [], np.zeros((1, 1, 2)), np.zeros((1, 1, 2), dtype=np.int64), np.zeros(1))
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
    values = np.array([[[1, 0, 1]]])
    tested = collect.Tested(split, ["1-2", "3", "4"], [], values, values, np.zeros(len(values)))
    # `b` stands in validation, which nothing is learnt from where the number of epochs is fixed.
    learnt = leak._learnt(tmp_path / "published", tested, paths, group)
    assert learnt == {"1"}
    found = leak.families(leak.Arm(["v"], 1, [tested], paths), 0, ["1", "2", "4"], group, [learnt])
    assert found.right.tolist() == [[1, 0, 1]]
    assert found.seen.tolist() == [[True, False, False]]
    both = collect.Tested(
        split, ["1", "1-2", "4"], [], values, values, np.zeros(len(values))
    )  # two files of one family
    found = leak.families(leak.Arm(["v"], 1, [both], paths), 0, ["1", "2", "4"], group, [set()])
    np.testing.assert_equal(found.right, [[0.5, np.nan, 1]])


def test_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["leak"])
    with pytest.raises(UserError, match="usage"):
        leak.main()


def test_the_class_that_differs_most_is_named() -> None:
    """Of 190 training pictures b has 10 or 20 with copies, 5 without; c is only trained on without."""

    def arm(*trained: dict[str, int]) -> leak.Arm:
        splits = [collect.SharedSplit([i], {"train": counts}) for i, counts in enumerate(trained)]
        none = np.zeros((1, 1, 0))
        tested = [collect.Tested(split, [], [], none, none.astype(np.int64), np.zeros(1)) for split in splits]
        return leak.Arm(["v"], 190, tested, {})

    found = leak.most_unlike(arm({"a": 180, "b": 10}, {"a": 170, "b": 20}), arm({"a": 179, "b": 5, "c": 6}))
    assert found == ("b", 15, 5)
