"""Pictures that share a part: kept together, never dropped, and only where a part of the picture proves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from stages.clean import local
from stages.clean.params import Clean

from .conftest import Raw, photo

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("cv2")


def scene(seed: int, width: int = 480, height: int = 360) -> Image.Image:
    """A photograph with things in it: shapes of many sizes, each with a texture, over coloured noise."""
    rng = np.random.default_rng(seed)
    image = photo(seed, width, height)
    draw = ImageDraw.Draw(image)
    for _ in range(150):
        x, y, r = (int(v) for v in (rng.uniform(0, width), rng.uniform(0, height), 2 ** rng.uniform(2, 5)))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - r, y - r // 2, x + r, y + r), tuple(rng.integers(0, 256, 3).tolist()))
    return image


def banner(image: Image.Image) -> Image.Image:
    """Something advertised over a third of it."""
    other = image.copy()
    other.paste(scene(99, image.width, image.height // 3), (0, image.height - image.height // 3))
    return other


def montage(image: Image.Image) -> Image.Image:
    """A corner of it, in a corner of something else."""
    other = scene(98)
    other.paste(image.crop((0, 0, 300, 240)).resize((240, 192)), (230, 160))
    return other


SHARED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "zoomed": lambda i: i.crop((90, 60, 330, 240)).resize((500, 375)),
    "zoomed and mirrored": lambda i: ImageOps.mirror(i.crop((60, 90, 330, 270)).resize((400, 267))),
    "banner": banner,
    "montage": montage,
}


@pytest.mark.parametrize("name", SHARED)
def test_what_shares_a_part_is_kept_together(name: str, raw: Raw) -> None:
    raw.add("a/original.jpg", scene(1), save={"quality": 90})
    raw.add("a/other.jpg", scene(2), save={"quality": 90})
    raw.add("a/part.jpg", SHARED[name](scene(1)), save={"quality": 80})
    for match, groups in (({"local": None}, 3), ({}, 2)):
        raw.run(match=match)
        assert {r["status"] for r in raw.ledger().values()} == {"kept"}
        assert len({r["group_id"] for r in raw.manifest()}) == groups
    groups_of = {r["image_id"]: r["group_id"] for r in raw.manifest()}
    group = {path: groups_of[row["image_id"]] for path, row in raw.ledger().items()}
    assert group["a/original.jpg"] == group["a/part.jpg"] != group["a/other.jpg"]


def test_a_common_logo_is_no_common_part(raw: Raw) -> None:
    logo = scene(50, 480, 40)
    for seed in range(4):
        image = scene(seed)
        image.paste(logo, (0, 320))
        raw.add(f"a/{seed}.png", image)
    done = raw.run()
    assert done.described == 4
    assert any(p.verdict == "different" and p.crop_a == 2 for p in done.pairs)  # it was seen
    assert len({r["group_id"] for r in raw.manifest()}) == 4


def test_mirrored_descriptors_are_those_of_the_mirrored_picture() -> None:
    pixels = np.asarray(scene(3, 192, 144))
    own = local.describe(pixels, 60)
    turned = local.describe(np.ascontiguousarray(pixels[:, ::-1]), 60)
    cosine = local._mirrored(own.descriptors).astype(int) @ turned.descriptors.T.astype(int) / 127**2
    nearest = cosine.argmax(axis=1)
    there = turned.points[nearest] * [-1, 1] + [191, 0]
    assert (np.abs(there - own.points).max(axis=1) < 3).mean() > 0.7
    assert np.median(cosine.max(axis=1)) > 0.9


def test_features_come_back_from_the_cache() -> None:
    own = local.describe(np.asarray(scene(3, 192, 144)), 60)
    back = local.Features.unpacked(own.packed())
    assert np.array_equal(own.points, back.points)
    assert np.array_equal(own.descriptors, back.descriptors)
    assert len(local.describe(np.zeros((120, 120, 3), np.uint8), 60).points) == 0


def test_a_new_file_costs_its_own_features_alone(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    raw.cache = raw.root / ".cache/clean.sqlite"
    for seed in range(3):
        raw.add(f"a/{seed}.png", scene(seed))
    raw.run()
    described: list[int] = []
    describe = local.describe

    def counted(*arguments: Any) -> local.Features:
        described.append(1)
        return describe(*arguments)

    monkeypatch.setattr(local, "describe", counted)
    raw.run()
    assert not described
    raw.add("a/3.png", SHARED["zoomed"](scene(1)))
    raw.run()
    assert len(described) == 1
    assert len({r["group_id"] for r in raw.manifest()}) == 3


@pytest.mark.parametrize(("match", "described"), [({}, 2), ({"local": {"up_to": 2, "min_side": 361}}, 0)])
def test_small_pictures_are_left_alone(match: dict[str, Any], described: int, raw: Raw) -> None:
    for seed in range(2):
        raw.add(f"a/{seed}.png", scene(seed))
        raw.add(f"a/{seed}-small.png", scene(seed + 10).resize((95, 95)))
    assert raw.run(match=match).described == described


def test_too_many_pictures_are_said(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        raw.add(f"a/{seed}.png", scene(seed))
    assert raw.run(match={"local": {"up_to": 2}}).described == 0
    assert "clean.match.local.up_to" in capsys.readouterr().err


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="votes"):
        Clean.model_validate({"match": {"local": {"votes": 3}}})
