"""Colour of 16 bits that is dark stays visible, whatever the format, or the reason says what is not read."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from .test_decode import chunk, picture, refused
from .test_decode_pixels import ramp

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.mark.parametrize("alpha", [False, True])
def test_dark_16_bit_colour_stays_visible(alpha: bool) -> None:
    wide = np.stack([ramp(0, 3000, np.uint16), ramp(3000, 0, np.uint16), ramp(500, 4000, np.uint16)], -1)
    if alpha:
        wide = np.concatenate([wide, np.full((64, 64, 1), 65535, np.uint16)], -1)
    body = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    header = struct.pack(">IIBBBBB", 64, 64, 16, 6 if alpha else 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    found = picture(data)
    assert np.array_equal(np.asarray(found.image), wide[..., :3] >> 4)
    assert found.note == "rescaled"


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("high", [20, 300, 4000, 65535])
def test_16_bit_grey_with_opacity_stays_visible(high: int, interlaced: bool) -> None:
    values = np.stack([ramp(0, high, np.uint16), np.full((64, 64), 65535, np.uint16)], -1)
    steps = ([(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
             if interlaced else [(0, 1, 0, 1)])  # fmt: skip
    body = b"".join(b"\0" + row.astype(">u2").tobytes() for y, by, x, bx in steps for row in values[y::by, x::bx])
    header = struct.pack(">IIBBBBB", 64, 64, 16, 4, 0, 0, interlaced)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    found = picture(data)
    grey = np.asarray(found.image).astype(int)
    assert np.ptp(grey) > (60 if high == 300 else 200)  # 300 lies on the scale of 10 bits
    assert np.corrcoef(grey[..., 0].ravel(), values[..., 0].ravel())[0, 1] > 0.999
    assert found.note == ("" if high == 65535 else "rescaled")


def deep_file(kind: str, values: NDArray[np.uint16], most: int) -> bytes:
    """RGB of 16 bits."""
    height, width, _ = values.shape
    if kind == "PPM":
        return b"P6\n# a comment\n%d %d\n%d\n" % (width, height, most) + values.astype(">u2").tobytes()
    if kind == "PPM in text":
        return b"P3 %d %d %d\n" % (width, height, most) + " ".join(map(str, values.ravel().tolist())).encode()
    suffix, lossless = {
        "TIFF": (".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
        "JPEG2000": (".jp2", [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]),
    }[kind]
    done, data = cv2.imencode(suffix, values[..., ::-1], lossless)
    assert done
    return data.tobytes()


@pytest.mark.parametrize("kind", ["PPM", "PPM in text", "JPEG2000", "TIFF"])
@pytest.mark.parametrize("high", [20, 1000, 4000, 65535])
def test_dark_16_bit_colour_of_other_formats_stays_visible(kind: str, high: int) -> None:
    colours = np.stack([ramp(0, high, np.uint16), ramp(high, 0, np.uint16), ramp(high // 3, high, np.uint16)], -1)
    found = picture(deep_file(kind, colours, 65535))
    got = np.asarray(found.image).astype(int)
    assert np.ptp(got) > 200
    for channel in range(3):
        assert np.corrcoef(got[..., channel].ravel(), colours[..., channel].ravel())[0, 1] > 0.95
    assert found.note == ("" if high == 65535 else "rescaled")


def test_a_ppm_of_12_bits_is_read_by_its_own_range() -> None:
    values = np.stack([ramp(0, 4095, np.uint16)] * 3, -1)
    found = picture(deep_file("PPM", values, 4095))
    assert np.abs(np.asarray(found.image).astype(int) - values / 4095 * 255).max() <= 1
    assert not found.note


def test_a_dark_jpeg_2000_that_cannot_be_read_whole_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = deep_file("JPEG2000", np.stack([ramp(0, 900, np.uint16)] * 3, -1), 65535)
    monkeypatch.setattr("stages.clean.rgb.cv2.imdecode", lambda *_: None)
    found = refused(data)
    assert found.reason == "unreadable"
    assert "few of its bits" in found.detail
