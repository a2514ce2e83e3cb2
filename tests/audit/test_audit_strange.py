"""Which pictures are unlike all others; on made features, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.audit import strange

Floats = NDArray[np.floating[Any]]


def cloud(count: int = 200, strangers: int = 0, channels: int = 24) -> NDArray[np.float32]:
    """Features around two directions; the strangers, which come last, lie each in a direction of its own."""
    rng = np.random.default_rng(0)
    centres = np.eye(2, channels).repeat([count // 2, count - count // 2], 0) * 3
    own = np.eye(channels)[2 : 2 + strangers] * 3
    return (np.vstack([centres, own]) + rng.normal(0, 0.4, (count + strangers, channels))).astype(np.float32)


def by_hand(features: Floats) -> list[float]:
    """The mean cosine distance to the ten nearest others in medians, one picture at a time."""
    means = []
    for k, one in enumerate(features.astype(np.float64)):
        others = np.delete(features, k, axis=0).astype(np.float64)
        cosines = others @ one / np.linalg.norm(others, axis=1) / np.linalg.norm(one)
        means.append(float(np.mean(sorted(1 - cosines)[:10])))
    return [mean / float(np.median(means)) for mean in means]


@pytest.mark.parametrize("count", [11, 200, 201])
def test_the_distance_is_that_to_the_ten_nearest_in_medians(count: int) -> None:
    features = cloud(count)
    assert strange.distances(features) == pytest.approx(by_hand(features), abs=6e-4)


@pytest.mark.parametrize("strangers", [0, 1, 5])
def test_strangers_are_named_first_and_next_to_no_one_else(strangers: int) -> None:
    found = strange.distances(cloud(200, strangers))
    assert found is not None
    named = strange.places(found).tolist()
    assert sorted(named[:strangers]) == list(range(200, 200 + strangers))
    assert len(named) <= strangers + 1
    assert [found[k] for k in named] == sorted((found[k] for k in named), reverse=True)


def test_the_order_is_that_of_cleanlab() -> None:
    from cleanlab.outlier import OutOfDistribution

    features = cloud(200, 5)
    scores = OutOfDistribution({"k": 10}).fit_score(features=features.astype(np.float64), verbose=False)
    assert strange.distances(features) == pytest.approx(-np.log(scores), abs=6e-4)


def test_copies_that_were_kept_change_little_and_hide_no_stranger() -> None:
    """Each picture twice: the nearest other is itself. Ties keep the order of the manifest."""
    features = cloud(100, 3).repeat(2, 0)
    found = strange.distances(features)
    assert found is not None
    assert found == pytest.approx(by_hand(features), abs=6e-4)
    named = strange.places(found).tolist()
    assert sorted(named) == list(range(200, 206))
    assert all(one + 1 == other for one, other in zip(named[::2], named[1::2], strict=True))


def test_ties_and_a_spread_of_nothing() -> None:
    assert strange.places(np.array([1.0] * 20 + [1.25, 1.4, 1.4])).tolist() == [21, 22], "10 % is an ordinary spread"


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((0, 4), np.float32),
        np.ones((1, 4), np.float32),
        cloud(10),
        np.ones((40, 4), np.float32),
        np.vstack([np.ones((40, 24), np.float32), cloud(12)]),
    ],
    ids=["none", "one", "ten", "all the same", "most the same"],
)
def test_where_no_picture_has_neighbours_to_compare_with_nothing_is_said(features: NDArray[np.float32]) -> None:
    assert strange.distances(features) is None


def test_pictures_without_any_feature_do_not_end_it() -> None:
    features = cloud(60)
    features[7] = 0
    found = strange.distances(features)
    assert found is not None
    assert np.isfinite(found).all()
