"""Claims of the page about pairs, intervals and means: each is counted, or left out where it would not be true."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from stages.report import page, predictions, ranking, results, uncertainty
from tests.report.made_study import Known, Made
from tests.report.test_report_ranking import of_splits
from tests.report.test_report_sentences import compared, said, studied

if TYPE_CHECKING:
    from pathlib import Path


def steps(rng: np.random.Generator, share: list[float], seeds: int = 3, images: int = 400) -> np.ndarray:
    """Right or wrong (variants, seeds, images)."""
    return (rng.random((len(share), seeds, images)) < np.array(share)[:, None, None]).astype(int)


def pairs(known: Any) -> str:
    return uncertainty.pairs(known, ranking.ranking(known), "Small print")


def test_decided_pairs_whose_own_interval_includes_0_are_counted() -> None:
    known = compared(steps(np.random.default_rng(1), [0.5, 0.7, 0.9]))
    assert [row["verdict"] for row in known.comparisons] == ["b better"] * 3
    assert "also if only" not in pairs(known)
    known.comparisons[1]["ci_high"] = "0.01"
    text = pairs(known)
    assert "also if only its interval by itself includes 0 (here 1 of 3 decided pairs): all variants together" in text
    assert "rare" not in text


def test_a_single_pair_on_several_splits_has_one_interval_and_no_reverse() -> None:
    known = of_splits([400] * 5, np.random.default_rng(2), variants=2)
    (row,) = known.comparisons
    assert float(row["ci_low"]) == pytest.approx(float(row["joint_ci_low"]), abs=1e-4)
    text = pairs(known)
    assert "also if only" not in text
    assert "It is wider" not in text
    assert "the pair is not decided" not in text


def test_a_single_pair_says_why_the_interval_that_decides_is_wider() -> None:
    """Three runs that agree by chance: by itself the pair is clear, and the images would leave more variation."""
    rng = np.random.default_rng(0)
    right = np.array([[rng.permutation(200) < n for _ in range(3)] for n in (100, 108)]).astype(int)
    known = compared(right)
    (row,) = known.comparisons
    assert float(row["joint_ci_high"]) > float(row["ci_high"]) + 0.01
    assert "It is wider than the interval of the pair by itself: few seeds may agree by chance" in pairs(known)


@pytest.mark.parametrize("copies", [2, 3])
def test_identical_predictions_are_explained_and_no_interval_is_promised(copies: int) -> None:
    one = steps(np.random.default_rng(3), [0.8])
    text = pairs(compared(np.repeat(one, copies, axis=0)))
    assert text.startswith("Identical predictions: both variants gave the same answer to each of these test images")
    for word in ("All pairs at once", "verdict is for", "decided", "New run"):
        assert word not in text
    text = pairs(compared(np.concatenate([np.repeat(one, copies, axis=0), steps(np.random.default_rng(4), [0.6])])))
    assert "Identical predictions: " in text
    assert text.startswith("Every other verdict is for new seeds")
    assert "All other pairs are not decided" not in text
    assert "Not decided: neither of these" in text


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_the_compared_metric_has_a_column(seeds: int, tmp_path: Path) -> None:
    """Also where `report.metrics` does not name it; two seeds leave only the interval of a single variant empty."""
    with contextlib.chdir(tmp_path):
        found = studied(tmp_path, Made(variants=2, seeds=seeds), compare="nll")
        built, text = said(found, tmp_path)
    assert "nll" not in found.settings.metrics
    assert built["columns"][-1] == ("nll", "NLL")
    row = built["splits"][0]["rows"][0]
    assert row["cells"][-1] == found.shown(row["variant"], "test", "nll")
    assert (row["whole"] == page.MISSING) == (seeds == 2)
    assert ("Column “NLL, 95 %”: left empty, because two seeds" in text) == (seeds == 2)


def test_all_that_share_the_best_mean_are_named() -> None:
    one = steps(np.random.default_rng(5), [0.8])
    other = one.copy()
    other[:, :, :3] = 1 - other[:, :, :3]
    other[0, 0, 3] = 0 if one[0, 0, 3] else 1
    right = np.concatenate([one, one, other])
    right[2, :, :20] = 0
    known = compared(right)
    ranks = ranking.ranking(known)
    assert [ranks.rank[v] for v in "abc"] == [1, 1, 3]
    assert ranking.answer(known, ranks)[0].startswith(
        "c is statistically tied with a, which shares the best mean with b, on this test set"
    )


def test_two_variants_on_two_splits_are_not_called_tied() -> None:
    """30 points apart: before, "are statistically tied". The interval is Student's with one degree of freedom."""
    known = of_splits([60] * 2, np.random.default_rng(7), variants=2)
    (row,) = known.comparisons
    assert (row["verdict"], row["variances"]) == ("undecided", "own")
    assert float(row["joint_ci_low"]) == pytest.approx(float(row["ci_low"]))
    ranks = ranking.ranking(known)
    text = " ".join([*ranking.answer(known, ranks), pairs(known)])
    assert "tied with" not in text
    assert "are statistically tied" not in text
    assert "so few splits cannot show how much each variant varies" in text


def test_far_variants_are_not_called_tied_where_each_pair_is_judged_by_its_own_runs() -> None:
    """The runs of b are unsteady; a is ahead of c, which is steady, and not of b, though b is behind by a lot."""
    right = steps(np.random.default_rng(1), [0.95, 0.5, 0.02], images=1000)
    right[1, 0, :300] = 1
    known = compared(right)
    ranks = ranking.ranking(known)
    assert {row["variances"] for row in known.comparisons} == {"own"}
    assert [ranks.pairs["a", other].decided for other in "bc"] == [False, True]
    first, second = ranking.answer(known, ranks)
    behind = 100 * (right[0].mean() - right[1].mean())
    assert behind > 30
    assert f"The comparison of a with b is not decided: the mean of b is {behind:.2f} points away, but so few" in first
    assert "a is ahead of c by" in second
    assert "tied" not in first + second
    note = uncertainty.means(known, ranks)
    assert "Column “No decision against”: the ranks against which there is no decision" in note
    assert "tied" not in note
    assert ranks.tied == {"a": "2", "b": "1", "c": "none"}


def test_a_network_that_is_wrong_is_called_miscalibrated_though_all_images_are_of_one_site() -> None:
    """Sure to .85 and right in .45: a site is not right or wrong as a whole, and aggregate draws its images, too."""
    rng, ids = np.random.default_rng(0), [str(i) for i in range(200)]
    table = pd.DataFrame({"image_id": ids, "split": "test", "confidence": rng.uniform(0.8, 0.9, 200)})
    for few, verdict in ((1, "miscalibrated"), (0, "no sign of miscalibration")):
        known: Any = Known(
            summary={("a", "test", "ece"): SimpleNamespace(mean=0.4)}, alpha=0.05, study=SimpleNamespace(seeds=[0]),
            manifest=pd.DataFrame({"image_id": ids, "group_id": "site"}), few_groups=few, named=True,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(predictions, "table", lambda *_: table)
            assert predictions._calibrated(known, "a", 15)["verdict"] == verdict
        assert ("upper bound" in predictions.note(known)) == (not few)
        assert ("right or wrong together" in predictions.note(known)) == (not few)


def test_a_part_without_an_interval_has_a_dash() -> None:
    cell = results._sd({"sd": "0.0", "sd_low": "", "sd_high": ""}, 1)
    assert cell == {"value": "0.00", "interval": "–"}  # noqa: RUF001
