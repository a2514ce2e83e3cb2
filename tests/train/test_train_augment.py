"""An image's augmentation depends on (seed, epoch, image) and on nothing else, and does what its name says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from stages.train.augment import Augmenter
from stages.train.feed import Images
from stages.train.presets import AUGMENT
from stages.train.sections import Augment

CASES: dict[str, Augment] = {
    **AUGMENT,
    "everything": Augment.model_validate(
        {
            "shift": {"px": 2}, "rotation": 30, "zoom": [0.7, 1.3], "horizontal_flip": 0.5, "crop_padding": 2,
            "random_resized_crop": {}, "fill": "reflect", "random_erasing": {}, "mixup": 0.3, "cutmix": 1.0,
            "color_jitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.2},
        }
    ),
    "mixup": Augment(mixup=0.2),
    "cutmix": Augment(cutmix=1.0),
}  # fmt: skip
LABELS = torch.arange(40)


def pictures(size: int = 17, count: int = 40) -> Images:
    rng = np.random.default_rng(1)
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(rng.random((count, 3, 4, 4), dtype=np.float32)) * 255, size=size, mode="bicubic"
    )
    pixels = smooth.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return Images(pixels, np.arange(count))


def augment(settings: Augment | dict[str, Any], rows: Any = None, epoch: int = 1, seed: int = 0) -> torch.Tensor:
    whole = pictures()
    settings = settings if isinstance(settings, Augment) else Augment.model_validate(settings)
    return Augmenter(settings, seed, whole)(epoch, np.arange(40) if rows is None else np.asarray(rows), LABELS)[0]


@pytest.mark.parametrize("name", CASES)
def test_the_batch_and_its_order_do_not_matter(name: str) -> None:
    order = np.random.default_rng(2).permutation(40)
    together = augment(CASES[name])
    assert torch.equal(augment(CASES[name], order), together[order])
    assert torch.equal(torch.cat([augment(CASES[name], [i]) for i in range(40)]), together)


@pytest.mark.parametrize("name", [name for name in CASES if name != "none"])
def test_epoch_seed_and_image_do_matter(name: str) -> None:
    first = augment(CASES[name])
    assert not torch.equal(augment(CASES[name], epoch=2), first)
    assert not torch.equal(augment(CASES[name], seed=1), first)
    same = Images(np.repeat(pictures().pixels[:1], 40, axis=0), np.arange(40))
    drawn = Augmenter(CASES[name], 0, same)(1, np.arange(40), LABELS)[0]
    if name not in {"mixup", "cutmix"}:
        assert len(torch.unique(drawn.flatten(1), dim=0)) > 2, "one set of parameters for the whole batch"


def test_an_augmentation_does_not_move_the_draws_of_another() -> None:
    flips = Augmenter(Augment(horizontal_flip=0.5), 0, pictures())._flips(1, np.arange(40))[0]
    more = Augmenter(Augment(horizontal_flip=0.5, rotation=10, mixup=1.0), 0, pictures())._flips(1, np.arange(40))[0]
    assert np.array_equal(flips, more)


def as_float(images: Images) -> torch.Tensor:
    return torch.from_numpy(images[np.arange(len(images))]).permute(0, 3, 1, 2).float()


def test_flips() -> None:
    x = as_float(pictures())
    assert torch.equal(augment({"horizontal_flip": 1.0}), x.flip(3))
    assert torch.equal(augment({"vertical_flip": 1.0}), x.flip(2))
    half = augment({"horizontal_flip": 0.5})
    flipped = (half == x.flip(3)).flatten(1).all(1)
    assert 8 < int(flipped.sum()) < 32
    assert torch.equal(half[~flipped], x[~flipped])


def test_crop_with_padding_is_a_window_of_the_padded_image() -> None:
    x = torch.nn.functional.pad(as_float(pictures()), (3, 3, 3, 3))
    windows = x.unfold(2, 17, 1).unfold(3, 17, 1)  # (n, 3, 7, 7, 17, 17)
    out = augment({"crop_padding": 3})
    matches = (windows == out[:, :, None, None]).all(5).all(4).all(1)
    assert matches.flatten(1).any(1).all()
    assert len(torch.unique(matches.nonzero()[:, 1:], dim=0)) > 15


@pytest.mark.parametrize(
    "settings", [{"shift": {"px": 4}}, {"rotation": 40}, {"zoom": [1.3, 1.3]}, {"zoom": [0.7, 0.7]}]
)
@pytest.mark.parametrize("fill", ["constant", "nearest"])
def test_resampling_is_torchvision_affine(settings: dict[str, Any], fill: str) -> None:
    described = Augment.model_validate({**settings, "fill": fill, "interpolation": "bilinear"})
    augmenter, x = Augmenter(described, 0, pictures()), as_float(pictures())
    out = augmenter(1, np.arange(40), LABELS)[0]
    for i in range(0, 40, 5):
        matrix = augmenter._matrices(1, np.array([i]))[0].astype(np.float64)
        angle = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
        zoom = 1 / np.hypot(matrix[0, 0], matrix[1, 0])
        move = -matrix[:, 2] * 17 / 2
        padded = x[i] if fill == "constant" else v2.functional.pad(x[i], [20] * 4, padding_mode="edge")
        expected = v2.functional.affine(
            padded,
            angle=-angle,
            translate=list(move),
            scale=zoom,
            shear=[0.0],
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        if fill == "nearest":
            expected = v2.functional.center_crop(expected, [17, 17])
        inside = (expected - out[i]).abs()[:, 3:-3, 3:-3] if fill == "constant" else (expected - out[i]).abs()
        assert float(inside.max()) < 0.6, "not what an affine transform gives"


def test_colour_jitter_is_torchvision_jitter() -> None:
    from stages.train import colour
    from stages.train.sections import ColorJitter

    x = as_float(pictures())[:8]
    ones = torch.ones(8, 1, 1, 1)
    f = v2.functional
    for name, expected in {
        "brightness": f.adjust_brightness(x / 255, 1.4) * 255,
        "contrast": f.adjust_contrast(x / 255, 1.4) * 255,
        "saturation": f.adjust_saturation(x / 255, 1.4) * 255,
        "hue": f.adjust_hue(x / 255, 0.4) * 255,
    }.items():
        out = colour.jitter(x, ColorJitter.model_validate({name: 0.4}), lambda _: ones)
        torch.testing.assert_close(out, expected, atol=0.05, rtol=0, msg=name)


def test_mixed_labels_go_with_mixed_pixels() -> None:
    x = as_float(pictures())
    for settings in (Augment(mixup=1.0), Augment(cutmix=1.0)):
        out, mixed = Augmenter(settings, 0, pictures())(1, np.arange(40), LABELS)
        assert mixed is not None
        partner, share = x[mixed.labels], mixed.share.view(-1, 1, 1, 1)  # here the label is the image's own number
        if settings.mixup:
            torch.testing.assert_close(out, x * share + partner * (1 - share), atol=1e-3, rtol=0)
        else:
            own, other = (out == x).all(1).double(), (out == partner).all(1).double()
            assert bool(((own + other) >= 1).all())
            alone = own.mean((1, 2)) - (own * other).mean((1, 2))
            assert bool((alone <= mixed.share + 1e-6).all())


def test_random_erasing_blanks_one_rectangle_of_the_right_area() -> None:
    out = augment({"random_erasing": {"probability": 1.0, "scale": [0.2, 0.3], "ratio": [0.5, 2.0]}})
    blank = (out == 0).all(1) & (as_float(pictures()) != 0).any(1)
    area = blank.double().mean((1, 2))
    assert float(area.min()) > 0.13
    assert float(area.max()) < 0.37
    for image in blank:
        rows, columns = image.any(1), image.any(0)
        assert int(image.sum()) >= 0.9 * int(rows.sum()) * int(columns.sum())
