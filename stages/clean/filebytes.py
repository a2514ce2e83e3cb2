"""What the bytes of a file tell before or beside its decoding: its size, its parts, its damage.

Limits must hold before a decoder runs, and decoders pass over damage in silence.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import zlib
from typing import TYPE_CHECKING

import numpy as np

from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL import Image

_MOST_SCANS, _MOST_FRAMES = 100, 10_000
_SCANS_OF_LARGEST = 16  # a progressive JPEG has about 10 scans, and each goes through all pixels
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # of a JPEG; those left out have no header behind them
_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_PNG = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf")
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_TILE = (322, 323)  # TIFF: TileWidth, TileLength
_PPM_HEADER = 4096
_AT_END, _HARMLESS = re.compile(r" (\d+) extraneous bytes before marker 0xd9$"), 4  # which cameras leave there
_LISTENING = threading.RLock()  # a process has one stderr
_GLANCE = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION  # reads all of it, computes little


def endless_ppm(data: bytes) -> str:
    """Why a PPM is not to be opened: Pillow reads long or many comments in a time that grows as their square."""
    if not re.match(rb"P[1-6fy]", data) or len(data) <= _PPM_HEADER:
        return ""
    numbers = re.sub(rb"#[^\n\r]*[\n\r]", b"", data[:_PPM_HEADER]).split()[1:]
    if len(numbers) < (2 if data[1:2] in b"14" else 3):
        return "a PPM with more than 4 KB of header"
    return (
        "a PPM in text with comments between its pixels" if data[1:2] in b"123" and b"#" in data[_PPM_HEADER:] else ""
    )


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a WebP announces; None for other files."""
    kind = data[12:16] if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30 else b""
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def excess(header: Image.Image, data: bytes, max_pixels: int) -> str:
    """Why decoding would cost far more than the size in pixels says; "" where it would not."""
    pixels = header.width * header.height
    if header.format in ("JPEG", "MPO"):
        scans = _scans(data)
        if scans > _MOST_SCANS or scans * pixels > _SCANS_OF_LARGEST * max_pixels:
            return f"a JPEG of {scans} scans, each of which goes through {pixels} pixels"
    tags = getattr(header, "tag_v2", {})
    wide, high = (tags.get(tag, 1) for tag in _TILE)
    if isinstance(wide, int) and isinstance(high, int) and wide * high > 2 * max_pixels:
        return f"tiles of {wide}x{high} px, more than twice clean.max_pixels = {max_pixels}"
    return ""


def _scans(data: bytes) -> int:
    """How many scans a JPEG has up to its end. Phones append films and more pictures, in which anything may stand."""
    at, count = 2, 0
    while found := _MARKER.search(data, at):
        at = found.end()
        kind = data[at - 1]
        if kind == _END_OF_IMAGE:
            break
        count += kind == _SCAN
        at += int.from_bytes(data[at : at + 2], "big")  # of a scan the header: its pixels hold no marker
    return count


def frames(image: Image.Image, data: bytes) -> str:
    """Of how many frames or pages the first is taken, in words; "" where there is only one. Counting is limited.

    Args:
        image: the opened file, for counting alone: damage behind the first frame can leave it at another.
        data: the file.
    """
    if image.format == "MPO":  # the further frames of a phone's photograph are previews and depth
        return ""
    try:
        count = _count(image, data)
    except Exception:  # noqa: BLE001 - damage behind the first frame raises anything
        return "the first frame; what follows it cannot be read"
    if count > _MOST_FRAMES:
        return f"first of more than {_MOST_FRAMES} frames"
    announced = int(getattr(image, "n_frames", 1)) if image.format == "PNG" else count
    if announced != count:
        return f"first of {count} frames, of {announced} that are announced"
    return f"first of {count} frames" if count > 1 else ""


def _count(image: Image.Image, data: bytes) -> int:
    if image.format == "GIF" and data.count(b"\0,") > _MOST_FRAMES:  # a frame begins with a comma, after a zero
        return _MOST_FRAMES + 1
    if image.format == "PNG" and getattr(image, "is_animated", False):
        names = [name for name, _ in _chunks(data) if name in (b"fcTL", b"IDAT")]
        return names.count(b"fcTL") + (names[:1] == [b"IDAT"])
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    count = 1
    with contextlib.suppress(EOFError):
        while count <= _MOST_FRAMES:
            image.seek(count)
            count += 1
    return count


