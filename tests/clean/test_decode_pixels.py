"""Bombs are refused before they are decoded, and no conversion loses what a picture shows."""

# ruff: noqa: S311 - tests want numbers that come again

from __future__ import annotations

import io
import random
import resource
import struct
import sys
import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from stages.clean import filebytes

from .conftest import photo
from .test_bad_input import encoded
from .test_decode import chunk, picture, pixels, refused

if TYPE_CHECKING:
    from numpy.typing import NDArray


def png_header(width: int, height: int, depth: int, colour: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    idat = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + idat + chunk(b"IEND", b"")


def many_scans(count: int) -> bytes:
    whole = encoded(photo(1, 400, 300), "JPEG", progressive=True)
    last = whole.rfind(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * count + whole[-2:]


def gif_of_many(count: int) -> bytes:
    whole = encoded(Image.new("P", (8, 8)), "GIF")
    frame = whole[whole.find(b"\0,") + 1 : -1]
    return whole[:-1] + frame * count + whole[-1:]


def tiff_of_many(count: int) -> bytes:
    """Pages that share one directory's fields: 30 bytes a page."""
    pixel, entries = b"\x80" * 64, [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (278, 8), (279, 64)]
    out, at = [b"II*\0" + struct.pack("<I", 72), pixel], 72
    for k in range(count):
        at += 2 + 12 * len(entries) + 4
        fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
        out.append(struct.pack("<H", len(entries)) + fields + struct.pack("<I", at if k + 1 < count else 0))
    return b"".join(out)


def webp_canvas(width: int, height: int) -> bytes:
    still = encoded(photo(1), "WEBP")[12:]
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + struct.pack("<I", width - 1)[:3]
        + struct.pack("<I", height - 1)[:3]
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body) + len(still)) + b"WEBP" + body + still


