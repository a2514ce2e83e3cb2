"""Several splits: parts of the variance that are known are found, and intervals cover a known difference."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.aggregate import __main__ as stage
from stages.aggregate import collect, compare, images, resampled, summary
from stages.aggregate.params import Aggregate, Suspects
from stages.core import cells, files
from stages.core.errors import UserError
from tests.evaluate import made

if TYPE_CHECKING:
    from pathlib import Path

SKILLS = {"strong": 4.0, "weak": 0.5, "twin": 0.5}


def nested(rng: np.random.Generator, splits: int, seeds: int, of_split: float, of_seed: float) -> np.ndarray:
    """Values (splits, seeds): one effect a split, one a seed."""
    table: np.ndarray = rng.normal(size=(splits, 1)) * of_split + rng.normal(size=(splits, seeds)) * of_seed + 0.8
    return table


@pytest.mark.parametrize(("of_split", "of_seed"), [(0.02, 0.01), (0.01, 0.02), (0.0, 0.02), (0.03, 0.0)])
def test_known_parts_of_the_variance_are_found(of_split: float, of_seed: float) -> None:
    rows = summary.causes(nested(np.random.default_rng(0), 4000, 3, of_split, of_seed), 0.05)
    sd = {row["part"]: row["sd"] for row in rows}
    assert sd["initialisation"] == pytest.approx(of_seed, rel=0.03, abs=1e-12)
    assert sd["split"] == pytest.approx(of_split, rel=0.05, abs=0.0025)
    assert sd["total"] == pytest.approx(np.hypot(of_split, of_seed), rel=0.03)


def test_the_parts_are_those_of_the_analysis_of_variance() -> None:
    table = nested(np.random.default_rng(1), 4, 3, 0.02, 0.01)
    rows = {row["part"]: row for row in summary.causes(table, 0.05)}
    f = stats.f_oneway(*table).statistic
    within = rows["initialisation"]["sd"] ** 2
    assert 1 + 3 * rows["split"]["sd"] ** 2 / within == pytest.approx(f)
    assert rows["total"]["sd"] ** 2 == pytest.approx(within + rows["split"]["sd"] ** 2)
    assert [(row["n"], row["df"]) for row in rows.values()][:2] == [(12, 8), (4, 3)]


@pytest.mark.parametrize(
    ("of_split", "of_seed", "splits"),
    [(0.02, 0.01, 5), (0.01, 0.02, 2),
     *(pytest.param(*case, marks=pytest.mark.slow) for case in ((0.02, 0.01, 2), (0.01, 0.02, 5)))],
)  # fmt: skip
def test_the_intervals_cover_the_parts(of_split: float, of_seed: float, splits: int) -> None:
    rng, studies = np.random.default_rng(2), 1000
    truth = {"initialisation": of_seed, "split": of_split, "total": float(np.hypot(of_split, of_seed))}
    covered = dict.fromkeys(truth, 0)
    for _ in range(studies):
        for row in summary.causes(nested(rng, splits, 3, of_split, of_seed), 0.05):
            if row["sd_high"] is not None:
                covered[row["part"]] += row["sd_low"] <= truth[row["part"]] <= row["sd_high"]
    assert 0.93 <= covered["initialisation"] / studies <= 0.97
    assert 0.93 <= covered["split"] / studies <= 0.98  # Williams: at least 1 - alpha
    assert 0.93 <= covered["total"] / studies <= 0.99  # Graybill and Wang: nearly 1 - alpha or more


def test_one_part_alone_where_the_design_shows_no_more() -> None:
    values = np.array([[0.7, 0.8, 0.9]])
    (shared,) = summary.causes(values, 0.05)
    (own,) = summary.causes(values.T, 0.05)
    assert (shared["part"], own["part"]) == ("initialisation", "total")
    assert shared["sd"] == own["sd"] == pytest.approx(0.1)
    assert summary.causes(np.array([[0.7]]), 0.05) == []


def study_of_splits(rng: np.random.Generator, splits: int, train_effect: float, run: float) -> np.ndarray:
    """Differences (splits,) of two variants on random splits of one pool: 60 % train, 20 % test."""
    images, skill = 300, np.array([0.9, 0.5])
    hardness, influence = rng.normal(size=images), rng.normal(size=(2, images))
    each = []
    for _ in range(splits):
        order = rng.permutation(images)
        test, train = order[:60], order[120:]
        effect = influence[:, train].sum(axis=1) / np.sqrt(180) * train_effect + rng.normal(size=2) * run
        right = skill[:, None] + effect[:, None] + hardness[test] + rng.normal(size=(2, 60)) > 0
        each.append(right[0].mean() - right[1].mean())
    return np.array(each)


@pytest.mark.parametrize(("train_effect", "run"), [(0.0, 0.0), (0.1, 0.1)])
def test_the_corrected_interval_covers_a_known_difference(train_effect: float, run: float) -> None:
    rng, studies = np.random.default_rng(3), 800
    each = np.array([study_of_splits(rng, 5, train_effect, run) for _ in range(studies)])
    spread = np.sqrt(2 + train_effect**2 + run**2)
    truth = stats.norm.cdf(0.9 / spread) - stats.norm.cdf(0.5 / spread)
    low, high, _ = resampled.interval(each, 20 / 60, 0.05)
    covered = ((low <= truth) & (truth <= high)).mean()
    plain_low, plain_high, _ = resampled.interval(each, 0.0, 0.05)
    plain = ((plain_low <= truth) & (truth <= plain_high)).mean()
    assert plain < covered
    assert covered >= 0.94


def test_the_correction_is_that_of_nadeau_and_bengio() -> None:
    each = np.array([[0.02, 0.05, 0.01, 0.03]])
    _, _, p = resampled.interval(each, 0.25, 0.05)
    t = each.mean() / np.sqrt((1 / 4 + 0.25) * each.var(ddof=1))
    assert p[0] == pytest.approx(2 * stats.t.sf(t, 3))
    _, _, plain = resampled.interval(each, 0.0, 0.05)
    assert plain[0] == pytest.approx(stats.ttest_1samp(each[0], 0).pvalue)


def test_splits_that_agree_by_chance_leave_no_interval_of_no_width() -> None:
    """Two splits with one difference: what another draw of images or seeds changes is still there."""
    rng = np.random.default_rng(0)
    right = np.stack([rng.permutation([1] * 45 + [0] * 5), rng.permutation([1] * 40 + [0] * 10)])[:, None, :]
    tested = [one_split([f"{part}{i}" for i in range(50)], right) for part in "xy"]
    (row,) = compare.rows(resampled.several_splits(tested, Aggregate()), ["a", "b"], Aggregate())
    shares = resampled.influence(tested)
    error = np.sqrt(((shares[0] - shares[1]) ** 2).sum())
    each = right[0, 0] - right[1, 0]
    assert error == pytest.approx(np.sqrt(each.var() / 50 / 2 * 100 / 99))  # of a mean over 2 x 50 images
    assert row["difference"] == pytest.approx(0.1)
    assert row["ci_high"] - 0.1 == pytest.approx(stats.t.ppf(0.975, 1) * error)
    assert row["p"] == pytest.approx(2 * stats.t.sf(0.1 / error, 1))
    assert row["verdict"] == "undecided"
    values = [[0.8, 0.9], [0.85, 0.85]]
    found = summary.over_splits(values, 0.5, 0.05)
    half = stats.t.ppf(0.975, 1) * np.sqrt((1 / 2 + 0.5) * np.mean([0.005, 0.0]) / 2)
    assert found["ci_low"] == pytest.approx(0.85 - half)
    assert found["ci_high"] == pytest.approx(0.85 + half)


def one_split(images: list[str], right: np.ndarray) -> collect.Tested:
    counts = {"train": {"a": 60}, "val": {"a": 30}, "test": {"a": 20}}
    return collect.Tested(collect.SharedSplit([0], counts), images, images, right, right, np.zeros(len(right)))


def test_splits_with_one_test_set_vary_by_validation() -> None:
    right = np.random.default_rng(0).integers(0, 2, (2, 3, 50))
    images = [f"{i:02}" for i in range(50)]
    twice = resampled.influence([one_split(images, right), one_split(images, right)])
    np.testing.assert_allclose(twice, resampled.influence([one_split(images, right)]))
    assert (
        resampled.held_out_ratio([one_split(images, right)] * 2) == 0.5
    )  # test stays: validation is what the splits vary
    assert resampled.held_out_ratio([one_split(images, right), one_split(images[1:], right[..., 1:])]) == pytest.approx(
        1 / 3
    )


@pytest.mark.parametrize(("splits", "run"), [(2, 0.02), (3, 0.02), (5, 0.02), (10, 0.0)])
def test_among_equal_variants_on_several_splits_a_difference_is_rarely_found(splits: int, run: float) -> None:
    rng, pairs, found = np.random.default_rng(5), compare.all_pairs(6), 0
    for _ in range(400):
        table = 0.8 + rng.normal(0, 0.03, splits) + rng.normal(0, np.hypot(run, 0.01), (6, splits))
        least = np.full(len(pairs), 2 * 0.01**2 / splits)
        found += bool((resampled.family(table, pairs, 0.0, least, np.zeros(6)).p() < 0.05).any())
    assert found / 400 <= 0.075


@pytest.fixture(scope="module", params=[1, 2], ids=["own", "two_seeds_a_split"])
def evaluated(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Four seeds on four splits, or on two; `twin` has the logits of `weak`."""
    folder, each = tmp_path_factory.mktemp("study"), int(request.param)
    groups = [list(range(start, start + each)) for start in range(0, 4, each)]
    summary: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        for number, seeds in enumerate(groups):
            made.study(folder, SKILLS, seeds, images=200, draw=number)
            patch.chdir(folder)
            summary += files.read_json(cells.SPLIT / "summary.json")["splits"]
            for seed in seeds:
                shutil.copy(cells.run_folder("weak", seed) / "logits.npz", cells.run_folder("twin", seed))
                for variant in SKILLS:
                    made.evaluate(variant, seed)
        files.write_json(cells.SPLIT / "summary.json", {"seed": 0, "groups": 200, "splits": summary})
        files.write_json("params.yaml", made.params(list(SKILLS), [0, 1, 2, 3]))
        stage.main()
    return folder


