"""Copies of known photographs are found, and pictures that differ in one place or by a turn are left alone.

The stage is asked as a whole, by `benchmarks/made`; `python -m benchmarks.copies` gives all figures.
"""

from __future__ import annotations

import io
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks import copies
from benchmarks.made import hard, kinds, photographs, stage

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SHARED = stage.CODE.parent / "shared/data"
QUICK = ("arrows drawn", "arrows in place", "b d p q", "6 9 drawn", "clocks", "scratches", "tags 12 px", "lamps",
         "grey 16 to 254", "grey 16 to 4095", "icons white")  # fmt: skip
EASY = ("reencoded 90", "reencoded 50", "resized to 0.5", "brightened", "grey", "bordered", "watermark", "caption",
        "banner", "centre crop 0.9", "centre crop 0.7", "mirrored", "rotated 90", "rotated 180")  # fmt: skip


def shots(source: str, count: int, seed: int = 0) -> list[photographs.Photograph]:
    try:
        return photographs.SOURCES[source](SHARED, count, np.random.default_rng(seed))
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename} is not there")


def values(picture: hard.Picture) -> np.ndarray:
    """What a reader sees, 0 to 255: 16 bits are spread over their own range, and opacity is a channel of its own."""
    array = np.asarray(Image.open(io.BytesIO(picture.content))).astype(np.float32)
    return array if array.ndim == 3 else (array - array.min()) / np.ptp(array) * 255


def apart(a: np.ndarray, b: np.ndarray, side: int) -> float:
    """The largest difference of one place of `side` x `side` pixels, in grey levels."""
    return float(np.abs(cv2.blur(a - b, (side, side))).max()) if a.shape == b.shape else np.inf


@pytest.mark.parametrize("name", [name for name in hard.SETS if name not in hard.NOISE_ALONE])
def test_pictures_of_a_hard_set_differ_in_a_place_that_can_be_seen(name: str) -> None:
    pictures = [values(p) for p in hard.SETS[name](6, 0)]
    assert len(pictures) == 6
    for a, b in combinations(pictures, 2):  # noise and JPEG 92: 18 at most, 4.3 of 11 x 11 px
        assert apart(a, b, 3) > 24 or apart(a, b, 11) > 6


def test_a_seed_gives_the_same_bytes_and_another_seed_another_set() -> None:
    assert hard.SETS["cups"](6, 1) == hard.SETS["cups"](6, 1)
    assert not {p.content for p in hard.SETS["cups"](6, 1)} & {p.content for p in hard.SETS["cups"](6, 2)}
    first, other = (copies.copies(shots("objects", 2, seed), list(kinds.KINDS), seed) for seed in (1, 2))
    assert first == copies.copies(shots("objects", 2, 1), list(kinds.KINDS), 1)
    assert not set(first.values()) & set(other.values())
    assert len(set(first.values())) == 2 * (len(kinds.KINDS) + 1)


def left_alone(name: str, count: int, root: Path) -> None:
    pictures = hard.SETS[name](count, 0)
    stage.lay(root, [(p.path, p.content, p.label) for p in pictures])
    done = stage.cleaned(root, {})
    assert {reason.partition(" ")[0] for reason in done.reasons} == {"kept"}, done.reasons
    assert done.reasons.total() == count


@pytest.mark.parametrize("name", QUICK)
def test_nothing_of_a_hard_set_is_dropped(name: str, tmp_path: Path) -> None:
    left_alone(name, 12, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arrows drawn", "clocks", "tags 20 px", "scratches"])
def test_nothing_of_a_large_hard_set_is_dropped(name: str, tmp_path: Path) -> None:
    left_alone(name, 40, tmp_path)


@pytest.mark.parametrize("name", [name for name in QUICK if name not in hard.NOISE_ALONE])
def test_copies_of_a_hard_set_are_kept_with_their_own_originals(name: str, tmp_path: Path) -> None:
    pictures = hard.SETS[name](8, 0)
    stage.lay(tmp_path, [(p.path, p.content, p.label) for p in [*pictures, *map(hard.again, pictures)]])
    done = stage.cleaned(tmp_path, {})
    own = {frozenset((p.path, hard.again(p).path)) for p in pictures}
    assert all(done.together(*pair) for pair in own)
    assert {frozenset(pair) for pair in done.dropped.items()} <= own
    assert not done.conflicts


def test_a_pattern_that_repeats_is_not_laid_on_itself_elsewhere(tmp_path: Path) -> None:
    # knitting that lacks another stitch: three stitches further on, both faults lie beyond the overlap
    left, right = (hard.again(p) for p in hard.SETS["stitches"](40, 7) if p.path in {"left/023.jpg", "right/029.jpg"})
    stage.lay(tmp_path, [(p.path, p.content, p.label) for p in (left, right)])
    done = stage.cleaned(tmp_path, {})
    assert not done.conflicts
    assert done.similar == [(left.path, right.path)]


def together(root: Path, some: list[photographs.Photograph], names: list[str]) -> tuple[dict[str, float], int, int]:
    """Recall by kind; groups and drops that mix strangers."""
    pictures = copies.copies(some, names, 0)
    stage.lay(root, [(path, content, "one") for path, content in pictures.items()])
    done = stage.cleaned(root, {})
    recall = copies.recall(pictures, done.together)
    homes: dict[str, set[str]] = {}
    shows = {s.name: s.shows for s in some}
    for path, home in done.homes.items():
        homes.setdefault(home, set()).add(shows[path.split("/")[0]])
    wrong = sum(a.split("/")[0] != b.split("/")[0] for a, b in done.dropped.items())
    return recall, sum(len(shown) > 1 for shown in homes.values()), wrong


def test_copies_of_photographs_that_packages_bring_are_found(tmp_path: Path) -> None:
    recall, mixed, wrong = together(tmp_path, shots("packages", 6), list(EASY))
    assert np.mean(list(recall.values())) >= 0.9
    assert min(recall[name] for name in EASY[:5]) == 1
    assert (mixed, wrong) == (0, 0)


def test_shots_of_different_things_on_a_white_board_are_never_the_same(tmp_path: Path) -> None:
    _, mixed, wrong = together(tmp_path, shots("objects", 12), ["reencoded 50"])
    assert wrong == 0
    assert mixed <= 1  # groups that keep two things together, which costs a split little


@pytest.mark.slow
@pytest.mark.weekly
@pytest.mark.parametrize("source", ["bananas", "garments"])
def test_copies_alone_in_their_folder_are_found(source: str) -> None:
    recall = copies.alone(copies.copies(shots(source, 2), list(kinds.KINDS), 0), {})["alone"]
    assert min(recall[name] for name in EASY) >= 0.8
    assert np.mean([recall[name] for name in EASY]) >= 0.95
    assert np.mean(list(recall.values())) >= 0.9


@pytest.mark.slow
def test_garments_of_which_no_two_are_the_same_are_hardly_ever_called_similar(tmp_path: Path) -> None:
    folder = SHARED / "clothes"
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    if not paths:
        pytest.skip(f"{folder} is not there")
    stage.lay(tmp_path, [(str(p.relative_to(folder)), p.read_bytes(), p.parent.name) for p in paths])
    done = stage.cleaned(tmp_path, {})
    assert not done.same
    assert len(done.similar) <= 5
    assert max(Counter(done.homes.values()).values()) <= 4
