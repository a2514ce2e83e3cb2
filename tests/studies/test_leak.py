"""The leak cost: difference of two independent arms, and which test images had a copy among the training images."""

from pathlib import Path

import numpy as np
import pytest

from stages.core import files
from stages.core.errors import UserError
from studies import leak


def test_difference_covers_the_truth() -> None:
    # Images of different difficulty, seeds of different luck: 95 % of the intervals should hold the true difference.
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        arms = []
        for images, level in ((180, 0.8), (120, 0.7)):
            chance = np.clip(level + random.normal(0, 0.15, images) + random.normal(0, 0.02, (5, 1)), 0, 1)
            arms.append((random.random((5, images)) < chance).astype(np.int64))
        value, low, high = leak.difference(*arms)
        assert low <= value <= high
        inside += low <= 0.8 - 0.7 <= high
    assert 0.9 <= inside / 200 <= 1


def test_no_variance_no_interval() -> None:
    assert leak.difference(np.ones((2, 3), dtype=np.int64), np.zeros((2, 4), dtype=np.int64)) == (1, 1, 1)


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
    seen = leak._seen(tmp_path / "published", tmp_path / "clean", ["1-2", "3", "4"], 0)
    assert seen.tolist() == [True, True, False]


def test_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["leak"])
    with pytest.raises(UserError, match="usage"):
        leak.main()