def test_copies_of_a_variant_do_not_halve_the_variance() -> None:
    """Three identical variants and one other, on three splits: they differ by chance in one study of twenty."""
    rng, pairs, found = np.random.default_rng(0), compare.all_pairs(4), 0
    for _ in range(1500):
        one, other = rng.normal(0.8, 0.03, (2, 1, 3))
        table = np.concatenate([one, one, one, other])
        least = np.zeros(len(pairs))
        judged = resampled.family(table, pairs, 0.0, least, np.zeros(4), [True, False, False, True])
        found += bool((judged.p() < 0.05).any())
    assert found / 1500 <= 0.065


def test_comparisons_stay_paired_within_a_split(evaluated: Path) -> None:
    table: dict[Any, Any] = (
        pd.read_csv(evaluated / "reports/comparisons.csv").set_index(["variant_a", "variant_b"]).to_dict("index")
    )
    twins, clear = table["weak", "twin"], table["strong", "weak"]
    assert (twins["difference"], twins["verdict"]) == (0, "identical")
    assert np.isnan(twins["p"])  # other images may tell them apart
    assert np.isnan([twins["ci_low"], twins["ci_high"]]).all()
    runs = pd.read_csv(evaluated / "reports/runs.csv").query("split == 'test' and metric == 'top1'")
    strong, weak = (values_of(runs, variant, evaluated).mean(axis=1) for variant in ("strong", "weak"))
    assert clear["difference"] == pytest.approx((strong - weak).mean(), abs=1e-11)
    low, high, p = resampled.interval((strong - weak)[None], 1 / 3, 0.05)
    assert (clear["ci_low"], clear["ci_high"], clear["p"]) == pytest.approx((low[0], high[0], p[0]))
    assert clear["covers"] == "images, seeds and splits"
    for row in files.read_rows(evaluated / "reports/intervals.csv"):
        assert int(row["images"]) > 40  # those of all splits together
        assert float(row["image_ci_low"]) < float(row["mean"]) < float(row["image_ci_high"])


