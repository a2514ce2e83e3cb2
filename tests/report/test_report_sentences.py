"""Sentences that depend on the design of a study: seeds, splits, metric, what is refused and what is tied."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from stages.aggregate import __main__ as aggregate
from stages.aggregate import compare
from stages.aggregate.params import Aggregate
from stages.core import files
from stages.report import (
    caveats,
    evidence,
    galleries,
    page,
    predictions,
    ranking,
    results,
    training,
    uncertainty,
)
from stages.report.figures import Figures
from tests.report.made_study import Known, Made, make

if TYPE_CHECKING:
    from pathlib import Path


def studied(folder: Path, made: Made, **settings: Any) -> evidence.StudyEvidence:
    """A made study with these settings of `aggregate`; the working folder must be `folder`."""
    make(folder, made)
    params = json.loads((folder / "params.yaml").read_text())
    (folder / "params.yaml").write_text(json.dumps(params | {"aggregate": settings}))
    if settings:
        aggregate.main()
    return evidence.read()


def said(found: evidence.StudyEvidence, folder: Path) -> tuple[dict[str, Any], str]:
    """The section of the results, and all its sentences."""
    built = results.build(found, Figures(folder))
    notes = ("note", "text_note", "marks", "difference", "pairs_note", "pairs_text_note")
    return built, " ".join([*built["answer"], *(built[note] for note in notes)]).replace("\N{NO-BREAK SPACE}", " ")


def compared(right: np.ndarray, metric: str = "top1") -> Any:
    """Evidence of a comparison alone."""
    names = list("abcdefgh")[: len(right)]
    settings = Aggregate(compare=metric)  # type: ignore[arg-type]
    rows = compare.rows(compare.one_split(right, right, settings), names, settings)
    text = [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    means = {
        name: {"mean": float(table.mean()), "images": 9, "groups": 9} for name, table in zip(names, right, strict=True)
    }
    return Known(
        comparisons=text, variants=names, intervals=means, metric=metric, margin=0.01, alpha=0.05, named=False,
        summary={}, study=SimpleNamespace(seeds=list(range(right.shape[1]))), split={"splits": [{}]},
        images=lambda _: right.shape[2], parts=[], few_groups=0, settings=SimpleNamespace(metrics=[metric]),
    )  # fmt: skip


def drawn(shares: list[list[float]], images: int = 100) -> np.ndarray:
    """Right answers (variants, seeds, images) with these shares of each run, on images of one order of difficulty."""
    return np.array(
        [[[i < round(share * images) for i in range(images)] for share in seeds] for seeds in shares], dtype=int
    )


def test_seeds_far_apart_name_no_tie() -> None:
    """Two seeds 40 points apart say nothing: a headline as with one seed, and no ties."""
    known = compared(drawn([[0.9, 0.5], [0.5, 0.3], [0.3, 0.31]]))
    ranks = ranking.ranking(known)
    assert ranks.silent == ranking.FEW
    assert {(row["verdict"], row["variances"]) for row in known.comparisons} == {("undecided", "own")}
    first, second = ranking.answer(known, ranks)
    assert first == "a has the best top-1 on this test set (n = 100, 2 seeds): 70.0 %, 30.0 points ahead of b."
    assert second == f"This does not decide between the variants: {ranking.FEW}."
    assert set(ranks.tied.values()) == {page.MISSING}
    notes = f"{uncertainty.means(known, ranks)} {uncertainty.pairs(known, ranks, 'Small print')}"
    assert "(Bonferroni)" in notes
    assert "each pair is judged by its own two variants alone" in notes
    assert "“Tied with” is empty" in notes
    assert "tied with" not in notes.lower().replace("“tied with”", "")


def test_a_large_difference_is_decided_though_seeds_vary_unequally() -> None:
    known = compared(drawn([[0.97, 0.98, 0.96], [0.88, 0.95, 0.79], [0.2, 0.2, 0.2]], 400))
    ranks = ranking.ranking(known)
    assert not ranks.silent
    assert [row["verdict"] for row in known.comparisons] == ["undecided", "a better", "a better"]
    first, second = ranking.answer(known, ranks)
    assert "The comparison of a with b is not decided" in first
    assert second.startswith("a is ahead of c by 77.0 points")


def test_runs_that_agree_to_the_last_digit_decide_nothing() -> None:
    known = compared(drawn([[1.0, 1.0], [0.0, 0.0]]))
    ranks = ranking.ranking(known)
    assert ranks.silent == ranking.AGREE
    (row,) = known.comparisons
    assert row["verdict"] == "refused"
    assert [row[key] for key in ("p_joint", "p_equal", "joint_ci_low", "probability_a_better")] == [""] * 4
    assert ranking.answer(known, ranks)[1] == f"This does not decide between the variants: {ranking.AGREE}."
    notes = uncertainty.pairs(known, ranks, "Small print")
    assert "No verdict is given here" in notes
    assert "New run" not in notes
    assert np.isnan(ranks.pairs["a", "b"].probability_a_better)


@pytest.mark.parametrize("seeds", [2, 3])
def test_identical_variants_are_not_refused_and_equal_ones_are(seeds: int) -> None:
    one = np.random.default_rng(0).integers(0, 2, (1, seeds, 200))
    same = compared(np.concatenate([one, one]))
    assert not ranking.ranking(same).silent
    steady = drawn([[0.5] * seeds, [0.5] * seeds])
    equal = compared(np.stack([steady[0], steady[1][:, ::-1]]))  # other images, the same mean
    assert float(equal.comparisons[0]["difference"]) == 0
    assert ranking.ranking(equal).silent  # the runs do not vary, so nothing shows that the variants are equal
    assert "No verdict is given" not in uncertainty.pairs(same, ranking.ranking(same), "")


def test_a_variant_that_never_varies_refuses_nothing() -> None:
    """A class prior beside networks with three seeds: they are judged as they are without it."""
    rng = np.random.default_rng(0)
    moving = np.array(
        [[rng.permutation(row) for row in seeds] for seeds in drawn([[0.8, 0.7, 0.75], [0.78, 0.7, 0.74]], 400)]
    )
    constant = np.broadcast_to(np.arange(400) < 40, (1, 3, 400)).astype(int)
    alone, beside = compared(moving), compared(np.concatenate([moving, constant]))
    assert alone.comparisons[0]["verdict"] == beside.comparisons[0]["verdict"] == "undecided"
    assert beside.comparisons[0]["standard_error"] == alone.comparisons[0]["standard_error"]
    assert [row["verdict"] for row in beside.comparisons[1:]] == ["a better"] * 2


def test_luck_is_that_of_the_variants_tied_at_the_top() -> None:
    """The expected largest of two normal values is their SD / sqrt(pi); one that is ahead of all has none."""
    rng = np.random.default_rng(4)
    shares = np.array([[0.8] * 4, [0.79] * 4, [0.2] * 4])
    right = (rng.random((3, 4, 1000)) < shares[..., None]).astype(int)
    known = compared(right)
    ranks = ranking.ranking(known)
    assert len(ranks.like_the_best()) == 2
    error = float(known.comparisons[0]["standard_error"]) / np.sqrt(2)
    assert uncertainty.luck(ranks) == pytest.approx(error / np.sqrt(np.pi), rel=1e-6)
    assert "the 2 variants that are tied at the top were equal" in uncertainty.first(known, ranks)
    ahead = compared(right[[0, 2]])
    assert uncertainty.luck(ranking.ranking(ahead)) == 0
    assert uncertainty.first(ahead, ranking.ranking(ahead)) == ""
    single = compared(right[:, :1])
    assert "by the luck of the test images alone" in uncertainty.first(single, ranking.ranking(single))
    assert "If all 3 variants were equal" in uncertainty.first(single, ranking.ranking(single))


@pytest.mark.parametrize(
    ("margin", "metric", "words"),
    [
        (0.01, "top1", "1 point"),
        (0.015, "top1", "1.5 points"),
        (0.004, "macro_f1", "0.4 points"),
        (0.07, "top1", "7 points"),
        (0.025, "nll", "0.025"),
    ],
)
def test_a_margin_stands_as_it_was_set(margin: float, metric: str, words: str) -> None:
    assert page.apart(margin, metric) == words
    rng = np.random.default_rng(1)
    known = compared((rng.random((2, 3, 20_000)) < 0.5).astype(int), metric)
    known.margin = margin
    known.comparisons[0]["verdict"] = "equal"
    ranks = ranking.ranking(known)
    assert f"are equal within {words} on this test set" in ranking.answer(known, ranks)[0]
    assert f"less than {words} (`aggregate.margin`)" in uncertainty.pairs(known, ranks, "Small print")
    assert results._verdict(known, ranks.pairs["a", "b"]) == f"equal within {words}"


def test_one_seed_of_a_metric_that_a_run_has_once(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        found = studied(tmp_path, Made(seeds=1), compare="robustness_drop")
        built, text = said(found, tmp_path)
    for row in found.comparisons:
        assert (row["covers"], row["verdict"]) == ("nothing", "undecided")
        assert "nan" not in row.values()
    for row in built["pairs"]:
        assert (row["p"], row["p_adjusted"], row["chance"], row["wide"]) == (page.MISSING,) * 4
        assert row["interval"] == ""
    assert "Column “robustness drop, 95 %”: left empty, because one run gives one number" in text
    assert "interval over" not in text.replace("no interval over seeds", "")
    assert "Wilson" not in text
    assert "one run gives one number" in text


def test_several_seeds_of_a_metric_that_a_run_has_once(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        found = studied(tmp_path, Made(seeds=3), compare="robustness_drop")
        _, text = said(found, tmp_path)
    assert {row["covers"] for row in found.comparisons} == {"seeds"}
    assert "Every verdict is for new seeds, with this split and these test images." in text
    assert "new test images" not in text
    assert "Wilson" not in text
    assert "Top-1 on the test set: mean (square), 95 % t-interval over seeds (line)" in text


def test_other_metrics_have_students_interval_and_the_picture_shows_top_1(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        found = studied(tmp_path, Made(variants=2, seeds=4), compare="nll")
        built, text = said(found, tmp_path)
    assert "(Student's interval, widened by the variation between seeds)" in text
    assert "Wilson" not in text
    assert "Top-1 on the test set: mean (square), 95 % t-interval over seeds (line)" in text
    assert "in the order of NLL" in built["forest"].alt
    assert "best first" not in built["forest"].alt


def test_runs_that_agree_to_the_last_digit_show_no_variation() -> None:
    """No interval of no width: not of a mean, and not of a difference of drops."""
    drops = np.array([[[0.1]] * 3, [[0.2]] * 3])
    (row,) = compare.rows(
        compare.one_split(drops, drops, Aggregate(compare="robustness_drop")),
        ["a", "b"],
        Aggregate(compare="robustness_drop"),
    )
    assert (row["verdict"], row["ci_low"], row["p"], row["p_joint"]) == ("refused", None, None, None)


def test_a_mean_without_sd_has_no_interval(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        make(tmp_path, Made(variants=1, seeds=3))
        for seed in range(3):
            path = f"results/variant_0/{seed}/evaluate/metrics.csv"
            rows = files.read_rows(path)
            same = [
                row | {"value": "0.91" if (row["split"], row["metric"]) == ("val", "top1") else row["value"]}
                for row in rows
            ]
            files.write_rows(path, list(rows[0]), same)
        aggregate.main()
        found = evidence.read()
        cell = found.shown("variant_0", "val", "top1")
        note = uncertainty.spread(found, small_print=True)
    assert cell == {"value": "91.0 ± 0.0", "interval": ""}
    assert "t-interval of the mean over seeds, where the seeds differ." in note


def test_a_published_test_set_with_splits_of_the_rest(tmp_path: Path) -> None:
    """One variant: there is no comparison, and its interval still says what it is for."""
    with contextlib.chdir(tmp_path):
        found = studied(tmp_path, Made(variants=1, seeds=4, seeds_per_split=2))
        assert "new images of this kind, new splits and new seeds" in said(found, tmp_path)[1]
        assert "training and test images" in " ".join(results._design(found, ["split"]))
        assert "test sets of 60 images each" in " ".join(caveats._data(found))
        found.__dict__["fixed"] = True
        _, text = said(found, tmp_path)
        assert "new training images of this kind, new splits and new seeds, on this test set" in text
        assert "these images and new seeds" not in text
        how = " ".join(results._design(found, ["split"]))
        assert "training and validation images" in how
        assert "one test set of 60 images" in " ".join(caveats._data(found))


def test_whether_the_test_set_is_fixed_is_counted() -> None:
    first = pd.DataFrame({"image_id": ["a", "b", "c"], "split": ["test", "val", "train"]})
    other = first.assign(split=["test", "train", "val"])
    moved = first.assign(split=["train", "val", "test"])
    fixed = evidence.StudyEvidence.fixed.func  # type: ignore[attr-defined]
    assert fixed(SimpleNamespace(parts=[first, other]))
    assert not fixed(SimpleNamespace(parts=[first, other, moved]))


def test_nothing_transformed_is_no_robustness(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        found = studied(tmp_path, Made(variants=1, seeds=1, transforms=0))
        for path in tmp_path.glob("results/*/*/evaluate/robustness.csv"):
            rows = files.read_rows(path)
            files.write_rows(path, list(rows[0]), rows[:1])
        assert predictions.robustness(found, Figures(tmp_path)) is None


def test_a_list_of_suspects_that_is_switched_off_says_so(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        found = studied(tmp_path, Made(variants=1, seeds=1), suspects={"most": 0})
        assert (
            galleries.suspects(found, Figures(tmp_path))["sentence"]
            == "Not listed, because `aggregate.suspects.most` is 0."
        )


def test_the_text_names_nothing_that_it_lacks(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        found = studied(tmp_path, Made(variants=2))
        built, _ = said(found, tmp_path)
        swept = training.sweeps(found, Figures(tmp_path))
    assert swept is not None
    for text in (built["text_note"], built["pairs_text_note"], swept["text_note"]):
        assert "mall print" not in text
        assert "★" not in text
    assert "`reports/summary.csv` has the 95 % t-interval of each mean" in built["text_note"]
    assert "Interval: the interval of the pair by itself" in built["pairs_text_note"]
    assert "Small print: the 95 % t-interval" in built["note"]
