"""A copy shows the whole frame, in place and in its own colours; what shows less, or elsewhere, is another picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from stages.clean.compare import prove
from stages.clean.opencv import frame
from stages.clean.params import Match

from .conftest import Raw, photo, scene

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[Image.Image], Image.Image]

WIDTH, HEIGHT = 320, 240  # px, of `scene`
COPIES: dict[str, tuple[int, dict[str, Any]]] = {
    "jpeg 75": (1, {"format": "JPEG", "quality": 75}),
    "half": (2, {"format": "JPEG", "quality": 90}),
    "webp": (1, {"format": "WEBP", "quality": 80}),
    "png": (1, {"format": "PNG"}),
}


def copied(image: Image.Image, name: str) -> bytes:
    """The picture, made smaller and encoded."""
    divisor, save = COPIES[name]
    buffer = io.BytesIO()
    image.resize((WIDTH // divisor, HEIGHT // divisor), Image.Resampling.LANCZOS).save(buffer, **save)
    return buffer.getvalue()


def cropped(image: Image.Image, share: float) -> Image.Image:
    """The middle of it, of `share` of each side."""
    x, y = WIDTH * (1 - share) / 2, HEIGHT * (1 - share) / 2
    return image.crop((round(x), round(y), round(WIDTH - x), round(HEIGHT - y)))


def on_white(image: Image.Image, x: int) -> Image.Image:
    board = Image.new("RGB", (WIDTH, HEIGHT), "white")
    board.paste(image.resize((140, 105)), (x, 60))
    return board


def collage(image: Image.Image) -> Image.Image:
    both = Image.new("RGB", (2 * WIDTH, HEIGHT))
    both.paste(image, (0, 0))
    both.paste(scene(99), (WIDTH, 0))
    return both


def painted(image: Image.Image, ink: tuple[int, int, int]) -> Image.Image:
    image = image.copy()
    ImageDraw.Draw(image).rectangle((90, 60, 180, 150), ink)
    return image


def shadowed(image: Image.Image) -> Image.Image:
    """With a shadow without any edge, of 8 grey levels."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    shadow = 8 * np.exp(-((((x - 120) / 80) ** 2 + ((y - 110) / 70) ** 2) ** 2))
    return Image.fromarray(np.clip(np.asarray(image) - shadow[..., None], 0, 255).astype(np.uint8))


def paler(image: Image.Image) -> Image.Image:
    """With four fifths of its contrast, about the mean of each channel."""
    pixels = np.asarray(image, np.float64)
    mean = pixels.mean(axis=(0, 1))
    return Image.fromarray(np.rint(mean + 0.8 * (pixels - mean)).astype(np.uint8))


def same(image: Image.Image) -> Image.Image:
    return image


KEPT: dict[str, tuple[Change, Change]] = {
    "crop": (same, lambda i: cropped(i, 0.95)),
    "collage": (same, collage),
    "tilt": (same, lambda i: i.rotate(2, Image.Resampling.BICUBIC)),
    "place": (lambda i: on_white(i, 40), lambda i: on_white(i, 130)),
    "zoom": (same, lambda i: cropped(i, 0.98).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)),
    "tint": (lambda i: painted(i, (170, 150, 130)), lambda i: painted(i, (190, 146, 130))),
    "shadow": (same, shadowed),
    "paler": (same, paler),
    "cast": (same, lambda i: i.point([min(v + 6, 255) for v in range(256)] + 2 * list(range(256)))),
}


def statuses(raw: Raw) -> list[str]:
    return sorted(row["status"] for row in raw.ledger().values())


@pytest.mark.parametrize("name", COPIES)
def test_a_whole_copy_is_dropped(name: str, raw: Raw) -> None:
    raw.add("a/1.png", scene(1))
    raw.add(f"a/2.{COPIES[name][1]['format']}", copied(scene(1), name))
    raw.add("a/3.png", scene(2))
    raw.run()
    assert statuses(raw) == ["duplicate", "kept", "kept"]
    assert raw.ledger()["a/3.png"]["status"] == "kept"


@pytest.mark.parametrize("save", [{"format": "PNG"}, {"format": "JPEG", "quality": 85}], ids=["png", "jpeg"])
@pytest.mark.parametrize("name", KEPT)
def test_what_shows_less_or_elsewhere_is_kept_and_is_no_conflict(name: str, save: dict[str, Any], raw: Raw) -> None:
    first, second = KEPT[name]
    raw.add("one/1.jpg", first(scene(1)), "one", save=save)
    raw.add("two/2.jpg", second(scene(1)), "two", save=save)
    done = raw.run()
    assert not done.conflicts
    assert statuses(raw) == ["kept", "kept"]
    assert len({row["group_id"] for row in raw.manifest()}) == 1


OLD = {"drop_moved": 9, "drop_contrast": 99, "drop_soft": 99, "drop_level": 10}


@pytest.mark.parametrize(
    ("name", "match"),
    [("crop", OLD), ("zoom", OLD), ("tint", OLD), ("cast", OLD), ("paler", OLD),
     ("zoom", {"drop_moved": 9}), ("tint", {"drop_soft": 99}), ("shadow", {"drop_soft": 99}),
     ("cast", {"drop_level": 10}), ("paler", {"drop_contrast": 0.3})],
)  # fmt: skip
def test_each_threshold_is_what_keeps_it(name: str, match: dict[str, float], raw: Raw) -> None:
    first, second = KEPT[name]
    raw.add("a/1.png", first(scene(1)))
    raw.add("a/2.png", second(scene(1)))
    raw.run(match=match)
    assert statuses(raw) == ["duplicate", "kept"]


def shift(a: Image.Image, b: Image.Image) -> float:
    """How far the one lies from the other, px, by phase correlation."""
    one, other = (np.asarray(i.convert("L").resize((WIDTH, HEIGHT)), np.float64) for i in (a, b))
    (x, y), _ = cv2.phaseCorrelate(one, other, cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_64F))
    return float(np.hypot(x, y))


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("seed", range(3))
def test_registration_of_a_copy_stays_in_place_and_is_believed(seed: int, name: str) -> None:
    original = scene(seed)
    copy = Image.open(io.BytesIO(copied(original, name))).convert("RGB")
    assert shift(original, copy) < 0.25  # a sixth of what is allowed
    a, b = np.asarray(original), np.asarray(copy)
    assert prove(a, b, frame(a, b), Match()) == prove(a, b, frame(a, b), Match(drop_moved=9))


@pytest.mark.parametrize("moved", [2, 5])
def test_registration_that_leaves_the_frame_is_not_believed(moved: int) -> None:
    wide = photo(3, WIDTH + moved, HEIGHT)
    left, right = wide.crop((0, 0, WIDTH, HEIGHT)), wide.crop((moved, 0, WIDTH + moved, HEIGHT))
    assert shift(left, right) == pytest.approx(moved, abs=0.2)
    a, b = np.asarray(left), np.asarray(right)
    registered, framed = (prove(a, b, frame(a, b), Match(drop_moved=most)) for most in (9, 0))
    assert registered is not None
    assert framed is not None
    assert registered.largest < 0.5 < framed.largest
    assert prove(a, b, frame(a, b), Match()) == framed
