from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stages.core import files
from stages.core.errors import UserError
from stages.tools import sweep
from stages.tools.sweep import Experiment
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path


def made(name: str, val: float, test: float = 0.5, **settings: Any) -> Experiment:
    """One with two variants, of which `own` names its own learning rate."""
    whole = {"lr": 0.1, "train.batch": 8, "variants.own.lr": 0.5, "report.pairs": 5} | settings
    return Experiment(name, whole, 2, {v: {"val": (val, 0.1), "test": (test, 0.1)} for v in ("plain", "own")})


def test_validation_chooses_and_test_is_told_once() -> None:
    three = [made("a", 0.7, 0.9, lr=0.01), made("b", 0.8, 0.6), made("c", 0.7, 0.99, lr=1.0)]
    shown, others = sweep.alike("lr", three)
    assert [e.settings["lr"] for e in shown] == [0.01, 0.1, 1.0]
    assert others == []
    rows = sweep.choose("lr", shown)
    assert [(row["variant"], row["value"], row["test_mean"]) for row in rows] == [
        ("plain", 0.01, None), ("plain", 0.1, 0.6), ("plain", 1.0, None),
    ], "`own` has its own learning rate: the sweep did not reach it"  # fmt: skip


def test_what_changed_something_else_is_left_out_and_named() -> None:
    mixed = made("mixed", 0.9, lr=1.0, **{"train.batch": 16})
    shown, others = sweep.alike("lr", [made("a", 0.7, lr=0.01), mixed, made("b", 0.8)])
    assert [e.name for e in shown] == ["a", "b"]
    assert others == [("mixed", "train.batch (16, not 8)")]
    with pytest.raises(UserError, match="no two experiments of this commit differ in `lr` alone"):
        sweep.alike("lr", [made("a", 0.7), mixed])


def test_what_reaches_no_network_may_differ() -> None:
    shown, others = sweep.alike("lr", [made("a", 0.7), made("b", 0.7, lr=1.0, **{"report.pairs": 9})])
    assert (len(shown), others) == (2, [])


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UserError, match=r"no experiment has a setting `batch`; did you mean train\.batch"):
        sweep.alike("batch", [made("a", 0.7)])


@pytest.mark.slow
@pytest.mark.weekly
def test_over_experiments_that_dvc_ran(tmp_path: Path) -> None:
    study = tiny.copy(tmp_path)
    tiny.run(study, "dvc", "repro", "report")
    tiny.commit(study, "Reproduce")
    tiny.run(study, "dvc", "exp", "run", "--temp", "--name", "fast", "-S", "lr=0.1", "report")
    tiny.run(study, "dvc", "exp", "run", "--temp", "--name", "both", "-S", "lr=1", "-S", "train.batch=8", "report")
    said = tiny.run(study, "python", "-m", "stages.tools.sweep", "lr")
    rows = files.read_rows(study / "sweeps/lr/sweep.csv")
    assert [(row["value"], row["experiment"]) for row in rows] == [("0.001", "main"), ("0.1", "fast")]
    told = files.read_json(study / "reports/metrics.json")["mlp"]["val"]["top1"]
    assert (float(rows[0]["val_mean"]), float(rows[0]["val_sd"])) == (told["mean"], told["sd"])
    assert [bool(row["test_mean"]) for row in rows] == [bool(row["chosen"]) for row in rows]
    assert "left out: both, which differs in train.batch (8, not 64)" in said
    assert (study / "sweeps/lr/sweep.png").is_file()
    assert tiny.run(study, "git", "status", "--porcelain") == "", "a sweep page is of one clone"
