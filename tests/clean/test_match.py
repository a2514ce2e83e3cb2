"""What counts as the same picture, and what as similar."""

from __future__ import annotations

import io
import itertools
import os
import platform
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from stages.clean import match

from .conftest import Raw, photo, scene

if TYPE_CHECKING:
    from collections.abc import Callable


def saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def bannered(image: Image.Image) -> Image.Image:
    wide = ImageOps.expand(image, (0, 30, 0, 0), "white")
    ImageDraw.Draw(wide).text((10, 5), "a banner", "black", font_size=18)
    return wide


SAME: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda i: i.resize((i.width // 2, i.height // 2)),
    "recompressed": lambda i: saved(i, 60),
    "png": lambda i: i,
}
SIMILAR: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "turned": lambda i: i.transpose(Image.Transpose.ROTATE_90),
    "turned a little": lambda i: i.rotate(5),
    "crop": lambda i: i.crop((60, 20, 250, 180)),
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.2),
    "bordered": lambda i: ImageOps.expand(i, 40, "white"),
    "bannered": bannered,
    "heavily recompressed": lambda i: saved(i, 8),
}


@pytest.mark.parametrize("name", SAME)
def test_a_copy_is_dropped(name: str, raw: Raw) -> None:
    raw.add("a/original.jpg", scene(1), save={"quality": 92})
    raw.add("a/other.jpg", scene(2))
    raw.add("a/copy.png", SAME[name](Image.open(raw.root / "data/raw/files/a/original.jpg")))
    raw.run()
    assert sorted(r["status"] for r in raw.ledger().values()) == ["duplicate", "kept", "kept"]
    assert raw.ledger()["a/other.jpg"]["status"] == "kept"


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("mirrored", "turned", "crop", "brighter") else pytest.param(name, marks=pytest.mark.slow)
        for name in SIMILAR
    ],
)
def test_what_may_be_another_shot_is_kept_and_kept_together(name: str, raw: Raw) -> None:
    raw.add("a/original.png", scene(1))
    raw.add("a/other.png", scene(2))
    raw.add("a/copy.png", SIMILAR[name](scene(1)))
    raw.run()
    ledger = raw.ledger()
    groups = {r["image_id"]: r["group_id"] for r in raw.manifest()}
    home = {path: groups[row["image_id"] or row["duplicate_of"]] for path, row in ledger.items()}
    assert home["a/original.png"] == home["a/copy.png"] != home["a/other.png"]


def test_a_turned_copy_is_named_and_never_a_conflict(raw: Raw) -> None:
    raw.add("left/1.png", scene(1), "left")
    raw.add("right/1.png", ImageOps.mirror(scene(1)), "right")
    done = raw.run()
    ledger = raw.ledger()
    assert not done.conflicts
    assert ledger["left/1.png"]["status"] == ledger["right/1.png"]["status"] == "kept"
    assert "shows right/1.png mirrored" in ledger["left/1.png"]["detail"]


def test_where_turning_changes_nothing_a_turned_copy_is_dropped(raw: Raw) -> None:
    raw.add("a/1.png", scene(1))
    raw.add("a/2.png", ImageOps.mirror(scene(1)))
    raw.run(match={"turned": "drop"})
    assert sorted(r["status"] for r in raw.ledger().values()) == ["duplicate", "kept"]
    assert any("mirrored" in r["detail"] for r in raw.ledger().values())


@pytest.mark.parametrize("change", ["scratch", "digit", "colour", "dot"])
def test_a_difference_in_a_small_place_is_no_copy(change: str, raw: Raw) -> None:
    first, second = scene(1), scene(1)
    one, two = ImageDraw.Draw(first), ImageDraw.Draw(second)
    if change == "scratch":
        two.line((150, 100, 156, 128), "white", 3)
    elif change == "digit":
        for draw, text in ((one, "12.99"), (two, "18.99")):
            draw.rectangle((200, 180, 250, 200), "white")
            draw.text((204, 182), text, "black", font_size=14)
    elif change == "colour":
        one.ellipse((100, 100, 112, 112), (200, 30, 30))
        two.ellipse((100, 100, 112, 112), (30, 105, 30))
    else:
        two.ellipse((40, 60, 46, 66), "black")
    raw.add("good/1.jpg", first, "good", save={"quality": 95})
    raw.add("bad/2.jpg", second, "bad", save={"quality": 85})
    raw.run()
    assert [r["status"] for r in raw.ledger().values()] == ["kept", "kept"]


