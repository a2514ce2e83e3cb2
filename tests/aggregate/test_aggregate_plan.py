# ruff: noqa: RUF001 - a dash is what is meant
"""What `make plan` says before a study: the difference that is decided in 80 of 100 studies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import statistics
from stages.aggregate import collect, compare, joint
from stages.aggregate.params import Aggregate
from stages.core import console, files, params
from stages.core.errors import UserError
from stages.tools import drawn, plan

ACCURACY = statistics.ACCURACY


def kept(variants: int, seeds: int, images: int, sd: float, studies: int) -> tuple[float, float]:
    """The planned difference, and how often simulated studies of pictures decide it."""
    parts = plan.stated(ACCURACY, sd / 100)
    planned = plan.smallest(parts, variants, seeds, images, 0.05, plan.largest(parts, "top1"))
    assert planned is not None
    rng = np.random.default_rng(13)
    ahead = planned if planned < 1 - ACCURACY else -planned
    made = [
        statistics.decided(statistics.simulate(rng, np.full(variants, sd), seeds, images, ahead))[1][: variants - 1]
        for _ in range(studies)
    ]
    return planned, float(np.mean(made))


@pytest.mark.parametrize(
    ("variants", "seeds", "images", "sd"),
    [
        (2, 2, 300, 1.0),
        (10, 3, 300, 0.0),
        (5, 3, 300, 1.0),
        *(pytest.param(*study, marks=pytest.mark.slow) for study in ((2, 2, 300, 0.0), (5, 5, 300, 1.0))),
    ],
)
def test_the_plan_is_kept(variants: int, seeds: int, images: int, sd: float) -> None:
    assert kept(variants, seeds, images, sd, 600)[1] == pytest.approx(0.8, abs=0.06)


@pytest.mark.slow
@pytest.mark.weekly
@pytest.mark.parametrize(
    ("variants", "seeds", "images", "sd"),
    [(5, 3, 1000, 1.0), (10, 3, 1000, 3.0), (2, 2, 1000, 3.0), (20, 5, 300, 1.0), (2, 10, 100, 0.0), (5, 10, 300, 3.0)],
)
def test_the_plan_is_kept_elsewhere(variants: int, seeds: int, images: int, sd: float) -> None:
    assert kept(variants, seeds, images, sd, 400)[1] == pytest.approx(0.8, abs=0.06)


def test_a_pilot_plans_as_its_pictures_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is stated: the figures of a small study of pictures are enough for one that keeps to its plan."""
    rng = np.random.default_rng(13)
    right = statistics.simulate(rng, np.ones(6), 20, 2000)
    images = [str(i) for i in range(2000)]
    found = collect.Tested(collect.SharedSplit(list(range(20)), {}), images, images, right, right, np.zeros(len(right)))
    monkeypatch.setattr(collect, "read", lambda _: [])
    monkeypatch.setattr(collect, "tested", lambda *_: [found])
    study: Any = SimpleNamespace(cells=[], seeds=list(range(20)), variants=list("abcdef"))
    parts = plan.pilot(study, Aggregate())
    assert parts.share == pytest.approx(ACCURACY, abs=0.02)
    assert np.sqrt(parts.seed) == pytest.approx(0.01, rel=0.2)
    ahead = plan.smallest(parts, 5, 3, 300, 0.05)
    assert ahead is not None
    made = [statistics.decided(statistics.simulate(rng, np.ones(5), 3, 300, ahead))[1][:4] for _ in range(600)]
    assert np.mean(made) == pytest.approx(0.8, abs=0.06)
    still = collect.Tested(found.split, images, images, np.ones_like(right), right, np.zeros(len(right)))
    monkeypatch.setattr(collect, "tested", lambda *_: [still])
    with pytest.raises(UserError, match="do not vary"):
        plan.pilot(study, Aggregate())


def test_two_seeds_of_many_variants_decide_nothing() -> None:
    """Simulated: even a variant that is 80 points behind is told from the others too seldom."""
    parts = plan.stated(ACCURACY, 0.0)
    assert plan.smallest(parts, 10, 2, 300, 0.05, plan.largest(parts, "top1")) is None
    rng = np.random.default_rng(3)
    made = [statistics.decided(statistics.simulate(rng, np.zeros(10), 2, 300, -0.8))[1][:9] for _ in range(200)]
    assert np.mean(made) < 0.8 - 0.1


