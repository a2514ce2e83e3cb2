"""Every change reaches the network, and its identity strength changes no bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch

from stages.evaluate import robustness, transforms
from stages.evaluate.params import Robustness
from stages.evaluate.robustness import Changed
from stages.train.feed import Images

if TYPE_CHECKING:
    from stages.train.frozen import Cut

STRONG = {
    "rotation": 45, "shift": 0.3, "scale": 2, "horizontal_flip": 1, "vertical_flip": 1, "brightness": 0.5, "blur": 0.1,
    "noise": 0.1, "jpeg": 10,
}  # fmt: skip
IDENTITY = {name: unchanged for name, (_, unchanged) in transforms.TRANSFORMS.items()}


def pictures(count: int = 7, side: int = 16) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8))


def predict(images: np.ndarray) -> np.ndarray:
    """Logits that any pixel moves."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    return np.asarray(flat @ np.random.default_rng(1).normal(size=(flat.shape[1], 3)).astype(np.float32))


def test_every_transform_has_a_strong_and_an_identity_strength_here() -> None:
    assert STRONG.keys() == transforms.TRANSFORMS.keys()


@pytest.mark.parametrize("name", transforms.TRANSFORMS)
def test_the_change_reaches_every_image_and_keeps_its_shape(name: str) -> None:
    images = pictures()
    moved = transforms.apply(name, images, STRONG[name])
    assert (moved.shape, moved.dtype) == (images.shape, torch.uint8)
    assert all(not torch.equal(a, b) for a, b in zip(images, moved, strict=True))
    assert torch.equal(moved, transforms.apply(name, images, STRONG[name]))


@pytest.mark.parametrize("side", [8, 9, 32])
@pytest.mark.parametrize(("name", "strength"), [(n, s) for n, s in IDENTITY.items() if s is not None])
def test_the_identity_strength_changes_no_bit(name: str, strength: float, side: int) -> None:
    images = pictures(side=side)
    assert torch.equal(transforms.apply(name, images, strength), images)


@pytest.mark.parametrize("strength", [0.02, 0.1])
def test_blur_is_that_of_the_square_kernel(strength: float) -> None:
    from torchvision.transforms.v2 import functional

    images = pictures(count=3, side=60)
    sigma = strength * 60
    square = functional.gaussian_blur(images.double(), [2 * int(np.ceil(3 * sigma)) + 1] * 2, [sigma, sigma])
    moved = transforms.apply("blur", images, strength).double()
    assert (moved - square).abs().max() <= 0.5 + 1e-4, "rounded once"


def test_rotation_and_shift_are_what_they_say() -> None:
    images = pictures()
    assert torch.equal(transforms.apply("rotation", images, 180), images.flip(-1, -2))
    quarter = transforms.apply("rotation", images, 90)
    assert torch.equal(quarter[0], images[0].rot90(-1, (-2, -1)))  # clockwise,
    assert torch.equal(quarter[1], images[1].rot90(1, (-2, -1)))  # and the next one the other way
    moved = transforms.apply("shift", images, 0.25)
    assert torch.equal(moved[0, :, 4:, 4:], images[0, :, :-4, :-4])
    assert torch.equal(moved[0, :, 0, 4:], images[0, :, 0, :-4])  # the border is repeated, not black
    assert torch.equal(moved[3, :, :-4, :-4], images[3, :, 4:, 4:])


def test_noise_has_the_spread_it_says_and_does_not_touch_the_global_generator() -> None:
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    moved = transforms.apply("noise", grey, 0.1).float()
    assert torch.equal(before, torch.get_rng_state())
    assert (moved - 128).std().item() == pytest.approx(25.5, rel=0.03)


def test_directions_do_not_depend_on_how_many_images_there_are() -> None:
    many = pictures(2 * transforms.CHUNK + 3, 8)
    few = transforms.apply("rotation", many[:5], 45)
    assert torch.equal(transforms.apply("rotation", many, 45)[:5], few)
    last = transforms.apply("rotation", many[2 * transforms.CHUNK :], 45)
    assert torch.equal(transforms.apply("rotation", many, 45)[2 * transforms.CHUNK :], last)


class Cell:
    """Stands for a cell that is cut nowhere."""

    cache = None

    def pictures(self, images: Any, rows: np.ndarray, change: object, title: str) -> torch.Tensor:  # noqa: ARG002
        half = len(rows) // 2 + 1  # slices that meet no chunk of the changes
        return torch.from_numpy(np.concatenate([predict(images[s : min(s + half, len(rows))]) for s in (0, half)]))


def found_rows(count: int, settings: Robustness) -> list[dict[str, Any]]:
    """Of pictures that are all predicted rightly as they are."""
    images = pictures(count).permute(0, 2, 3, 1).numpy()
    clean = predict(images)
    cell = cast("Cut", Cell())
    return robustness.rows(cell, Images(images, np.arange(count)), clean, clean.argmax(axis=1), settings)


def test_rows() -> None:
    found = {(row["transform"], row["strength"]): row for row in found_rows(30, Robustness())}
    clean = found["none", None]
    assert (clean["top1"], clean["macro_f1"], clean["changed"], clean["n"]) == (1.0, 1.0, 0.0, 30)
    for name, strength in IDENTITY.items():
        if strength is not None:
            assert found[name, strength]["top1"] == clean["top1"]
    strong = [row for row in found.values() if row["changed"] == 1.0]
    assert len(strong) > 15
    assert min(row["top1"] for row in strong) < 0.7
    assert {45, 180} <= {strength for name, strength in found if name == "rotation"}  # the published studies' own
    assert {0.1, 0.3, 0.4} <= {strength for name, strength in found if name == "shift"}


def test_an_identity_strength_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    whole = transforms.apply

    def spy(name: str, images: torch.Tensor, strength: float, position: int) -> torch.Tensor:
        seen.append((name, strength))
        return whole(name, images, strength, position)

    monkeypatch.setattr(transforms, "apply", spy)
    rows = found_rows(9, Robustness())
    assert not set(IDENTITY.items()) & set(seen)
    assert len(rows) == 1 + len(set(seen)) + 8


@pytest.mark.parametrize("name", transforms.TRANSFORMS)
def test_pictures_that_are_asked_for_by_slices_are_those_that_are_changed_at_once(name: str) -> None:
    count, step = 2 * transforms.CHUNK + 5, 83
    images = pictures(count, 8)
    at_once = transforms.apply(name, images, STRONG[name]).permute(0, 2, 3, 1).numpy()
    before = images.permute(0, 2, 3, 1).contiguous().numpy()
    lazily = Changed(Images(before, np.arange(count)), name, STRONG[name])
    found = [lazily[start : min(start + step, count)] for start in range(0, count, step)]
    assert np.array_equal(np.concatenate(found), at_once)
    assert np.array_equal(lazily.differ(), (at_once != before).any(axis=(1, 2, 3)))


@pytest.mark.parametrize("name", transforms.TRANSFORMS)
def test_how_many_pictures_are_changed_at_once_moves_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(50)
    expected = transforms.apply(name, images, STRONG[name])
    monkeypatch.setattr(transforms, "_PIXELS", 4 * 16 * 16)
    assert torch.equal(transforms.apply(name, images, STRONG[name]), expected)


def test_a_cap_on_images_takes_the_same_ones_for_every_cell_and_an_empty_list_leaves_a_change_out() -> None:
    settings = Robustness(images=10, rotation=[], jpeg=[])
    found = found_rows(30, settings)
    assert {row["n"] for row in found} == {10}
    assert not {"rotation", "jpeg"} & {row["transform"] for row in found}
    assert found == found_rows(30, settings)
