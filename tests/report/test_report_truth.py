"""What the page says is true: of data whose truth is known, counted another way."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.core import files
from stages.report import caveats, evidence, findings, predictions, published, ranking, uncertainty
from stages.report.evidence import MetricSummary
from stages.report.figures import Figures
from tests.report.made_study import Known, Made, make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("true")
    make(root, Made())
    return root


@pytest.fixture
def found(folder: Path) -> Iterator[evidence.StudyEvidence]:
    with contextlib.chdir(folder):
        yield evidence.read()


def told(**cells: dict[str, Any]) -> Any:
    """Evidence of variants with these settings, on one split of 100 training images."""
    configs = {
        (name, seed): {"cell": cell, "epochs_run": cell.get("epochs", 5), "normalisation": cell.get("normalised", [])}
        for name, cell in cells.items()
        for seed in (0, 1)
    }
    counts = {"train": {"a": 60, "b": 40}, "val": {"a": 5, "b": 5}, "test": {"a": 9, "b": 1}}
    return Known(
        variants=list(cells), study=SimpleNamespace(seeds=[0, 1]), configs=configs, metric="top1",
        split={"splits": [{"seeds": [0, 1], "counts": counts}], "seed": 0},
    )  # fmt: skip


def test_copies_are_counted_also_where_nothing_was_done_about_them() -> None:
    """As published: 3 test images with a copy in train, 2 with one in validation alone, and a refused link."""
    places = {
        "a": ["test", "test", "train"], "b": ["test", "val", "train"], "c": ["test", "test", "val"], "d": ["test"],
        "e": ["train", "train"], "f": ["val"],
    }  # fmt: skip
    rows = [(f"{group}{i}", group, part) for group, parts in places.items() for i, part in enumerate(parts)]
    table = pd.DataFrame(rows, columns=["image_id", "group_id", "split"])
    known: Any = Known(
        audit={"duplicates": "ignore", "links_cut": [["d0", "f0"], ["e0", "e1"]]},
        manifest=table[["image_id", "group_id"]], parts=[table[["image_id", "split"]]], images=lambda _: 6,
        named=False,
    )  # fmt: skip
    said = " ".join(findings.copies(known))
    assert "5 of 6 images of the test set have a copy" in said
    assert "3 in the training set, 2 only in the validation set" in said
    assert "1 pair of similar pictures" in said
    assert "No test image" not in said


def test_rates_of_phases_are_no_one_learning_rate() -> None:
    plain = {"lr": 0.001, "batch": 32, "epochs": 5, "augment": "none"}
    phased = plain | {"phases": [{"epochs": 2, "lr": 0.1}, {"epochs": 3, "lr": 0.0001}]}
    same, mixed = told(one=plain, two=plain), told(one=plain, two=phased)
    said = " ".join(caveats._tuning(mixed))
    assert "learning rate (one 0.001; two 0.1, 0.0001)" in said
    assert "One learning rate" not in said
    assert "updates (20)" in said  # 4 batches of 100 images, 5 epochs
    assert "One learning rate for all may suit some variants better" in " ".join(caveats._tuning(same))
    other = told(one=plain, two=plain | {"batch": 50})
    assert "batch size (one 32; two 50) and updates (one 20; two 10)" in " ".join(caveats._tuning(other))


def test_what_validation_chose() -> None:
    last = {"lr": 0.1, "checkpoint": "last", "schedule": {"name": "constant"}}
    said = " ".join(caveats._tuning(told(a=last, b=last | {"early_stopping": {"patience": 3}})))
    assert "The validation set chose when training stops for b" in said
    assert "The weights of the last epoch are kept for a;" in said
    said = " ".join(caveats._tuning(told(a=last | {"schedule": {"name": "plateau"}})))
    assert "chose when the learning rate falls for every variant" in said
    assert "nothing was chosen" not in said


def test_what_was_fitted_and_what_a_seed_changes() -> None:
    still, moved = {"augment": "none"}, {"augment": "bananas"}
    assert "no statistic was fitted" in caveats._fitted(told(a=still | {"normalised": [{"name": "scale"}]}))
    fitted = told(a=still | {"normalised": [{"name": "scale"}, {"name": "zca"}]})
    assert "(zca) are fitted on the training set alone" in caveats._fitted(fitted)
    assert "augmentation" not in caveats._seeds(told(a=still))[0]
    assert "augmentation" not in caveats._seeds(told(a=moved | {"views": 4}))[0]
    assert "the augmentation of b" in caveats._seeds(told(a=still, b=moved))[0]
    assert "the augmentation, but not the split" in caveats._seeds(told(a=moved, b=moved))[0]


def test_unbalanced_data_proposes_another_metric() -> None:
    known = told(a={})
    assert "balanced_accuracy" in caveats._unbalanced(known)
    known.metric = "balanced_accuracy"
    assert caveats._unbalanced(known) == ""


def test_a_published_run_is_expected_where_further_runs_are() -> None:
    """19 of 20 further runs of the same recipe lie inside, and so do means of three runs with an SD of their own."""
    rng, inside = np.random.default_rng(0), np.zeros(2)
    for _ in range(2000):
        ours = rng.normal(0.5, 0.01, 3)
        summary = MetricSummary(3, float(ours.mean()), float(ours.std(ddof=1)), None, None)
        low, high = published.expected(summary, None, 1, 0.05)
        theirs = rng.normal(0.5, 0.03, 3)
        least, most = published.expected(summary, float(theirs.std(ddof=1)), 3, 0.05)
        assert low is not None and high is not None and least is not None and most is not None  # noqa: PT018
        inside += [low <= rng.normal(0.5, 0.01) <= high, least <= theirs.mean() <= most]
    assert (np.abs(inside / 2000 - 0.95) < 0.02).all()
    assert published.expected(MetricSummary(3, 0.1, 0.0, 0.1, 0.1), None, 1, 0.05) == (None, None)


def test_the_luck_of_the_first(found: evidence.StudyEvidence) -> None:
    """Of ten equal variants the best stands as far above the others' level as is said."""
    rng = np.random.default_rng(1)
    level = 0.02 / np.sqrt(2)  # error of one mean, where that of a difference is .02
    simulated = float(np.mean(rng.normal(0, level, (20_000, 10)).max(axis=1)))
    names = list("abcdefghij")
    one = next(iter(ranking.ranking(found).pairs.values()))
    pairs = {
        (a, b): replace(one, variant_a=a, variant_b=b, standard_error=0.02, verdict="undecided")
        for a, b in permutations(names, 2)
    }
    assert uncertainty.luck(ranking.Ranking(names, pairs, {})) == pytest.approx(simulated, rel=0.02)
    assert "by luck alone" in uncertainty.first(found, ranking.ranking(found))