def test_one_smooth_background_with_other_grain_is_no_copy(raw: Raw) -> None:
    ground = np.asarray(Image.linear_gradient("L").resize((256, 256)).convert("RGB"), np.float64) / 2 + 60
    for seed in range(6):
        noisy = ground + np.random.default_rng(seed).normal(0, 5, ground.shape)
        raw.add(f"a/{seed}.jpg", Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), save={"quality": 95})
    raw.run()
    assert {r["status"] for r in raw.ledger().values()} == {"kept"}


def test_two_outlines_that_agree_are_not_similar(raw: Raw) -> None:
    """Two shirts on two floors: one silhouette, other folds."""
    mask = Image.new("L", (240, 300))
    ImageDraw.Draw(mask).polygon(
        [(20, 60), (80, 30), (160, 30), (220, 60), (190, 110), (180, 280), (60, 280), (50, 110)], 255
    )
    for seed in range(8):
        floor, cloth = photo(seed, 240, 300), photo(100 + seed, 240, 300).point(lambda v: v // 2)
        raw.add(f"a/{seed}.jpg", Image.composite(cloth, floor, mask))
    done = raw.run()
    assert not done.groups


def test_small_pictures_are_the_same_only_when_every_pixel_is(raw: Raw) -> None:
    rng = np.random.default_rng(0)
    digit = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    almost = digit.copy()
    almost[4, 4] ^= 1
    for name, pixels in (("1", digit), ("2", almost), ("3", digit)):
        raw.add(f"a/{name}.png", Image.fromarray(pixels))
    raw.add("a/4.bmp", Image.fromarray(digit))
    raw.run()
    reasons = {path: row["reason"] for path, row in raw.ledger().items()}
    # the uncompressed file counts as the least compressed
    assert reasons == {"a/1.png": "same_pixels", "a/2.png": "", "a/3.png": "same_pixels", "a/4.bmp": ""}


def test_copies_of_thumbnails_are_found(raw: Raw) -> None:
    for seed in range(4):
        raw.add(f"a/{seed}.png", scene(seed).resize((32, 32)))
    raw.add("a/mirrored.png", ImageOps.mirror(scene(2).resize((32, 32))))
    raw.add("a/again.jpg", scene(3).resize((32, 32)), save={"quality": 90})
    raw.run()
    groups = {r["image_id"]: r["group_id"] for r in raw.manifest()}
    ledger = raw.ledger()
    home = {path: groups[row["image_id"] or row["duplicate_of"]] for path, row in ledger.items()}
    assert home["a/2.png"] == home["a/mirrored.png"]
    assert home["a/3.png"] == home["a/again.jpg"]
    assert len(set(home.values())) == 4


def aeroplane(sky: int, x: int, y: int, size: int) -> Image.Image:
    """A dark aeroplane before a sky with its own clouds and grain, 32x32 px."""
    rng = np.random.default_rng(sky)
    clouds = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8)).resize((128, 128), Image.Resampling.BICUBIC)
    light = np.linspace(120, 170, 128)[:, None] + 0.12 * np.asarray(clouds, np.float64) + rng.normal(0, 6, (128, 128))
    image = Image.fromarray(np.clip(light[..., None] + [-30, 0, 40], 0, 255).astype(np.uint8))
    outline = [(0, 50), (45, 35), (60, 0), (70, 2), (65, 38), (90, 42), (100, 25), (100, 60), (65, 60), (72, 100),
               (60, 100), (45, 62)]  # fmt: skip
    ImageDraw.Draw(image).polygon([(x + a * size / 100, y + b * size / 125) for a, b in outline], (40, 40, 50))
    return image.resize((32, 32), Image.Resampling.BOX)


def test_thumbnails_of_one_outline_are_not_similar_but_copies_of_one_are(raw: Raw) -> None:
    raw.add("a/1.png", aeroplane(1, 20, 30, 70))
    raw.add("a/2.png", aeroplane(3, 16, 28, 76))
    raw.add("a/1 again.jpg", aeroplane(1, 20, 30, 70).crop((0, 1, 30, 31)).resize((32, 32)), save={"quality": 30})

    def together() -> set[frozenset[str]]:
        groups = {r["image_id"]: r["group_id"] for r in raw.manifest()}
        home = {path: groups[row["image_id"] or row["duplicate_of"]] for path, row in raw.ledger().items()}
        return {frozenset(pair) for pair in itertools.combinations(home, 2) if home[pair[0]] == home[pair[1]]}

    raw.run()
    assert together() == {frozenset({"a/1.png", "a/1 again.jpg"})}
    raw.run(match={"small_moved": 2})  # outlines alone, wherever they are
    assert len(together()) == 3


