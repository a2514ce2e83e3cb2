"""A reason is true: damage to a picture is not called another kind of file, and another kind of file not damage."""

# ruff: noqa: S311 - tests want numbers that come again

from __future__ import annotations

import io
import random
import struct
import zipfile
from itertools import pairwise

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.fuzz import mutate

from .conftest import photo
from .test_bad_input import encoded
from .test_decode import chunk, picture, pixels, refused, verdict

UNKNOWN = "no known image format"
SIGNATURES = {  # as the standards give them: place -> bytes
    "JPEG": {0: b"\xff\xd8\xff"},
    "PNG": {0: b"\x89PNG\r\n\x1a\n"},
    "GIF": {0: b"GIF8"},
    "WEBP": {0: b"RIFF", 8: b"WEBP"},
    "BMP": {0: b"BM"},
    "TIFF": {0: b"II*\0"},
    "AVIF": {4: b"ftypavif"},
    "HEIF": {4: b"ftyphe"},
    "JPEG2000": {0: b"\0\0\0\x0cjP  "},
    "PPM": {0: b"P6\n"},
}


def whole(kind: str) -> bytes:
    pillow_heif.register_heif_opener()
    return encoded(photo(7, 48, 40), kind)


def intact(data: bytes, kind: str) -> bool:
    return all(data[at : at + len(mark)] == mark for at, mark in SIGNATURES[kind].items())


@pytest.mark.parametrize("kind", SIGNATURES)
def test_a_damaged_header_is_called_what_it_is(kind: str) -> None:
    data, rng = whole(kind), random.Random(f"damage {kind}")
    damaged = [data[:length] for length in range(16, 257, 16)]
    for _ in range(80):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 2, 5, 30))):
            changed[rng.randrange(2, 256)] ^= 1 << rng.randrange(8)
        damaged.append(bytes(changed))
    headers = 0
    for one in filter(lambda one: intact(one, kind), damaged):
        reason, detail = verdict(one)
        assert UNKNOWN not in detail, one[:64]
        assert reason != "not_an_image", detail
        if "whose header" in detail:
            headers += 1
            assert detail.startswith(f"{kind} ")
            assert "not a " not in detail
    assert headers or kind == "PPM", "none of the damage was in the header"


def test_every_format_that_is_read_has_a_signature() -> None:
    from stages.clean import decode, filebytes

    assert set(SIGNATURES) == {*decode.FORMATS, "HEIF"}
    for data in mutate.corpus():
        with Image.open(io.BytesIO(data)) as image:
            assert filebytes.signature(data) == {"JPG": "JPEG"}.get(str(image.format), image.format)


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "a")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a shopping list: apples, pears\n", "text"),
        ("BMW und Mini: die Preise für 2024\n".encode(), "text"),
        (b"P5 is what the fifth part of this list is called\n", "text"),
        (b"P1 stands for priority 1\n# one\n" + b"a line of words\n" * 400, "text"),
        (b"\n<!DOCTYPE html><html>404</html>", "an HTML page"),
        (zipped(), "a zip archive"),
        (b"%PDF-1.4\n1 0 obj\n", "a PDF document"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(40), "a video or a like container of the brand 'mp42'"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(20), "a WAV sound"),
        (bytes(range(1, 33)), ""),
        (b"x", ""),
    ],
)
def test_what_is_no_picture_is_said_to_be_none(data: bytes, what: str) -> None:
    found = refused(data)
    assert found.reason == "not_an_image"
    assert found.detail == f"{UNKNOWN} in {len(data)} bytes" + (f", but {what}" if what else "")


# --- several frames --------------------------------------------------------------------------------------------------


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def apng(*, place: int = -1, width: int = 0, announced: int = 2, without: bytes = b"") -> bytes:
    """Two frames; the one at `place` lies far to the right, or is `width` px wide."""
    data = encoded(photo(1), "PNG", save_all=True, append_images=[photo(2)])
    frames, parts = 0, []
    for name, body in png_chunks(data):
        changed = bytearray(body)
        if name == b"acTL":
            changed[:4] = struct.pack(">I", announced)
        if name == b"fcTL":
            if frames == place:
                changed[(at := 4 if width else 12) : at + 4] = struct.pack(">I", width or 1000)
            frames += 1
        parts.append(chunk(name, bytes(changed)) if name != without else b"")
    return data[:8] + b"".join(parts)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("width", [0, 5000])
def test_a_frame_outside_of_its_png_costs_the_animation_alone(place: int, width: int) -> None:
    found = picture(apng(place=place, width=width))
    assert np.array_equal(np.asarray(found.image), np.asarray(photo(1)))
    assert (found.note, found.suffix) == ("animated", "")
    assert found.detail.startswith("the first frame" if place == 0 else "first of 2 frames")


def test_frames_of_a_png_are_counted_and_not_believed() -> None:
    assert picture(apng()).detail == "first of 2 frames"
    assert picture(apng(announced=9)).detail == "first of 2 frames, of 9 that are announced"
    assert refused(apng(without=b"IDAT")).detail == "PNG without pixels (it has no IDAT)"


