"""The first look at many pairs."""

from __future__ import annotations

import numpy as np
import pytest

from stages.clean import shift

from .conftest import photo


def grey(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(photo(seed, 64, 64).convert("L").resize((48, 48)), np.float32)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, -2), (-4, 4)])
def test_a_shifted_picture_is_found_and_another_is_not(x: int, y: int) -> None:
    picture, other = grey(1), grey(2)
    right = picture[8:40, 8:40]
    left = picture[8 - y : 40 - y, 8 - x : 40 - x]  # what is at a place of `right` is x, y further on in `left`
    shifts, scores = shift.estimate(np.stack([left, other[8:40, 8:40], right]), [0, 1], [2, 2])
    assert np.abs(shifts[0] - [x, y]).max() <= 1  # the window draws it towards the middle
    assert scores[0] > 0.7
    assert scores[1] < 0.5


def test_no_row_depends_on_the_others() -> None:
    pictures = np.stack([grey(seed)[top : top + 32, :32] for top in (0, 3) for seed in range(40)])
    shifts, scores = shift.estimate(pictures, range(40), range(40, 80))
    for rows in (range(1), range(3, 20), range(39, 40)):
        both = np.concatenate([pictures[list(rows)], pictures[40:][list(rows)]])
        some, their = shift.estimate(both, range(len(rows)), range(len(rows), 2 * len(rows)))
        assert np.array_equal(some, shifts[list(rows)])
        assert np.array_equal(their, scores[list(rows)])
