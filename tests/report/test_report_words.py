"""Words that depend on what was trained, and words about choices and pairs: true of data whose truth is known."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from stages.aggregate import compare
from stages.aggregate.params import Aggregate
from stages.core import files, sprite
from stages.core.errors import UserError
from stages.report import (
    caveats,
    galleries,
    page,
    ranking,
    results,
    training,
    uncertainty,
)
from stages.report.evidence import MetricSummary
from stages.tools import sweep
from stages.tools.sweep import Experiment
from tests.report.made_study import Known

PRIOR = {"model": {"name": "random"}, "lr": 0.5, "batch": 7, "epochs": 0, "checkpoint": "last", "augment": "none"}
CNN = {"model": {"name": "cnn"}, "lr": 0.1, "batch": 50, "epochs": 4, "checkpoint": "last", "augment": "none"}
DRAWN: Any = SimpleNamespace(canvas=lambda *size: Figure(figsize=size), add=lambda *told, **_: told[2])


def told(**cells: dict[str, Any]) -> Any:
    """Evidence of variants with these settings, two seeds on one split of 100 training images."""
    configs = {
        (name, seed): {
            "cell": cell, "epochs_run": cell.get("ran", sum(p["epochs"] for p in cell.get("phases") or [cell])),
            "normalisation": [{"name": "scale"}],
        }
        for name, cell in cells.items() for seed in (0, 1)
    }  # fmt: skip
    counts = {"train": {"a": 100}, "val": {"a": 5}, "test": {"a": 9}}
    return Known(
        variants=list(cells), study=SimpleNamespace(seeds=[0, 1]), configs=configs, metric="top1",
        split={"splits": [{"seeds": [0, 1], "counts": counts}], "seed": 0},
    )  # fmt: skip


def everything(known: Any) -> str:
    """All that is said of training, less the list of variants that are not trained."""
    settings = training.resolved(known)
    varied = training.varied({v: settings[v] for v in settings if settings[v]["model.name"] != "random"})
    said = [*caveats.unfair(known, varied), *caveats._seeds(known), *caveats._tuning(known), caveats._fitted(known)]
    return " ".join(line for line in said if "not trained and" not in line)


def test_what_is_not_trained_has_no_rate_no_batch_and_no_seed() -> None:
    """Only the trained ones count: what is said of them is the same without the class prior, but for who they are."""
    known = told(E0=PRIOR, E1=CNN, E2=CNN | {"batch": 25})
    text, alone = everything(known), everything(told(E1=CNN, E2=CNN | {"batch": 25}))
    assert "E0" not in text
    assert "Every trained variant was trained with 2 seeds" in text
    assert "not trained for the same number" not in text
    assert "batch size (E1 50; E2 25) and updates (E1 8; E2 16)" in text
    assert text.replace("very trained variant", "very variant").replace("all trained", "all") == alone
    assert "E0 is not trained and gives every image the shares" in caveats._seeds(known)[0]
    drop = CNN | {"model": {"name": "cnn", "dropout": 0.5}}
    assert caveats.changed(told(E0=PRIOR, E1=drop))[-1] == "dropout"


def test_only_a_class_prior_is_not_said_to_be_trained() -> None:
    known = told(E0=PRIOR)
    assert caveats._tuning(known) == []
    assert not any("A seed changes" in line for line in caveats._seeds(known))


@pytest.mark.parametrize(
    ("phases", "epochs", "differ"),
    [([{"epochs": 10}, {"epochs": 20}], 30, False), ([{"epochs": 10}, {"epochs": 10}], 30, True)],
)
def test_epochs_differ_where_more_or_fewer_were_run(phases: list[dict[str, int]], epochs: int, differ: bool) -> None:
    whole, parts = CNN | {"epochs": epochs, "phases": None}, CNN | {"epochs": None, "phases": phases, "batch": 25}
    known = told(one=whole, two=parts)
    text = everything(known)
    assert ("Variants differ in batch, epochs and phases." in text) == differ
    assert ("Variants differ in batch and phases." in text) != differ
    assert (f"epochs ({epochs})" in text) != differ
    assert "this study cannot say which of them is the cause" in text
    assert "is the cause." in text
    assert "none of them" not in text


def test_a_limit_that_stopped_runs_did_not_reach_still_differs() -> None:
    """Both stopped after 5 epochs; a schedule over 30 or 60 epochs made other rates of it."""
    known = told(one=CNN | {"epochs": 30, "ran": 5}, two=CNN | {"epochs": 60, "ran": 5, "batch": 25})
    assert "differ in batch and epochs" in everything(known) or "differ in epochs and batch" in everything(known)


@pytest.mark.parametrize(
    ("values", "first", "words"),
    [
        ([1 / 3, 1 / 3], "v0", "validation does not tell v0 and v1 apart (33.3 %); the first is shown; its test top-1"),
        ([0.1 + 0.2, 0.2, 0.3], "v0", "validation does not tell v0 and v2 apart (30.0 %)"),  # 5e-17 apart
        ([0.3, 0.3001], "v1", "validation chooses v1; its test top-1"),
    ],
)
def test_equal_results_on_validation_choose_nothing(
    values: list[float], first: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_chart", lambda *_, **__: "")
    names = [f"v{i}" for i in range(len(values))]
    summary = {(v, s, "top1"): MetricSummary(1, x, None, None, None) for v, x in zip(names, values, strict=True)
               for s in ("val", "test")}  # fmt: skip
    known: Any = Known(summary=summary, digits=1)
    found = training._sweep(known, "lr", list(enumerate(names)), DRAWN, "sweep_1")
    assert [row["variant"] for row in found["rows"] if row["chosen"]] == [first]
    for template in ("sweeps.html.j2", "sweeps.md.j2"):
        shown = {"sweeps": [found | {"figure": {"svg": "", "alt": "", "name": ""}}], "note": "", "text_note": ""}
        text = page.render(template, {"sweeps": shown, "spread": "", "section": {"title": ""}})
        assert words in text
    experiments = [
        Experiment(v, {"lr": i}, 2, {"a": {"val": (x, None), "test": (x, None)}})
        for i, (v, x) in enumerate(zip(names, values, strict=True))
    ]
    chosen = [row["chosen"] for row in sweep.choose("lr", experiments) if row["chosen"]]
    assert chosen == (["yes"] if "chooses" in words else ["first of 2 equal"])


def test_the_table_of_results_has_what_a_sweep_does_not_show() -> None:
    note = training._sweep_note(Known(study=SimpleNamespace(seeds=[0])))
    assert "shown here only for the chosen value; the table of results has all" in note


def test_a_curve_ends_where_its_seed_ends() -> None:
    """Three seeds with early stopping: the longest is the worst."""
    ends = {0: (10, 0.90), 1: (12, 0.60), 2: (10, 0.92)}
    rows = [
        {"variant": "a", "seed": seed, "epoch": epoch, "split": split, "loss": 1.0, "top1": end * (epoch / last)}
        for seed, (last, end) in ends.items() for epoch in range(1, last + 1) for split in ("val", "train")
    ]  # fmt: skip
    known: Any = Known(curves=pd.DataFrame(rows).sample(frac=1, random_state=0))
    mean = 100 * sum(end for _, end in ends.values()) / 3
    assert f"at the end train {mean:.1f} %, validation {mean:.1f} %" in str(training._curves(known, "a", DRAWN))


def compared(right: np.ndarray) -> Any:
    """Evidence of a comparison of variants of one seed or more."""
    settings, names = Aggregate(), list("abcdefgh")[: len(right)]
    rows = compare.rows(compare.one_split(right, right, settings), names, settings)
    text = [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    means = {v: {"mean": float(x.mean()), "images": 9, "groups": 9} for v, x in zip(names, right, strict=True)}
    return Known(
        comparisons=text, variants=names, intervals=means, metric="top1", margin=0.01, alpha=0.05, named=False,
        study=SimpleNamespace(seeds=list(range(right.shape[1]))), split={"splits": [{}]}, images=lambda _: 8, digits=1,
        parts=[], few_groups=0,
    )  # fmt: skip


def test_one_seed_decides_nothing_and_two_accuracies_are_100_points_apart_at_most() -> None:
    """Eight images, as in bananas_proof: the interval for all pairs at once would be wider than what there can be."""
    rng = np.random.default_rng(0)
    known = compared((rng.random((8, 1, 8)) < 0.3).astype(float))
    ranks = ranking.ranking(known)
    text = uncertainty.pairs(known, ranks, "Small print")
    assert "No variant is called better" in text
    assert "decide:" not in text
    assert "verdict is for" not in text
    assert "pairs at once" not in text
    rows = results._pair_rows(known, ranks)
    assert {(row["wide"], row["p_adjusted"]) for row in rows} == {("–", "–")}  # noqa: RUF001
    ends = [float(end.replace(chr(0x2212), "-")) for row in rows for end in row["interval"].split(" to ")]
    assert -100 <= min(ends) < max(ends) <= 100


def test_several_seeds_decide() -> None:
    right = (np.random.default_rng(1).random((3, 3, 400)) < np.array([0.5, 0.7, 0.9])[:, None, None]).astype(float)
    known = compared(right)
    text = uncertainty.pairs(known, ranking.ranking(known), "Small print")
    assert text.startswith("Every verdict is for new seeds and new test images")
    assert "Each of these intervals decides its pair: if it includes 0, neither of the two variants is called" in text


@pytest.mark.parametrize(
    ("metric", "least", "most"),
    [("top1", 0, 1), ("auroc", 0, 1), ("mcc", -1, 1), ("robustness_drop", -1, 1), ("nll", 0, 1e9)],
)
def test_a_difference_ends_where_two_values_can_be_no_further_apart(metric: str, least: float, most: float) -> None:
    ends = [a - b for a, b in itertools.product((least, most), repeat=2)]
    low, high = page.between(-1e9, 1e9, metric)
    assert (low, high) == (min(ends), max(ends))
    assert page.between(-0.25, 0.5, metric) == (-0.25, 0.5)
    assert page.within(least, most, metric) == (least, most), "a value may stand at either end"


@pytest.mark.parametrize(("share", "wrong"), [(0.3, 2), (0.5, 3), (0.8, 5)])
def test_how_many_networks_contradict_a_label_is_as_it_was_set(share: float, wrong: int, tmp_path: Path) -> None:
    """`wrong` of 5 networks: just enough for the rule."""
    row = {"image_id": "i", "split": "test", "label": "a", "predicted": "b", "cells": 5, "wrong": wrong,
           "confidence": 0.9, "found": 1}  # fmt: skip
    raw = {"aggregate": {"suspects": {"share": share}}}
    known: Any = Known(
        ledger=pd.DataFrame({"image_id": ["i"], "path": ["p"]}), settings=SimpleNamespace(suspects=5),
        parts=[pd.DataFrame({"image_id": ["i"], "split": ["test"]})], study=SimpleNamespace(raw=raw),
    )  # fmt: skip
    assert wrong > share * 5 >= wrong - 1
    with contextlib.chdir(tmp_path):
        for rows in ([], [row]):
            sheet = {"px": 8, "columns": 10, "tiles": [{"image_id": "i"}]}
            files.write_json("reports/pictures/samples.json", sheet)
            sprite.write(Path("reports/pictures/samples.jpg"), [np.zeros((8, 8, 3), np.uint8)])
            files.write_rows(tmp_path / "reports/suspects.csv", list(row), rows)
            found = galleries.suspects(known, DRAWN)
            assert f"more than {round(100 * share)} % of the networks" in found["sentence"]
            assert "most" not in found["sentence"]
    html = page.render("suspects.html.j2", {"suspects": found})
    assert f"{wrong} of 5 networks are wrong" in html
    assert "by " not in html.split("labelled <strong>")[1], "not all of them predict the same"


def test_the_legend_says_first_whatever_the_metric_is() -> None:
    shown = {"note": "", "few": False, "variants": ["a", "b"], "charts": [], "rows": []}
    html = page.render("robustness.html.j2", {"robustness": shown, "spread": ""})
    assert "a (first in the ranking)" in html
    assert "best mean" not in html


@pytest.mark.parametrize(
    ("extra", "words"),
    [({}, "initial weights and the order of the images."), ({"augment": "x"}, "images and the augmentation.")],
)
def test_initialisation_is_what_a_seed_changes_here(extra: dict[str, Any], words: str) -> None:
    known = told(a=CNN | extra)
    known.fixed, known.split = False, {"splits": [{"seeds": [0]}, {"seeds": [1]}]}
    assert words in results._design(known, ["initialisation", "split", "total"])[1].split("“Split”")[0]
    assert "in this study" in caveats._fitted(known)


def test_the_page_of_experiments_says_what_validation_does_not_tell_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top1: dict[str, tuple[float, float | None]] = {"val": (0.5, None), "test": (0.4, None)}
    with contextlib.chdir(tmp_path):
        sweep.write("made", "lr", [Experiment(str(lr), {"lr": lr}, 1, {"a": top1}) for lr in (0.1, 0.2)])
        html = (tmp_path / "sweeps/lr/index.html").read_text("utf-8")
    told = "0.1 (first of 2 equal: validation does not tell them apart)"
    assert f"★ {told}</td>" in html
    assert "0.2</td>" in html
    assert "shown here only for the chosen value." in html
    assert f"lr = {told}, validation top-1 50.0 %, test 40.0 %" in "".join(capsys.readouterr())


def test_a_likely_label_error_without_a_picture_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    """The page was made alone (`make page`) after `report.suspects` was raised."""
    row = {"image_id": "i", "found": 1}
    known: Any = Known(settings=SimpleNamespace(suspects=5))
    with contextlib.chdir(tmp_path):
        files.write_json("reports/pictures/samples.json", {"tiles": []})
        files.write_rows("reports/suspects.csv", list(row), [row])
        with pytest.raises(UserError, match=r"no picture of i, .*; `dvc repro pictures` makes it"):
            galleries.suspects(known, DRAWN)