def covered(image: Image.Image, data: bytes) -> tuple[int, int, int, int] | None:
    """The part of the picture, x1 y1 x2 y2, that the first frame of an opened GIF or WebP paints; None: the whole."""
    box = None
    if image.format == "GIF" and image.tile:  # type: ignore[attr-defined]
        box = image.tile[0].extents  # type: ignore[attr-defined]
    elif image.format == "WEBP":
        at = 12
        while at + 20 <= len(data) and data[at : at + 4] != b"ANMF":
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            at += 8 + size + size % 2
        if at + 20 <= len(data):
            x, y, wide, high = (int.from_bytes(data[at + k : at + k + 3], "little") for k in (8, 11, 14, 17))
            box = 2 * x, 2 * y, 2 * x + wide + 1, 2 * y + high + 1
    return None if box in (None, (0, 0, *image.size)) else box


def bare_png(data: bytes, *, animation: bool) -> bytes:
    """A PNG with nothing but what its pixels need, with its animation or without; other files as they are.

    EXIF, which says how the picture is turned, counts among that where its checksum is right.
    """
    if not data.startswith(_PNG):
        return data
    names = _PIXELS + _ANIMATION * animation
    kept = [chunk for name, chunk in _chunks(data) if name in names and (name != b"eXIf" or _sound(chunk))]
    return _PNG + b"".join(kept)


def has_pixels(data: bytes) -> bool:
    """Whether a PNG has a chunk of pixels, be it cut."""
    return any(name == b"IDAT" for name, _ in _chunks(data))


def damage(data: bytes, said: Callable[[], str]) -> str:
    """What is broken in the pixels of a file that decodes all the same; "" where nothing is found.

    A PNG has checksums, which Pillow does not look at. A JPEG has none, but what was overwritten hardly ever decodes to
    as many blocks as there should be: libjpeg warns of that, on stderr where OpenCV calls it. Other formats tell
    nothing.

    Args:
        data: the file.
        said: returns what was written to stderr since it was last called.
    """
    if data.startswith(_PNG):
        for name, chunk in _chunks(data):
            if name in (b"IDAT", b"PLTE", b"tRNS") and not _sound(chunk):
                return f"the checksum of a part of the pixels ({name.decode()}) is wrong"
    if not data.startswith(b"\xff\xd8"):
        return ""
    said()
    with contextlib.suppress(cv2.error):
        cv2.imdecode(np.frombuffer(data, np.uint8), _GLANCE)
    found = re.search(r"^(?:Corrupt JPEG data|Inconsistent progression).*", said(), re.MULTILINE)  # not of headers
    if not found or ((few := _AT_END.search(found[0])) and int(few[1]) <= _HARMLESS):
        return ""
    return f"libjpeg: {found[0][:100]}"


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and bytes of each chunk of a PNG, up to the one that ends the picture; a cut one if it has pixels."""
    name, start, view = b"", len(_PNG), memoryview(data)
    while name != b"IEND" and start + 8 <= len(data):
        name, end = data[start + 4 : start + 8], start + 12 + int.from_bytes(view[start : start + 4], "big")
        if end <= len(data) or name == b"IDAT":
            yield name, view[start:end]
        start = end


def _sound(chunk: memoryview) -> bool:
    """Whether the checksum of a chunk is right; a cut one has none."""
    cut = len(chunk) < 12 + int.from_bytes(chunk[:4], "big")
    return cut or zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


@contextlib.contextmanager
def overheard() -> Iterator[Callable[[], str]]:
    """Take what codecs write to stderr, below Python; gives a function that returns what came since its last call."""
    with _LISTENING:
        stderr, (heard, spoken) = os.dup(2), os.pipe()
        os.set_blocking(heard, False)
        os.set_blocking(spoken, False)  # what the pipe cannot hold is lost
        os.dup2(spoken, 2)

        def said() -> str:
            with contextlib.suppress(BlockingIOError):
                return os.read(heard, 1 << 20).decode(errors="replace")
            return ""

        try:
            yield said
        finally:
            os.dup2(stderr, 2)
            for end in (stderr, heard, spoken):
                os.close(end)