BOMBS = {
    "png": (png_header(60_000, 60_000, 8, 2), "too_large"),
    "png of 16 bits": (png_header(40_000, 30_000, 16, 6), "too_large"),
    "webp": (webp_canvas(16_000, 16_000), "too_large"),
    "scans": (many_scans(20_000), "too_large"),
    "ico": (
        b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 9999, 22) + png_header(30_000, 30_000, 8, 2),
        "unreadable",
    ),
    "gif": (
        encoded(Image.new("P", (8, 8)), "GIF").replace(b"GIF87a\x08\0\x08\0", b"GIF87a\xff\xff\xff\xff"),
        "too_large",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_are_decoded(name: str) -> None:
    data, reason = BOMBS[name]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert refused(data).reason == reason
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < (100_000 if sys.platform == "linux" else 100_000_000)  # KB there, bytes on macOS
    assert time.process_time() - start < 1


@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts", "thumbnail"])
def test_scans_are_counted_up_to_the_end_of_the_first_picture(kind: str) -> None:
    """Behind it a phone appends a film, in which the bytes of a scan's mark stand by chance."""
    options: dict[str, Any] = {"progressive": kind == "progressive"}
    if kind == "restarts":
        options["restart_marker_blocks"] = 2
    if kind == "thumbnail":
        options["exif"] = b"Exif\0\0" + encoded(photo(2, 40, 30), "JPEG") * 20
    whole = encoded(photo(1, 400, 300), "JPEG", **options)
    film = b"\0\0\0\x18ftypmp42" + random.Random(0).randbytes(300_000) + b"\xff\xda" * 500
    assert np.array_equal(pixels(whole + film), np.asarray(Image.open(io.BytesIO(whole)).convert("RGB")))
    assert picture(whole + film).note in {"", "corrupt_data"}
    assert filebytes._scans(whole + film) == (10 if kind == "progressive" else 1)


@pytest.mark.parametrize("data", [gif_of_many(200_000), tiff_of_many(40_000)], ids=["gif", "tiff"])
def test_frames_are_not_counted_for_ever(data: bytes) -> None:
    start = time.process_time()
    assert picture(data).detail == "first of more than 10000 frames"
    assert time.process_time() - start < 20


def test_a_few_frames_are_counted() -> None:
    assert picture(gif_of_many(41)).detail == "first of 42 frames"
    assert picture(tiff_of_many(7)).detail == "first of 7 frames"
    assert picture(tiff_of_many(1)).detail == ""


# --- conversion ------------------------------------------------------------------------------------------------------


def ramp(low: float, high: float, kind: Any) -> NDArray[Any]:
    return np.linspace(low, high, 64 * 64).reshape(64, 64).astype(kind)


@pytest.mark.parametrize("high", [20, 254, 300, 1000, 4095, 16383, 40000, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big-endian TIFF", "PPM", "JPEG2000"])
def test_16_bit_grey_of_any_range_stays_visible(kind: str, high: int) -> None:
    values = ramp(0, high, np.uint16)
    if kind == "big-endian TIFF":
        data = encoded(Image.frombytes("I;16B", (64, 64), values.astype(">u2").tobytes()), "TIFF")
    else:
        data = encoded(Image.fromarray(values), kind)
    found = picture(data)
    grey = np.asarray(found.image)[..., 0].astype(int)
    assert grey.min() <= 2
    assert grey.max() >= 60
    assert (np.diff(grey.ravel()) >= 0).all()
    assert (found.note == "rescaled") == (high < 16384), found.detail


def test_16_bits_that_are_used_keep_their_high_byte() -> None:
    values = np.random.default_rng(1).integers(0, 65536, (40, 50), dtype=np.uint16)
    assert np.array_equal(pixels(encoded(Image.fromarray(values), "PNG"))[..., 0], values >> 8)


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (29000, 31000, np.uint16),
        (0, 0.01, np.float32),
        (-3, 3, np.float32),
        (0, 1e6, np.float32),
        (-500, 500, np.int32),
        (100_000, 100_500, np.int32),
        (0, 2**31 - 1, np.int32),
        (-1e30, 1e30, np.float32),
    ],
)
def test_any_range_of_deep_grey_fills_the_levels(low: float, high: float, kind: Any) -> None:
    found = picture(encoded(Image.fromarray(ramp(low, high, kind)), "TIFF"))
    grey = np.asarray(found.image)[..., 0]
    assert int(grey.max()) - int(grey.min()) > 100
    assert found.note == "rescaled"
    assert "laid on 0 to 255" in found.detail


def test_what_is_not_a_number_is_black() -> None:
    values = ramp(0, 1, np.float32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    found = pixels(encoded(Image.fromarray(values), "TIFF"))[..., 0]
    assert found[0, :3].tolist() == [0, 255, 0]
    assert found[-1, -1] == 255
    assert (pixels(encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF")) == 0).all()


def icon(seed: int, colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (64, 64), (*colour, 0))
    draw = ImageDraw.Draw(image)
    rng = random.Random(seed)
    for _ in range(3):
        x, y = rng.randrange(50), rng.randrange(50)
        draw.ellipse((x, y, x + 12, y + 12), fill=(*colour, 255))
    return image


@pytest.mark.parametrize("how", ["RGBA", "LA", "P", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("level", [255, 250, 0])
def test_icons_of_one_colour_stand_out(how: str, level: int) -> None:
    seen = set()
    for seed in range(6):
        image = icon(seed, (level, level, level))
        shape = np.asarray(image)[..., 3] > 128
        converted = {"LA": image.convert("LA"), "P": image.quantize(8)}.get(how, image)
        found = picture(encoded(converted, how if how in ("WEBP", "GIF", "TIFF") else "PNG"))
        grey = np.asarray(found.image.convert("L")).astype(int)
        assert abs(grey[shape].mean() - grey[~shape].mean()) > 100
        assert found.note == ("ground" if level else "")
        seen.add(grey.tobytes())
    assert len(seen) == 6


def test_black_and_white_on_nothing_get_a_ground_of_grey() -> None:
    image = icon(1, (255, 255, 255))
    ImageDraw.Draw(image).rectangle((2, 40, 40, 62), fill=(0, 0, 0, 255))
    found = picture(encoded(image, "PNG"))
    values = {tuple(colour) for _, colour in found.image.getcolors()}  # type: ignore[union-attr, arg-type]
    assert {(0, 0, 0), (255, 255, 255)} < values
    assert "grey" in found.detail


def test_a_colour_cut_out_stays_on_white() -> None:
    image = photo(1).convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    image.paste(
        photo(1).convert("RGBA"), (0, 0), Image.radial_gradient("L").resize(image.size).point(lambda v: 255 * (v < 100))
    )
    found = picture(encoded(image, "PNG"))
    assert found.note == ""
    assert np.asarray(found.image)[0, 0].tolist() == [255, 255, 255]


def test_what_is_transparent_all_over_is_named() -> None:
    image = photo(1).convert("RGBA")
    image.putalpha(0)
    found = picture(encoded(image, "PNG"))
    assert found.note == "transparent"
    assert np.array_equal(np.asarray(found.image), np.asarray(photo(1)))
    blank = picture(encoded(Image.new("RGBA", (9, 9), (7, 7, 7, 0)), "PNG"))
    assert blank.note == "transparent"
    assert (np.asarray(blank.image) == 255).all()


def test_inks_and_lab_keep_their_colours() -> None:
    whole = photo(1)
    for mode, kind in (("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF"), ("HSV", None)):
        if kind:
            found = pixels(encoded(whole.convert(mode), kind)).astype(int)
            assert np.abs(found - np.asarray(whole)).mean() < 12, (mode, kind)
    from PIL import ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(whole, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert lab is not None
    upright = picture(encoded(lab, "TIFF")).image
    assert np.abs(np.asarray(upright).astype(int) - np.asarray(whole)).mean() < 6
    assert "icc_profile" not in upright.info, "it would write the time of day into the laid out file"


def test_kept_bytes_decode_to_the_picture() -> None:
    for kind in ("JPEG", "PNG"):
        data = encoded(photo(2), kind)
        found = picture(data)
        assert found.suffix == {"JPEG": ".jpg", "PNG": ".png"}[kind]
        with Image.open(io.BytesIO(data)) as plain:
            assert np.array_equal(np.asarray(plain), np.asarray(found.image))
