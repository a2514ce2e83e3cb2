from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest

from stages.report import caveats, page, ranking, training
from stages.report.ranking import Comparison
from tests.report.made_study import Known


def pair(a: str, b: str, *, decided: bool) -> Comparison:
    verdict = "a better" if decided else "undecided"
    return Comparison(a, b, 0.1, 0.0, 0.2, -0.1, 0.3, 0.5, 0.5, 0.1, 0.75, 0.02, "images and seeds", verdict)


def both(*pairs: Comparison) -> dict[tuple[str, str], Comparison]:
    return {(p.variant_a, p.variant_b): p for p in pairs} | {(p.variant_b, p.variant_a): p.turned() for p in pairs}


def test_ties_are_the_ranks_that_were_not_told_apart() -> None:
    pairs = both(
        *(pair(a, b, decided=(a, b) in {("a", "c"), ("b", "d")}) for a, b in itertools.combinations("abcd", 2))
    )
    assert ranking.tied(dict(zip("abcd", range(1, 5), strict=True)), pairs) == {
        "a": "2, 4",
        "b": "1, 3",
        "c": "2, 4",
        "d": "1, 3",
    }
    assert ranking.tied({"a": 1, "b": 2}, both(pair("a", "b", decided=True))) == {"a": "none", "b": "none"}
    five = both(*(pair(a, b, decided=False) for a, b in itertools.combinations("abcde", 2)))
    assert ranking.tied(dict(zip("abcde", range(1, 6), strict=True)), five)["b"] == "1, 3-5"


def test_a_comparison_turned_twice_is_itself() -> None:
    one = pair("a", "b", decided=True)
    assert one.turned().verdict == "b better"
    assert one.turned().turned() == one


def test_the_front_holds_what_nothing_cheaper_reaches() -> None:
    front = training.front({"a": 1, "b": 2, "c": 3, "d": 3}, {"a": 0.5, "b": 0.4, "c": 0.6, "d": 0.7})
    assert front == ["a", "d"]


def test_a_sweep_is_a_difference_in_one_setting() -> None:
    settings = {
        "slow": {"lr": 0.001, "model.name": "cnn"},
        "fast": {"lr": 0.1, "model.name": "cnn"},
        "other": {"lr": 0.1, "model.name": "mlp"},
        "odd": {"lr": 0.5, "model.name": "vit"},
    }
    assert training.groups(settings) == [("lr", ["slow", "fast"]), ("model.name", ["fast", "other"])]


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.98765, "top1", "98.8"),
        (0.98765, "top3", "98.8"),
        (0.98765, "loss", "0.988"),
        (4429747044350.0, "loss", "4.43e12"),
        (-0.5, "mcc", "−0.500"),  # noqa: RUF001
        (math.nan, "loss", "–"),  # noqa: RUF001
    ],
)
def test_numbers_are_printed_in_their_unit(value: float, metric: str, text: str) -> None:
    assert page.number(value, metric) == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "< .001"), (0.0456, ".046"), (0.9989, ".999"), (1.0, "> .999"), (0.9999, "> .999")]
)
def test_p_values(p: float, text: str) -> None:
    assert page.p_value(p) == text


@pytest.mark.parametrize(
    ("varied", "words"),
    [
        (["loss.label_smoothing"], "differ in label smoothing: their losses are not on one scale"),
        (["loss.class_weights"], "differ in class weights: their losses are not on one scale"),
        (["loss.label_smoothing", "loss.class_weights"], "differ in label smoothing and class weights: their losses"),
    ],
)
def test_losses_on_different_scales_are_flagged(varied: list[str], words: str) -> None:
    configs = {(variant, 0): {"epochs_run": 5, "cell": {}} for variant in "ab"}
    evidence: Any = Known(variants=["a", "b"], study=SimpleNamespace(seeds=[0]), configs=configs)
    (line,) = caveats.unfair(evidence, varied)
    assert words in line
    assert caveats.unfair(evidence, ["lr"]) == []
    assert caveats.unfair(evidence, ["lr", "threads", "channels_last"]) == []
    assert "differ in lr and batch." in caveats.unfair(evidence, ["lr", "batch", "threads"])[0]
    configs["b", 0]["epochs_run"] = 3
    assert "not trained for the same number of epochs (a 5, b 3)" in caveats.unfair(evidence, ["lr"])[0]


@pytest.mark.parametrize(
    ("metric", "ends"),
    [
        ("top1", (0.0, 1.0)),
        ("top3", (0.0, 1.0)),
        ("auroc", (0.0, 1.0)),
        ("mcc", (-1.0, 1.0)),
        ("loss", (0.0, 1.5)),
        ("temperature", (0.0, 1.5)),
    ],
)
def test_an_interval_ends_where_its_metric_ends(metric: str, ends: tuple[float, float]) -> None:
    assert page.within(-1.5, 1.5, metric) == ends
    assert page.within(0.25, 0.75, metric) == (0.25, 0.75)
    assert page.within(None, None, metric) == (None, None)


def test_the_accuracy_among_any_number_of_classes_is_in_percent() -> None:
    assert [page.metric_name(name) for name in ("top1", "top3", "top10")] == ["Top-1 %", "Top-3 %", "Top-10 %"]


def test_nothing_has_no_sign() -> None:
    assert [page.number(x, "top1") for x in (-0.0001, -0.0, 0.0, -0.001)] == ["0.0", "0.0", "0.0", "−0.1"]  # noqa: RUF001
    assert page.signed(-0.0001, "top1") == "+0.0"


def test_sizes_have_a_prefix_and_a_unit() -> None:
    sizes = [page.size(120, "B"), page.size(3_280_000, "B"), page.size(0), page.size(11_144_906)]
    assert sizes == ["120 B", "3.28 MB", "0", "11.1 M"]
    assert [page.size(n) for n in (999, 999.6, 999_499, 999_500, 2.5e12)] == ["999", "1 k", "999 k", "1 M", "2.5 T"]