def test_flat_pictures_are_not_alike(raw: Raw) -> None:
    for level in (10, 12, 14):
        raw.add(f"a/{level}.png", Image.new("RGB", (64, 64), (level,) * 3))
    raw.run()
    assert len({r["group_id"] for r in raw.manifest()}) == 3


def test_links_beyond_the_cap_are_reported(raw: Raw) -> None:
    for k in range(5):
        raw.add(f"a/{k}.png", scene(1).rotate(4 * k))
    done = raw.run(match={"max_group": 2})
    assert max(len(g) for g in done.groups) == 2
    assert done.cut
    assert all(done.entries[p.a].group_id != done.entries[p.b].group_id for p in done.cut)


EVIDENCE = """
import numpy as np
from stages.clean.compare import compare
from stages.clean.describe import Features
from stages.clean.search import fit
from tests.clean.conftest import scene
for seed in range(8):
    one = scene(seed)
    other = one.rotate(2).crop((13 + seed % 4, 5, 307, 230))
    a, b = (np.asarray(image) for image in (one, other))
    found = fit(Features.of(a).upright, Features.of(b).upright)
    print(compare(a, b, found.warp, found))
"""
FEWER = {"OPENCV_CPU_DISABLE": "AVX2,FP16,AVX", "OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V3"}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names instructions of x86-64")
def test_a_processor_with_fewer_instructions_sees_the_same() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", EVIDENCE], env=os.environ | less, capture_output=True, text=True, check=True
        ).stdout
        for less in ({}, FEWER)
    }
    assert len(told) == 1
    assert told.pop().count("Evidence") == 8


def test_threads_see_the_bits_that_this_thread_sees(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Callable[..., object], tuple[object, ...], object]] = []

    def recorded(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            seen.append((function, arguments, function(*arguments)))
            return seen[-1][2]

        return call

    for name in ("compare", "prove"):
        monkeypatch.setattr(match, name, recorded(getattr(match, name)))
    for seed in range(4):
        raw.add(f"a/{seed}.jpg", scene(seed), save={"quality": 92})
        raw.add(f"a/half-{seed}.jpg", scene(seed).resize((160, 120)), save={"quality": 60})
        raw.add(f"a/turned-{seed}.jpg", scene(seed).rotate(3).crop((20, 20, 300, 220)))
    raw.run(workers=3)
    assert Counter(function.__name__ for function, _, _ in seen) >= Counter(compare=12, prove=4)
    assert [function(*arguments) for function, arguments, _ in seen] == [found for _, _, found in seen]


def banner(text: str, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((height // 4, height // 8), text, "black", font_size=height * 0.6)
    return image


@pytest.mark.parametrize(
    "size",
    [
        (1000, 70),
        (90, 1600),
        (330, 66),
        *(pytest.param(size, marks=pytest.mark.slow) for size in ((1600, 90), (12000, 64))),
    ],
)
def test_a_strip_is_compared_like_any_picture(size: tuple[int, int], raw: Raw) -> None:
    turn = size[0] < size[1]
    width, height = max(size), min(size)
    for name, text in (("one", "Evenhand compares 12.99"), ("other", "Opening hours 8 to 20")):
        for quality in (95, 80):
            image = banner(text, width, height)
            image = image.transpose(Image.Transpose.ROTATE_90) if turn else image
            raw.add(f"a/{name}{quality}.jpg", image, save={"quality": quality})
    raw.run()
    groups = {row["image_id"]: row["group_id"] for row in raw.manifest()}
    ledger = raw.ledger()
    kept = {name: row for name, row in ledger.items() if row["status"] == "kept"}
    assert {row["label"] for row in kept.values()} == {"a"}
    together = [{groups[ledger[n]["image_id"] or ledger[n]["duplicate_of"]] for n in ledger if text in n}
                for text in ("one", "other")]  # fmt: skip
    assert [len(group) for group in together] == [1, 1]
    assert not together[0] & together[1]
