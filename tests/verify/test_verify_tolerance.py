"""Figures of another machine type are held against the SD over seeds, with the level that is promised."""

from pathlib import Path

import numpy as np
import pytest

from stages.core import files
from stages.verify import rerun
from stages.verify.scratch import Place

CELLS = [(variant, seed) for variant in ("mlp", "cnn") for seed in range(3)]


def place(folder: Path, values: dict[tuple[str, int], float], images: int = 1000) -> Place:
    counts = {"test": {"a": images // 2, "b": images // 2}}
    files.write_json(folder / "data/split/summary.json", {"splits": [{"counts": counts}]})
    for (variant, seed), value in values.items():
        path = folder / f"results/{variant}/{seed}/evaluate/metrics.csv"
        files.write_rows(path, ["split", "metric", "value"], [{"split": "test", "metric": "top1", "value": value}])
    return Place(folder, ".")


def verdicts(tmp_path: Path, old: list[float], new: list[float]) -> set[str]:
    recorded = place(tmp_path / "old", dict(zip(CELLS, old, strict=False)))
    again = place(tmp_path / "new", dict(zip(CELLS, new, strict=False)))
    return {f.verdict for f in rerun.judge(recorded, again, CELLS[: len(old)], CELLS[: len(new)])}


def test_as_far_apart_as_seeds_is_within_tolerance(tmp_path: Path) -> None:
    assert verdicts(tmp_path, [0.9, 0.91, 0.92] * 2, [0.91, 0.92, 0.93] * 2) == {"within tolerance"}


def test_further_apart_is_different(tmp_path: Path) -> None:
    assert verdicts(tmp_path, [0.9, 0.91, 0.92] * 2, [0.7, 0.71, 0.72] * 2) == {"different"}


def test_one_image_is_forgiven_where_all_seeds_agree(tmp_path: Path) -> None:
    assert verdicts(tmp_path, [0.9] * 6, [0.901] * 6) == {"within tolerance"}
    assert verdicts(tmp_path, [0.9] * 6, [0.95] * 6) == {"different"}


def test_one_seed_has_no_tolerance(tmp_path: Path) -> None:
    assert verdicts(tmp_path, [0.9], [0.9]) == {"not checked"}


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_promised(tmp_path: Path) -> None:
    """Two samples of the same seeds' distribution: at most 1 % of studies may be called different."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        old, new = (rng.normal(0.9, 0.01, 6).round(3).tolist() for _ in range(2))
        alarms += "different" in verdicts(tmp_path, old, new)
    assert alarms <= 6  # 2 expected; more than 6 has a chance of 1 in 200