def test_mean_squares_are_drawn_as_pictures_give_them() -> None:
    """Means and correlation of the mean squares of two pairs that share a variant."""
    draws, parts = drawn.Draws(20, 3, 200), drawn.Parts(0.0, 0.05, 0.03)
    assert np.mean(draws.seed) == pytest.approx(1, abs=0.03)
    rng = np.random.default_rng(0)
    seen = []
    own = rng.normal(0, np.sqrt(parts.image / 2), (300, 3, 1, 200))
    for one in own + rng.normal(0, np.sqrt(parts.rest), (300, 3, 3, 200)):
        spread = compare.spread(one, [(0, 1), (0, 2)])
        seen.append([spread.seed[0], spread.rest[0], *spread.image])
    mine = []
    for image, rest in zip(draws.image, draws.rest, strict=True):
        each = image[:3] * np.sqrt(parts.image / 2 + parts.rest / 3)
        left = rest[:3] * np.sqrt(parts.rest)
        pairs = [3 * ((each[0] - each[b]) ** 2).sum() - ((left[0] - left[b]) ** 2).sum() for b in (1, 2)]
        mine.append([parts.rest, (left[0] ** 2).sum(), *np.maximum(pairs, 0)])
    np.testing.assert_allclose(np.mean(mine, axis=0), np.mean(seen, axis=0), rtol=0.1)
    spread = np.std(mine, axis=0)[1:] / np.std(seen, axis=0)[1:]
    np.testing.assert_allclose(spread, 1, atol=0.2)
    assert np.corrcoef(np.transpose(mine)[2:])[0, 1] == pytest.approx(
        np.corrcoef(np.transpose(seen)[2:])[0, 1], abs=0.2
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_table_of_the_range_is_the_range(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    pairs, count = compare.all_pairs(6), 15
    for _ in range(5):
        squares = (0.1 * rng.chisquare(seeds - 1, 6) / (seeds - 1), np.full(6, 0.1), np.full(count, 0.05))
        judged = joint.family(joint.Spread(pairs, seeds, 300, 300, np.zeros(count), *squares))
        np.testing.assert_allclose(drawn.reach(judged, 0.05), judged.half(0.05), rtol=2e-3)


def test_at_its_own_level_a_share_has_the_variances_that_are_known() -> None:
    parts = plan.stated(0.85, 0.01)
    own, rest, apart = drawn._at(parts, 0.85)
    assert (own, rest, apart) == pytest.approx((parts.image / 2, parts.rest, 0), abs=1e-5)
    right = statistics.simulate(np.random.default_rng(0), np.zeros(2), 2, 400_000, 0.1)[0]  # another model of pictures
    own, rest, _ = drawn._at(parts, 0.95)
    assert rest == pytest.approx(np.diff(right.astype(float), axis=0).var() / 2, rel=0.1)


def test_more_images_help_unless_a_few_seeds_then_decide_alone() -> None:
    """What docs/statistics.md says of three seeds and many images."""
    rows = [
        {"variants": 5, "seeds": seeds, "images": n, "smallest_difference": found}
        for seeds in (3, 5)
        for n in (300, 10_000)
        if (found := plan.smallest(plan.stated(ACCURACY, 0.01), 5, seeds, n, 0.05))
    ]
    few, many = rows[:2], rows[2:]
    assert few[1]["smallest_difference"] > few[0]["smallest_difference"]
    assert many[1]["smallest_difference"] < many[0]["smallest_difference"]
    rng = np.random.default_rng(2)  # and so it is: what 300 images decide, many images do not
    share = [
        np.mean([
            statistics.decided(statistics.simulate(rng, np.ones(5), 3, n, few[0]["smallest_difference"]))[1][:4]
            for _ in range(60)
        ])
        for n in (300, 10_000)
    ]  # fmt: skip
    assert share[1] < share[0]


def test_a_dash_is_a_difference_that_cannot_be() -> None:
    """Not two seeds alone: of an SD of 40 points three show too little as well."""
    parts = plan.stated(0.5, 0.4)
    assert plan.largest(parts, "top1") == 0.5
    assert plan.smallest(parts, 2, 3, 300, 0.05, 0.5) is None
    rows = [{"variants": 2, "seeds": 3, "images": n, "smallest_difference": None} for n in plan.IMAGES]
    lines = plan._lines(rows, "points", 0.5)
    assert "–: above 50.0 points, and there is no larger difference." in lines
    assert not any("two seeds" in line for line in lines)
    assert plan.largest(drawn.Parts(0.1, 0.1, 0.1), "nll") == np.inf
    assert plan.largest(drawn.Parts(0.1, 0.1, 0.1), "robustness_drop") == 1


def test_a_plan_has_the_unit_of_its_metric(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "say", said.append)
    for name, few in (("VARIANTS", (2, 5)), ("SEEDS", (2, 3)), ("IMAGES", (100,))):
        monkeypatch.setattr(plan, name, few)
    found = drawn.Parts(0.04, 0.02, 0.01)
    monkeypatch.setattr(plan, "pilot", lambda *_: found)
    study = type("Study", (), {"raw": {"aggregate": {"compare": "nll"}}})
    monkeypatch.setattr(params, "read", lambda: study)
    monkeypatch.setattr("sys.argv", ["plan"])
    plan.main()
    assert said[1] == "The smallest difference, in NLL, that is decided with 80 % power:"
    smallest = plan.smallest(found, 2, 3, 100, 0.05)
    (row,) = [
        r for r in files.read_rows("plan/plan.csv") if (r["variants"], r["seeds"], r["images"]) == ("2", "3", "100")
    ]
    assert float(row["smallest_difference"]) == pytest.approx(smallest)
    assert f"{smallest:.3f}" in next(line for line in said if line.split()[:2] == ["2", "3"])
    of_two = [r["smallest_difference"] for r in files.read_rows("plan/plan.csv") if r["seeds"] == "2"]
    assert min(map(float, of_two)) > 1  # a loss has no largest difference
    assert not any(line.startswith("–") for line in said)
    monkeypatch.setattr("sys.argv", ["plan", "--accuracy", "0.85", "--seed-sd", "1.0"])
    plan.main()
    assert "in points," in next(line for line in said[2:] if "smallest" in line)
    assert "–: above 85.0 points, and there is no larger difference." in said
