from __future__ import annotations

import math

import pytest

from stages.report import cost, ranking, sweeps, wording
from stages.report.ranking import Pair


def pair(a: str, b: str, *, decided: bool) -> Pair:
    verdict = "a better" if decided else "undecided"
    return Pair(a, b, 0.1, 0.0, 0.2, 0.5, 0.5, 0.1, verdict, None, None)


def both(*pairs: Pair) -> dict[tuple[str, str], Pair]:
    return {(p.a, p.b): p for p in pairs} | {(p.b, p.a): p.turned() for p in pairs}


def test_letters_are_shared_by_those_who_cannot_be_told_apart_and_by_no_others() -> None:
    pairs = both(pair("a", "b", decided=False), pair("b", "c", decided=False), pair("a", "c", decided=True))
    assert ranking.letters(["a", "b", "c"], pairs) == {"a": "a", "b": "ab", "c": "b"}


def test_letters_hold_for_many_random_verdicts() -> None:
    names = [f"v{i}" for i in range(9)]
    for salt in range(20):
        pairs = both(
            *(
                pair(x, y, decided=(i * 7 + j * 13 + salt * i * j) % 5 > 2)
                for i, x in enumerate(names)
                for j, y in enumerate(names)
                if i < j
            )
        )
        found = ranking.letters(names, pairs)
        for (x, y), one in pairs.items():
            assert one.decided != bool(set(found[x]) & set(found[y]))


def test_a_comparison_turned_twice_is_itself() -> None:
    one = pair("a", "b", decided=True)
    assert one.turned().verdict == "b better"
    assert one.turned().turned() == one


def test_the_front_holds_what_nothing_cheaper_reaches() -> None:
    front = cost.front({"a": 1, "b": 2, "c": 3, "d": 3}, {"a": 0.5, "b": 0.4, "c": 0.6, "d": 0.7})
    assert front == ["a", "d"]


def test_a_sweep_is_a_difference_in_one_setting() -> None:
    settings = {
        "slow": {"lr": 0.001, "model.name": "cnn"},
        "fast": {"lr": 0.1, "model.name": "cnn"},
        "other": {"lr": 0.1, "model.name": "mlp"},
        "odd": {"lr": 0.5, "model.name": "vit"},
    }
    assert sweeps.groups(settings) == [("lr", ["slow", "fast"]), ("model.name", ["fast", "other"])]


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [(0.98765, "top1", "98.8"), (0.98765, "loss", "0.988"), (-0.5, "mcc", "−0.500"), (math.nan, "loss", "–")],  # noqa: RUF001
)
def test_numbers_are_printed_in_their_unit(value: float, metric: str, text: str) -> None:
    assert wording.number(value, metric) == text


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< .001"), (0.0456, ".046"), (1.0, "1"), (0.9999, "1.000")])
def test_p_values(p: float, text: str) -> None:
    assert wording.p_value(p) == text