def gif(screen: tuple[int, int], box: tuple[int, int, int, int], colour: int) -> bytes:
    """One frame of one colour of the palette red, blue; written by hand, since Pillow writes no smaller ones."""
    x, y, width, height = box
    codes = [code for _ in range(width * height) for code in (4, colour)] + [5]  # 4 clears, so codes stay 3 bits long
    bits = sum(code << 3 * k for k, code in enumerate(codes))
    raw = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
    ends = [*range(0, len(raw), 255), len(raw)]
    blocks = b"".join(bytes([b - a]) + raw[a:b] for a, b in pairwise(ends))
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes([200, 0, 0, 0, 0, 200])
    return header + b"," + struct.pack("<HHHHB", x, y, width, height, 0) + b"\2" + blocks + b"\0;"


@pytest.mark.parametrize("colour", [0, 1])
def test_what_the_first_frame_of_a_gif_leaves_out_is_transparent(colour: int) -> None:
    expected = np.full((32, 40, 3), 255)
    expected[5:17, 6:21] = [[200, 0, 0], [0, 0, 200]][colour]
    data = gif((40, 32), (6, 5, 15, 12), colour)
    assert np.array_equal(pixels(data), expected)
    assert verdict(data) == ("ground", "the first frame covers 15x12 of 40x32 px; the rest is transparent")
    assert verdict(gif((40, 32), (0, 0, 40, 32), colour)) == ("", "")
    assert pixels(gif((9, 9), (0, 0, 40, 32), colour)).shape == (32, 40, 3)


def test_what_the_first_frame_of_a_webp_leaves_out_is_transparent() -> None:
    first = encoded(Image.new("RGB", (10, 8), (200, 0, 0)), "WEBP", lossless=True)[12:]
    place = b"".join(number.to_bytes(3, "little") for number in (4 // 2, 6 // 2, 10 - 1, 8 - 1, 100)) + b"\0"
    frame = b"ANMF" + struct.pack("<I", len(place + first)) + place + first
    head = b"VP8X" + struct.pack("<IB", 10, 2) + bytes(3) + (39).to_bytes(3, "little") + (31).to_bytes(3, "little")
    body = b"WEBP" + head + b"ANIM" + struct.pack("<I", 6) + bytes(6) + frame
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    expected = np.full((32, 40, 3), 255)
    expected[6:14, 4:14] = [200, 0, 0]
    assert np.array_equal(pixels(data), expected)
    assert verdict(data)[0] == "ground"


def directory(data: bytes, page: int) -> tuple[int, int]:
    """Where the directory of a page of a TIFF begins, and where it names the next."""
    at = 4
    for _ in range(page + 1):
        begin = struct.unpack_from("<I", data, at)[0]
        at = begin + 2 + 12 * struct.unpack_from("<H", data, begin)[0]
    return begin, at


def retagged(data: bytes, tag: int, value: int, page: int = 0) -> bytes:
    begin, end = directory(data, page)
    at = next(at for at in range(begin + 2, end, 12) if struct.unpack_from("<H", data, at)[0] == tag)
    return data[: at + 8] + struct.pack("<HH", value, 0) + data[at + 12 :]


@pytest.mark.parametrize("damage", ["the last page leads nowhere", "the second page leads nowhere", "second packed"])
def test_the_first_page_of_a_tiff_is_taken_whatever_follows(damage: str) -> None:
    data = encoded(photo(1), "TIFF", save_all=True, append_images=[photo(2), photo(3)])
    assert verdict(data) == ("animated", "first of 3 frames")
    if damage == "second packed":
        data = retagged(data, 259, 65_000, page=1)
    else:
        _, at = directory(data, 2 if "last" in damage else 1)
        data = data[:at] + struct.pack("<I", 10**7) + data[at + 4 :]
    assert np.array_equal(pixels(data), np.asarray(photo(1)))
    assert verdict(data) == ("animated", "the first frame; what follows it cannot be read")


@pytest.mark.parametrize(("tag", "value"), [(259, 65_000), (259, 34_712), (262, 77), (259, 5)])
def test_a_tiff_that_is_stored_in_an_odd_way_says_how(tag: int, value: int) -> None:
    found = refused(retagged(encoded(photo(1), "TIFF"), tag, value))
    assert found.reason == "unreadable"
    assert ("compression" if tag == 259 else "interpretation") + f" {value}" in found.detail


def raw_file(subfile: int, own: int, below: int) -> bytes:
    """A TIFF of `own` x `own` px, whose SubIFD has `below` x `below`."""
    at = 8 + 2 + 11 * 12 + 4
    first = {
        254: subfile,
        256: own,
        257: own,
        258: 8,
        259: 1,
        262: 1,
        273: at + 30,
        277: 1,
        278: own,
        279: own * own,
        330: at,
    }
    pages = [sorted(first.items()), [(256, below), (257, below)]]
    written = [struct.pack("<H", len(page)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in page)
               + bytes(4) for page in pages]  # fmt: skip
    return struct.pack("<2sHI", b"II", 42, 8) + b"".join(written) + photo(1, own, own).convert("L").tobytes()


@pytest.mark.parametrize(("subfile", "below"), [(1, 1500), (0, 1500), (1, 0)])
def test_the_preview_of_a_raw_photograph_is_not_the_picture(subfile: int, below: int) -> None:
    said = "camera raw file; only its preview of 40x40 px can be read: convert it to JPEG"
    assert verdict(raw_file(subfile, 40, below)) == ("unreadable", said)


def test_a_tiff_with_smaller_copies_of_its_picture_is_kept() -> None:
    assert verdict(raw_file(0, 40, 20)) == ("", "")
