"""Verdicts on learning curves, and likely label errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from stages.aggregate import collect, fit, images
from stages.aggregate.params import Fit, Suspects
from stages.core import cells, files
from tests.evaluate import made

if TYPE_CHECKING:
    from pathlib import Path


def trained(train: float, val: float, losses: list[float]) -> collect.CellResults:
    history = [{"epoch": str(i + 1), "val_loss": repr(loss)} for i, loss in enumerate(losses)]
    metrics = {("train", "top1"): train, ("val", "top1"): val}
    return collect.CellResults("one", 0, {"classes": list("abc")}, metrics, history, pd.DataFrame())


FLAT = [2.0, 1.0, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("cell", "verdict", "words"),
    [
        (trained(0.9, 0.85, FLAT), "fits", "5.0 points above"),
        (trained(0.99, 0.7, FLAT), "overfit", "29.0 points above"),
        (trained(0.3, 0.29, FLAT), "underfit", "on train is 30.0 %"),
        (trained(0.5, 0.45, FLAT), "fits", "5.0 points above"),  # 50 % is not "less than 50 %"
        (trained(0.7, 0.7, [2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.8, 0.6]), "underfit", "still fell by 40.0 %"),
        (trained(0.9, 0.85, [1.0, 0.5, 0.4, 0.4, 0.4, 0.5, 0.6, 0.6]), "overfit", "50.0 % above its lowest"),
        (
            trained(0.99, 0.96, [2.0, 0.5, 0.2, 0.15, 0.142, 0.14, 0.136, 0.132]),
            "fits",
            "(a change of less than 1 % of the loss of",
        ),
        (
            trained(1.0, 0.98, [1.0, 0.2, 0.1, 0.06, 0.06, 0.06, 0.065, 0.07]),
            "fits",
            "(a change of less than 1 % of the loss of",
        ),
        (trained(0.2, 0.2, []), "not trained", "no epoch"),
    ],
)
def test_verdict_and_its_rule(cell: collect.CellResults, verdict: str, words: str) -> None:
    (row,) = fit.verdicts([cell], Fit(), 0.05)
    assert row["verdict"] == verdict
    assert words in row["rule"]
    assert list(row) == fit.COLUMNS


def test_a_rule_that_the_seeds_leave_open_is_not_decided() -> None:
    """The figures are means over the seeds; a verdict needs their interval on one side of the limit."""
    (row,) = fit.verdicts([trained(1.0, 0.85, FLAT), trained(0.9, 0.87, FLAT)], Fit(), 0.05)
    assert row["gap"] == pytest.approx(0.09)
    assert row["verdict"] == "not decided"
    assert "the seeds leave open whether it is overfit" in row["rule"]
    falls = [[2.0, 1.5, 1.0, 1.0, 1.0, 1.0, 1.0, last] for last in (0.8, 0.95, 1.1)]  # a fall of 5 % +- 15 %
    (row,) = fit.verdicts([trained(0.9, 0.88, losses) for losses in falls], Fit(), 0.05)
    assert row["verdict"] == "not decided"
    (row,) = fit.verdicts([trained(0.9, 0.8 + i / 1000, FLAT) for i in range(3)], Fit(gap=0.05), 0.05)
    assert row["verdict"] == "overfit"


def test_the_list_of_suspects_says_how_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.study(tmp_path, {"weak": 0.1}, [0, 1], images=120)
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        made.evaluate("weak", seed)
    found = collect.read([("weak", 0), ("weak", 1)])
    whole = images.suspects(found, Suspects(confidence=0.0))
    cut = images.suspects(found, Suspects(confidence=0.0, most=2))
    assert len(whole) > 2
    assert [row["found"] for row in cut] == [len(whole)] * 2


def test_wrong_labels_come_first_and_only_unseen_images_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.study(tmp_path, {"strong": 9.0, "other": 9.0}, [0, 1], images=120)
    monkeypatch.chdir(tmp_path)
    split = {row["image_id"]: row["split"] for row in files.read_rows(cells.split_file(0))}
    unseen = [image for image, name in split.items() if name != "train"]
    wrong = set(unseen[:3]) | {image for image, name in split.items() if name == "train"}
    rows = files.read_rows("data/clean/manifest.csv")
    swap = {"ant": "bee", "bee": "cat", "cat": "ant"}
    relabelled = [row | {"label": swap[row["label"]] if row["image_id"] in wrong else row["label"]} for row in rows]
    files.write_rows("data/clean/manifest.csv", list(rows[0]), relabelled)
    wanted = [(variant, seed) for variant in ("strong", "other") for seed in (0, 1)]
    for variant, seed in wanted:
        made.evaluate(variant, seed)

    found = images.suspects(collect.read(wanted), Suspects())
    assert {row["image_id"] for row in found} == set(unseen[:3])
    for row in found:
        assert (row["wrong"], row["cells"], row["split"]) == (4, 4, split[row["image_id"]])
        assert swap[row["predicted"]] == row["label"]  # the label it had
        assert row["label_probability"] < 0.1
    order = [row["label_probability"] for row in found]
    assert order == sorted(order)


def test_a_class_prior_is_no_judge() -> None:
    table = pd.DataFrame({"split": ["test"], "image_id": ["a"], "label": ["x"], "predicted": ["y"]})
    table["confidence"], table["loss"] = 0.9, 3.0
    blind = collect.CellResults("prior", 0, {"cell": {"model": {"name": "random"}}}, {}, [], table)
    assert images.suspects([blind], Suspects()) == []
