"""Hashes equal imagehash's, and the compiled path equals Pillow's, to the last bit."""

from __future__ import annotations

import io
from typing import Any

import imagehash
import numpy as np
import pytest
from PIL import Image

from stages.clean import decode, hashes
from stages.clean.params import Clean

from .conftest import photo


def reference(image: Image.Image) -> int:
    return int(str(imagehash.phash(image)), 16)


def test_the_first_hash_is_imagehash_and_the_others_are_of_the_turned_thumbnail() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image = photo(seed, *rng.integers(5, 400, 2).tolist())
        thumbs = hashes.thumbnails(image)
        words = hashes.transform(thumbs)[1]
        assert words[0, 0] == reference(image)
        assert words[1, 0] == reference(hashes.centre_square(image))
        for turn in range(hashes.ORIENTATIONS):
            assert words[0, turn] == reference(Image.fromarray(hashes.orient(thumbs[0], turn)))


def test_flat_and_symmetric_pictures_hash_as_imagehash_does() -> None:
    images = [Image.new("RGB", (50, 40), (level,) * 3) for level in (0, 7, 128, 255)]
    step = Image.new("RGB", (64, 64))
    step.paste("white", (0, 0, 32, 64))  # symmetric: most coefficients are zero but for rounding
    for image in [*images, step, step.rotate(90), Image.linear_gradient("L").convert("RGB")]:
        assert hashes.transform(hashes.thumbnails(image))[1][0, 0] == reference(image)


def test_vectors_of_a_turned_picture_are_the_turned_vectors() -> None:
    thumb = hashes.thumbnails(photo(3))[0]
    low = hashes.transform(thumb[None])[0]
    for turn in range(hashes.ORIENTATIONS):
        turned = hashes.vectors(hashes.transform(hashes.orient(thumb, turn)[None])[0])
        assert np.abs(turned.astype(int) - hashes.vectors(hashes.orientations(low)[:, turn])).max() <= 1


def test_compiled_thumbnails_equal_pillow_bit_for_bit() -> None:
    pytest.importorskip("cv2")
    pytest.importorskip("numba")
    from stages.clean import fast

    rng = np.random.default_rng(0)
    sizes = [
        (1, 1),
        (32, 32),
        (33, 34),
        (33, 35),
        (64, 96),
        (64, 97),
        (500, 16),
        (16, 500),
        (31, 33),
        *rng.integers(1, 500, (30, 2)),
    ]
    for width, height in sizes:
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        assert np.array_equal(fast.thumbnails(pixels), hashes.thumbnails(Image.fromarray(pixels))), (width, height)


def test_every_colour_is_as_grey_as_pillow_makes_it() -> None:
    pytest.importorskip("cv2")
    pytest.importorskip("numba")
    from stages.clean import fast

    level = np.arange(256, dtype=np.uint8)
    colours = np.empty((256, 256, 3), np.uint8)
    for red in range(256):
        colours[..., 0], colours[..., 1], colours[..., 2] = red, level, level[:, None]
        grey = np.asarray(Image.fromarray(colours).convert("L"))
        assert np.array_equal(fast._grey(colours), grey), red
        assert np.array_equal(hashes.luma(colours), grey), red


def test_opencv_decodes_a_jpeg_as_pillow_does() -> None:
    pytest.importorskip("cv2")
    from stages.clean import jpeg

    for options in ({}, {"quality": 20}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}):
        buffer = io.BytesIO()
        photo(1, 301, 203).save(buffer, "JPEG", **options)
        pixels = jpeg.pixels(buffer.getvalue(), Clean())
        assert pixels is not None
        assert np.array_equal(pixels, np.asarray(Image.open(buffer)))
        assert jpeg.pixels(buffer.getvalue()[:-200], Clean()) is None


def test_opencv_leaves_to_pillow_what_is_not_plain() -> None:
    pytest.importorskip("cv2")
    from stages.clean import jpeg

    exif = Image.Exif()
    exif[0x0112] = 6
    options: list[tuple[str, dict[str, Any]]] = [("L", {}), ("CMYK", {}), ("RGB", {"exif": exif})]
    for mode, more in options:
        buffer = io.BytesIO()
        photo(1).convert(mode).save(buffer, "JPEG", **more)
        assert jpeg.pixels(buffer.getvalue(), Clean()) is None
    buffer = io.BytesIO()
    photo(1).save(buffer, "JPEG")
    with pytest.raises(decode.Refused, match="too_large"):
        jpeg.pixels(buffer.getvalue(), Clean(max_pixels=100))