def test_ece_of_a_calibrated_network_is_no_sign_of_anything() -> None:
    """The null is what networks show that are right exactly as often as they say."""
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.3, 1.0, 180)
    expected = predictions.null([([str(i) for i in range(180)], confidence)], 15)
    shown = []
    for _ in range(400):
        right = rng.random(180) < confidence
        place = np.minimum((confidence * 15).astype(int), 14)
        gaps = [abs((right[place == b] - confidence[place == b]).sum()) for b in range(15)]
        shown.append(sum(gaps) / 180)
    assert expected.mean() == pytest.approx(np.mean(shown), rel=0.05)
    assert expected.mean() > 0.05  # far from 0, with no miscalibration at all
    assert np.mean(np.array(shown) > np.quantile(expected, 0.95)) < 0.1


def test_the_support_is_that_of_all_splits(tmp_path: Path) -> None:
    make(tmp_path, Made(seeds=2, seeds_per_split=1))
    with contextlib.chdir(tmp_path):
        for seed, add in ((0, 0), (1, 3)):
            path = f"results/variant_0/{seed}/evaluate/per_class.csv"
            rows = files.read_rows(path)
            changed = [row | {"support": str(int(row["support"]) + add)} for row in rows]
            files.write_rows(path, list(rows[0]), changed)
        built = predictions.per_class(evidence.read(), Figures(tmp_path))
    assert built["variants"][0]["rows"][0]["support"] == "15-18"


