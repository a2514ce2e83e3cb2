"""What becomes of the bytes of a file: a true picture, or a true reason."""

# ruff: noqa: S311 - tests want numbers that come again

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from stages.clean import decode
from stages.clean.params import Clean

from .conftest import photo
from .test_bad_input import encoded

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def picture(data: bytes, **limits: Any) -> decode.Picture:
    return decode.decode(data, Clean(**limits))


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(picture(data).image)


def refused(data: bytes, **limits: Any) -> decode.Refused:
    with pytest.raises(decode.Refused) as caught:
        picture(data, **limits)
    return caught.value


def verdict(data: bytes) -> tuple[str, str]:
    """Reason and sentence, of a picture that is let in or refused."""
    try:
        found = picture(data)
    except decode.Refused as error:
        return error.reason, error.detail
    assert found.image.mode == "RGB"
    return found.note, found.detail


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if crc is None else crc)
    )


def with_chunk(png: bytes, extra: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    return png[:33] + extra + png[33:]


# --- formats ---------------------------------------------------------------------------------------------------------


def test_every_format_that_is_named_is_read() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    whole = photo(1)
    for kind in (*decode.FORMATS, "HEIF"):
        found = np.asarray(picture(encoded(whole, kind)).image).astype(int)
        assert np.abs(found - np.asarray(whole)).mean() < 12, kind


def test_nothing_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript, whatever it is called, starts no Ghostscript; the verdict is the same with and without it."""
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 60\n%%EndComments\n0 0 50 50 rectfill showpage\n"
    without = str(refused(script))
    gs = tmp_path / "gs"
    gs.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert str(refused(script)) == without == str(refused(b"\xc5\xd0\xd3\xc6" + script)).replace("", "")
    assert not (tmp_path / "started").exists()
    assert "PostScript" in without


@pytest.mark.parametrize(
    ("kind", "name"), [("ICO", "ICO"), ("DDS", "DDS"), ("PCX", "PCX"), ("SGI", "SGI"), ("EPS", "Pos")]
)
def test_other_formats_are_named(kind: str, name: str) -> None:
    found = refused(encoded(photo(1, 64, 64), kind))
    assert found.reason == "unreadable"
    assert found.detail.startswith(name)
    assert "JPEG, PNG" in found.detail


def test_all_plugins_loaded_change_nothing() -> None:
    """The verdict does not depend on what was imported before."""
    code = (
        "from PIL import Image; Image.init()\n"
        "import sys; from stages.clean import decode; from stages.clean.params import Clean\n"
        "try: decode.decode(sys.stdin.buffer.read(), Clean())\n"
        "except decode.Refused as error: print(error)"
    )
    for data in (encoded(photo(1), "TGA"), encoded(photo(1), "PCX"), b"%!PS-Adobe\n"):
        done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, timeout=60, check=True)
        assert done.stdout.decode().strip() == str(refused(data))


def test_no_detail_names_an_address_or_a_path() -> None:
    rng = random.Random(1)
    for kind in decode.FORMATS:
        whole = encoded(photo(1), kind)
        for _ in range(30):
            data = bytearray(whole)
            for _ in range(8):
                data[rng.randrange(len(data))] = rng.randrange(256)
            _, detail = verdict(bytes(data))
            assert "0x7" not in detail
            assert "/tmp" not in detail  # noqa: S108


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_format_is_turned_upright_once(kind: str, turn: int) -> None:
    stored = Image.new("RGB", (64, 32), "black")
    ImageDraw.Draw(stored).rectangle((0, 0, 20, 10), fill="white")  # one corner, longer one way
    exif = Image.Exif()
    exif[0x0112] = turn
    found = np.asarray(picture(encoded(stored, kind, exif=exif)).image.convert("L")) > 128
    undo = {1: 0, 2: 1, 3: 3, 4: 2, 5: 4, 6: 5, 7: 7, 8: 6}[turn]
    expected = np.asarray(stored.convert("L")) > 128
    expected = expected.T if undo & 4 else expected
    expected = expected[:, ::-1] if undo & 1 else expected
    expected = expected[::-1] if undo & 2 else expected
    assert found.shape == expected.shape
    assert (found != expected).mean() < 0.02


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["random", "zeros", "U", "text"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_third_of_a_jpeg_overwritten_is_found(fill: str, progressive: bool) -> None:
    rng = random.Random(fill)
    for seed in range(10):
        whole = encoded(photo(seed, 320, 240), "JPEG", quality=88, progressive=progressive)
        start = whole.find(b"\xff\xda") + 14
        size = (len(whole) - start) // 3
        at = rng.randrange(start, len(whole) - 2 - size)
        junk = {
            "random": rng.randbytes(size),
            "zeros": bytes(size),
            "U": b"U" * size,
            "text": (b"not a picture " * size)[:size],
        }[fill]
        found = refused(whole[:at] + junk + whole[at + size :])
        assert found.reason in ("corrupt_data", "unreadable", "truncated")


def test_whole_jpegs_are_not_called_damaged() -> None:
    kinds: tuple[dict[str, Any], ...]
    kinds = ({}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"quality": 5})
    for seed, more in enumerate(kinds):
        whole = encoded(photo(seed, 200 + seed, 151), "JPEG", **more)
        for tail in (b"", b"\0" * 100, b"trailing text", whole):
            found = picture(whole + tail)
            assert (found.note, found.suffix) == ("", ".jpg")
        almost = whole[:-2] + b"\xff\xff" + whole[-2:]
        assert picture(almost).note == ""


def test_damage_may_be_kept_and_is_noted() -> None:
    whole = encoded(photo(1, 320, 240), "JPEG", quality=90)
    torn = whole[:4000] + bytes(4000) + whole[8000:]
    assert refused(torn).reason == "corrupt_data"
    kept = picture(torn, corrupt_data="keep")
    assert (kept.note, kept.suffix) == ("corrupt_data", "")
    assert kept.image.size == (320, 240)


def test_a_png_whose_pixels_changed_is_found() -> None:
    """Stored without compression a PNG decodes whatever its pixels became; its checksum tells."""
    whole = encoded(photo(1), "PNG", compress_level=0)
    torn = whole[:5000] + bytes(10) + whole[5010:]
    assert refused(torn).reason in ("corrupt_data", "unreadable")
    assert picture(whole).note == ""


def test_memory_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    whole = encoded(photo(1), "PNG")
    monkeypatch.setattr(Image.Image, "load", fail)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(MemoryError):
        picture(whole)


@pytest.mark.parametrize("kind", [RuntimeError, NotImplementedError, AttributeError, ZeroDivisionError, RecursionError])
def test_any_exception_of_a_plugin_is_a_verdict(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("odd")

    whole = encoded(photo(1), "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    assert str(refused(whole)) == "unreadable: odd"
    monkeypatch.setattr(Image, "open", fail)
    assert str(refused(whole)) == "unreadable: odd"


@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "TIFF", "GIF", "JPEG2000", "HEIF", "BMP", "PPM"])
def test_damaged_files_give_a_verdict_each(kind: str) -> None:
    whole = encoded(photo(1), kind)
    rng = random.Random(kind)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 5, 50))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        reason, detail = verdict(bytes(data))
        assert bool(reason) == bool(detail)


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"tEXt", b"Comment\0hello", crc=1),
        chunk(b"tEXt", b"Comment\0" + b"x" * 1_100_000),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 50_000_000)),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"x" * 50_000_000)),
        chunk(b"zTXt", b"Comment\0\0not zlib"),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"x" * 50_000_000)),
        chunk(b"tEXt", b"Comment\0hello", crc=1) * 100,
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"x" * 900_000)) * 100,  # each is short enough for Pillow
        chunk(b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1", crc=1),
        chunk(b"gAMA", b"\0\0\xb1\x8f", crc=1),
        chunk(b"eXIf", b"MM\0*", crc=1),
    ],
)
def test_a_png_is_not_judged_by_its_text(text: bytes) -> None:
    whole = photo(1)
    found = picture(with_chunk(encoded(whole, "PNG"), text))
    assert np.array_equal(np.asarray(found.image), np.asarray(whole))
    if found.note:  # what Pillow would refuse later must not be laid out as it is
        assert (found.note, found.suffix) == ("text_left_out", "")
        assert "text and other parts without pixels were left out" in found.detail
        assert "memory)" not in found.detail


@pytest.mark.parametrize("data", [b"P6\nallocation99 10 255\n", b"P2\n9 9 255\nallocation " + b"1 " * 80])
def test_a_file_cannot_say_that_memory_is_short(data: bytes) -> None:
    assert refused(data).reason in ("unreadable", "not_an_image", "truncated")


def test_a_cut_png_is_truncated_whatever_its_text() -> None:
    png = with_chunk(encoded(photo(1), "PNG"), chunk(b"tEXt", b"a\0b", crc=1))
    at = png.index(b"IDAT")
    assert refused(png[: at + (len(png) - at) // 4]).reason == "truncated"
    assert picture(png[: len(png) - 14]).note == "text_left_out"  # the pixels are whole


def test_only_chunks_of_pixels_are_pixels() -> None:
    start = encoded(photo(1), "PNG")[:33]
    text = start + chunk(b"tEXt", b"a\0IDAT") + chunk(b"IEND", b"")
    assert "without pixels" in refused(text).detail
    behind = encoded(photo(1), "PNG") + chunk(b"IDAT", b"junk", crc=1)
    assert picture(behind).note == ""


def test_a_broken_png_stays_broken_without_its_text() -> None:
    data = with_chunk(encoded(photo(1), "PNG"), chunk(b"tEXt", b"a\0b", crc=1))
    assert refused(data[:3000]).reason in ("truncated", "unreadable")


def test_codecs_write_nothing_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(3)
    for kind in decode.FORMATS:
        whole = encoded(photo(1), kind, **({"compression": "jpeg"} if kind == "TIFF" else {}))
        for _ in range(20):
            at = rng.randrange(len(whole))
            verdict(whole[:at] + rng.randbytes(9) + whole[at + 9 :])
    assert capfd.readouterr().err == ""
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"


# --- bombs -----------------------------------------------------------------------------------------------------------