def test_the_summary_has_the_corrected_interval(evaluated: Path) -> None:
    summary: dict[Any, Any] = (
        pd.read_csv(evaluated / "reports/summary.csv").set_index(["variant", "split", "metric"]).to_dict("index")
    )
    runs = pd.read_csv(evaluated / "reports/runs.csv").query("split == 'test' and metric == 'top1'")
    row, values = summary["weak", "test", "top1"], values_of(runs, "weak", evaluated)
    assert (row["n"], row["mean"], row["sd"]) == pytest.approx((4, values.mean(), values.std(ddof=1)))
    of_seeds = values.var(axis=1, ddof=1).mean() / values.shape[1] if values.shape[1] > 1 else 0.0
    spread = np.sqrt((1 / len(values) + 1 / 3) * max(values.mean(axis=1).var(ddof=1), of_seeds))
    assert row["ci_high"] - row["mean"] == pytest.approx(stats.t.ppf(0.975, len(values) - 1) * spread)


def test_variance_has_the_parts_that_the_design_shows(evaluated: Path) -> None:
    table = pd.read_csv(evaluated / "reports/variance.csv").query("variant == 'weak' and metric == 'top1'")
    wanted = {"initialisation", "split", "total"} if _splits(evaluated) == 2 else {"total"}
    assert set(table["part"]) == wanted
    assert set(table["split"]) == {"train", "val", "test"}


def test_only_cells_to_which_an_image_was_unseen_judge_it(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(evaluated)
    found = collect.read([(variant, seed) for variant in SKILLS for seed in range(4)])
    rows = images.suspects(found, Suspects(share=0.0, confidence=0.0))
    assert len({row["cells"] for row in rows}) > 1
    for row in rows:
        tables = [cell.predictions[cell.predictions["image_id"] == row["image_id"]] for cell in found]
        seen = pd.concat(tables)
        assert row["cells"] == len(seen)
        assert row["wrong"] == (seen["label"] != seen["predicted"]).sum()
        assert row["label_probability"] == pytest.approx(np.exp(-seen["loss"]).mean())
        parts = set(seen["split"])
        assert row["split"] == (parts.pop() if len(parts) == 1 else "both")


def test_a_seed_on_other_images_than_its_split_is_refused(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(evaluated, copy)
    one, other = (copy / cells.evaluate_folder("weak", seed) for seed in (0, 3))
    shutil.copy(one / "predictions.parquet", other)
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match=r"weak seed 3.* were evaluated on different images"):
        stage.main()


def values_of(runs: pd.DataFrame, variant: str, folder: Path) -> np.ndarray:
    """(splits, seeds of a split)."""
    values: np.ndarray = runs[runs["variant"] == variant].sort_values("seed")["value"].to_numpy()
    return values.reshape(_splits(folder), -1)


def _splits(folder: Path) -> int:
    return len(files.read_json(folder / cells.SPLIT / "summary.json")["splits"])
