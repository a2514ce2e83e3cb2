"""Test images that belong together: copies, a patient, a site. Truth is known from how they are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from stages.aggregate import collect, compare
from stages.aggregate.params import Aggregate
from stages.core import files
from stages.core.metrics import equal_groups
from tests.evaluate import made

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    made.study(folder, {"weak": 1.0, "strong": 3.0}, [0, 1], images=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for variant in ("weak", "strong"):
            for seed in (0, 1):
                made.evaluate(variant, seed)
    return folder


@pytest.mark.parametrize(("groups", "drawn_as_one"), [(1, False), (3, False), (9, False), (10, True), (30, True)])
def test_few_groups_are_not_drawn(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: int, drawn_as_one: bool
) -> None:
    """Three sites do not show how a fourth would differ, so the images of these three are drawn."""
    monkeypatch.chdir(evaluated)
    found = collect.read([(v, s) for v in ("weak", "strong") for s in (0, 1)])
    table = found[0].predictions
    ids = table.loc[table["split"] == "test", "image_id"].tolist()
    rows = [{"image_id": one, "group_id": str(place % groups)} for place, one in enumerate(ids)]
    files.write_rows(tmp_path / "manifest.csv", ["image_id", "group_id"], rows)
    monkeypatch.setattr(collect, "MANIFEST", str(tmp_path / "manifest.csv"))
    (one,) = collect.tested(found, "top1")
    assert one.blocks.shape[-1] == (groups if drawn_as_one else len(ids))
    assert one.blocks.mean() == pytest.approx(one.values.mean())


def test_groups_of_unequal_sizes_are_worth_fewer_equal_ones() -> None:
    assert equal_groups([5] * 12) == pytest.approx(12)
    assert equal_groups([240] + [5] * 9) < 2  # one site, and nine pictures of others
    assert equal_groups([]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("groups", [10, 25])
def test_intervals_cover_new_groups(groups: int) -> None:
    """Groups are few values, so Student's t has as many degrees of freedom as they leave, whatever the seeds are."""
    rng, studies = np.random.default_rng(0), 1500
    covered = np.zeros(2)
    for _ in range(studies):
        shared = rng.normal(0, 0.1, (1, 1, groups))
        table = 0.7 + shared + rng.normal(0, 0.05, (2, 1, groups)) + rng.normal(0, 0.01, (2, 5, groups))
        (row,) = compare.rows(compare.one_split(table, table, Aggregate()), ["a", "b"], Aggregate())
        ends: Any = [(row["ci_low"], row["ci_high"]), (row["joint_ci_low"], row["joint_ci_high"])]
        covered += [low <= 0 <= high for low, high in ends]
    assert (np.abs(covered / studies - 0.95) < 0.017).all()
