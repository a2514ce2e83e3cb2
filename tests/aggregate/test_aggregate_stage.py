"""From made cells to the tables in reports/."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.aggregate import __main__ as stage
from stages.aggregate.params import Aggregate
from stages.core import cells, files, params
from stages.core.errors import UserError
from tests.evaluate import made

SKILLS = {"strong": 4.0, "weak": 0.5, "twin": 0.5}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    made.study(folder, SKILLS, [0, 1, 2], images=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in range(3):
            shutil.copy(cells.run_folder("weak", seed) / "logits.npz", cells.run_folder("twin", seed))
            for variant in SKILLS:
                made.evaluate(variant, seed)
        stage.main()
    return folder


def test_every_metric_of_every_cell_stands_in_runs(evaluated: Path) -> None:
    runs = pd.read_csv(evaluated / "reports/runs.csv")
    assert set(zip(runs["variant"], runs["seed"], strict=True)) == {(v, s) for v in SKILLS for s in range(3)}
    one = pd.read_csv(evaluated / cells.evaluate_folder("weak", 1) / "metrics.csv")
    mine = runs.query("variant == 'weak' and seed == 1")[["split", "metric", "value"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, one)


def test_summary_is_mean_sample_sd_and_t_interval(evaluated: Path) -> None:
    runs = pd.read_csv(evaluated / "reports/runs.csv")
    rows: list[Any] = list(pd.read_csv(evaluated / "reports/summary.csv").itertuples())
    for row in rows:
        chosen = runs.query("variant == @row.variant and split == @row.split and metric == @row.metric")["value"]
        assert row.n == 3
        assert row.mean == pytest.approx(statistics.mean(chosen), abs=1e-11)
        assert row.sd == pytest.approx(statistics.stdev(chosen), abs=1e-11)
        if row.sd > 0:
            low, high = stats.t.interval(0.95, 2, row.mean, row.sd / np.sqrt(3))
            assert (row.ci_low, row.ci_high) == pytest.approx((low, high), abs=1e-9)


def test_comparisons(evaluated: Path) -> None:
    pairs = pd.read_csv(evaluated / "reports/comparisons.csv").set_index(["variant_a", "variant_b"])
    table: dict[Any, Any] = pairs.to_dict("index")
    assert len(table) == 3
    twins = table["weak", "twin"]
    assert (twins["difference"], twins["verdict"]) == (0, "identical")
    assert np.isnan([twins["p"], twins["p_joint"]]).all()  # other images may tell them apart
    assert np.isnan([twins["ci_low"], twins["ci_high"]]).all()
    clear = table["strong", "weak"]
    assert clear["verdict"] == "a better"
    assert clear["difference"] > 0
    assert clear["ci_low"] > 0
    summary = pd.read_csv(evaluated / "reports/summary.csv").query("split == 'test' and metric == 'top1'")
    means = summary.set_index("variant")["mean"]
    assert clear["difference"] == pytest.approx(means["strong"] - means["weak"], abs=1e-11)


def test_curves_and_metrics(evaluated: Path) -> None:
    curves = pd.read_csv(evaluated / "reports/curves.csv")
    assert list(curves.columns) == ["variant", "seed", "epoch", "split", "loss", "top1"]
    assert len(curves) == 3 * 3 * 4 * 2
    chosen = json.loads((evaluated / "reports/metrics.json").read_text())
    assert set(chosen) == set(SKILLS)
    assert set(chosen["weak"]["test"]["top1"]) == {"mean", "sd"}


def test_again_is_the_same_bytes(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in (evaluated / "reports").iterdir()}
    monkeypatch.chdir(evaluated)
    stage.main()
    assert before == {path: path.read_bytes() for path in (evaluated / "reports").iterdir()}


def test_missing_cells_are_named(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(evaluated, copy)
    shutil.rmtree(copy / "results/weak/1/evaluate")
    shutil.rmtree(copy / "results/twin/2")
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match=r"2 of 9 cells are not there: weak seed 1, twin seed 2"):
        stage.main()


def test_one_seed_leaves_sd_and_interval_blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.study(tmp_path, {"strong": 3.0, "weak": 0.5}, [5])
    monkeypatch.chdir(tmp_path)
    for variant in ("strong", "weak"):
        made.evaluate(variant, 5)
    stage.main()
    summary = pd.read_csv("reports/summary.csv")
    assert (summary["n"] == 1).all()
    assert summary[["sd", "ci_low", "ci_high"]].isna().all(axis=None)
    assert set(pd.read_csv("reports/comparisons.csv")["covers"]) == {"images"}


def test_cells_of_different_images_are_refused(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(evaluated, copy)
    path = copy / "results/weak/1/evaluate/predictions.parquet"
    files.write_parquet(path, pd.read_parquet(path).iloc[:-1].to_dict("list"))
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match="weak seed 1 were evaluated on different images"):
        stage.main()


def test_the_defaults_are_those_that_the_default_study_spells_out() -> None:
    study = params.read(Path(__file__).parents[2] / "params.yaml")
    assert params.section(Aggregate, study.raw["aggregate"], "aggregate") == Aggregate()


def test_intervals_over_images(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "reports/intervals.csv").set_index("variant")
    summary = pd.read_csv(evaluated / "reports/summary.csv").query("split == 'test' and metric == 'top1'")
    means = summary.set_index("variant")["mean"]
    for variant in SKILLS:
        row: Any = table.loc[variant]
        assert row["mean"] == pytest.approx(means[variant], abs=1e-11)
        assert row["images"] == 40
        assert row["image_ci_low"] < row["mean"] < row["image_ci_high"]


def test_agreement_of_seeds_is_the_mean_correlation_of_their_maps(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "reports/agreement.csv", dtype={"image_id": str})
    assert set(table["variant"]) == set(SKILLS)
    first = table.iloc[0]
    assert first["pairs"] == 3
    maps = []
    for seed in range(3):
        tiles = json.loads((evaluated / cells.evaluate_folder("strong", seed) / "gradcam.json").read_text())["tiles"]
        maps.append(np.array(" ".join(tiles[0]["map"]).split(), dtype=float))
    by_numpy = np.corrcoef(maps)[np.triu_indices(3, 1)].mean()
    assert first["correlation"] == pytest.approx(by_numpy, abs=1e-11)