def test_the_text_has_the_notes_of_the_page(folder: Path, found: evidence.StudyEvidence) -> None:
    from stages.report import page
    from stages.report.__main__ import SECTIONS

    page.write(found, SECTIONS, folder / "reports")
    text, html = ((folder / "reports" / name).read_text("utf-8") for name in ("report.md", "index.html"))
    for said in (
        uncertainty.marks(found), published.NOTE, predictions.note(found), uncertainty.population(found),
        uncertainty.first(found, ranking.ranking(found)), *findings.copies(found),
    ):  # fmt: skip
        assert said in text
        assert said in html
    assert "Holm" not in text


def test_intervals_and_verdicts_agree(folder: Path) -> None:
    for row in files.read_rows(folder / "reports/comparisons.csv"):
        apart = float(row["joint_ci_low"]) > 0 or float(row["joint_ci_high"]) < 0
        assert apart == (row["verdict"] in ("a better", "b better"))
        assert apart == (float(row["p_joint"]) < 0.05)
    assert json.loads((folder / "reports/metrics.json").read_text())


def test_t_is_what_scipy_says() -> None:
    assert published.expected(MetricSummary(3, 0.5, 0.01, None, None), None, 1, 0.05)[1] == pytest.approx(
        0.5 + stats.t.ppf(0.975, 2) * 0.01 * (4 / 3) ** 0.5
    )


@pytest.mark.slow
@pytest.mark.parametrize(("splits", "seeds", "runs"), [(2, 5, 1), (3, 5, 3), (4, 2, 1), (5, 1, 3)])
def test_a_published_figure_of_another_split_is_expected_there(splits: int, seeds: int, runs: int) -> None:
    """Splits differ by more than seeds do; 19 of 20 means of runs on a split that is none of ours lie inside."""
    rng, inside, studies = np.random.default_rng(0), 0, 1500
    numbers = list(range(splits * seeds))
    entries = [{"seeds": numbers[k * seeds : (k + 1) * seeds]} for k in range(splits)]
    about = {"variant": "B1", "split": "test", "metric": "top1"}
    for _ in range(studies):
        values = 0.7 + rng.normal(0, 0.05, (splits, 1)) + rng.normal(0, 0.03, (splits, seeds))
        rows = [about | {"seed": seed, "value": value} for seed, value in zip(numbers, values.ravel(), strict=True)]
        known: Any = Known(runs=pd.DataFrame(rows), split={"splits": entries}, held_out=0.0, alpha=0.05)
        low, high = published.on_another_split(known, "B1", "top1", runs)
        assert low is not None
        assert high is not None
        inside += low <= 0.7 + rng.normal(0, 0.05) + rng.normal(0, 0.03, runs).mean() <= high
    assert 0.93 <= inside / studies <= 0.985


def test_a_network_without_doubt_or_error_shows_no_miscalibration() -> None:
    """All right at a confidence of all but 1: nine of ten calibrated networks do the same."""
    ids = [str(i) for i in range(60)]
    table = pd.DataFrame({"image_id": ids, "split": "test", "confidence": np.full(60, 0.9999)})
    known: Any = Known(
        summary={("a", "test", "ece"): SimpleNamespace(mean=0.0001 + 1e-9)}, alpha=0.05,
        study=SimpleNamespace(seeds=[0]), manifest=pd.DataFrame({"image_id": ids, "group_id": ids}), few_groups=0,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(predictions, "table", lambda *_: table)
        assert predictions._calibrated(known, "a", 15)["verdict"] == "no sign of miscalibration"
