"""What the bytes of a file tell before or beside its decoding: its kind, its size, its parts, its damage.

Limits must hold before a decoder runs, decoders pass over damage in silence, and a reason must be true: what kind of
file it is by its first bytes, and what its decoder says of it.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import struct
import threading
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, TiffImagePlugin

from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What the files of the formats that are read begin with; PPM, AVIF and HEIF have no such mark of fixed bytes.
_READ = (
    ("JPEG", rb"\xff\xd8"),
    ("PNG", rb"\x89PNG"),
    ("GIF", rb"GIF8"),
    ("WEBP", rb"RIFF....WEBP"),
    ("TIFF", rb"II[*+]\x00|MM\x00[*+]|II\x00\*|MM\*\x00"),
    ("JPEG2000", rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"),
)
NOT_READ = (  # pictures of other formats
    ("PostScript", rb"%!PS|\xc5\xd0\xd3\xc6"),
    ("Photoshop's PSD", rb"8BPS"),
    ("ICO", rb"\x00\x00\x01\x00"),
    ("CUR", rb"\x00\x00\x02\x00"),
    ("ICNS", rb"icns"),
    ("DDS", rb"DDS "),
    ("WMF", rb"\xd7\xcd\xc6\x9a"),
    ("EMF", rb"\x01\x00\x00\x00.{36} EMF"),
    ("JPEG XL", rb"\xff\x0a|\x00\x00\x00\x0cJXL "),
    ("QOI", rb"qoif"),
    ("SGI", rb"\x01\xda"),
    ("PCX", rb"\n\x05\x01\x08"),
    ("PAM", rb"P7\s"),
    ("SVG", rb"(?:\xef\xbb\xbf)?\s*(?:<[?!].{,4096})?<svg"),
)
_NO_PICTURE = (
    ("a PDF document", rb"%PDF"),
    ("a zip archive", rb"PK\x03\x04|PK\x05\x06"),
    ("a RAR archive", rb"Rar!\x1a\x07"),
    ("a 7z archive", rb"7z\xbc\xaf\x27\x1c"),
    ("a file packed by gzip", rb"\x1f\x8b"),
    ("a file packed by bzip2", rb"BZh[1-9]"),
    ("a file packed by xz", rb"\xfd7zXZ\x00"),
    ("a tar archive", rb".{257}ustar"),
    ("a Matroska or WebM video", rb"\x1a\x45\xdf\xa3"),
    ("an AVI video", rb"RIFF....AVI "),
    ("a WAV sound", rb"RIFF....WAVE"),
    ("an Ogg sound or video", rb"OggS"),
    ("an MP3 sound", rb"ID3[\x02-\x04]"),
    ("an HTML page", rb"(?i:(?:\xef\xbb\xbf)?\s*<(?:!doctype )?html)"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"), "HEIF"
)
_GLIMPSE = 512  # bytes from which text is told
_COMPRESSION, _PHOTOMETRIC, _SAMPLES = 259, 262, 277  # tags of TIFF
_MOST_SCANS = 100
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


def signature(data: bytes) -> str:
    """The format that is read and that the file begins as, however damaged the rest of it is; "" for other files."""
    return named(_READ, data) or _BRANDS.get(_brand(data), "") or _weak(data)


def no_picture(data: bytes) -> str:
    """What a file is that is no picture, in words; "" where nothing is recognised."""
    if data[4:8] == b"ftyp":
        return f"a video or a like container of the brand {data[8:12].decode('ascii', 'backslashreplace')!r}"
    return named(_NO_PICTURE, data) or ("text" if len(data) >= 8 and _is_text(data) else "")


def named(kinds: tuple[tuple[str, bytes], ...], data: bytes) -> str:
    """The kind that the file begins as; "" where it is none of these."""
    return next((name for name, start in kinds if re.match(start, data, re.DOTALL)), "")


def _brand(data: bytes) -> bytes:
    """The brand of an AVIF or HEIF: its own, or the first known one of those that it is compatible with."""
    if data[4:8] != b"ftyp":
        return b""
    end = min(max(int.from_bytes(data[:4], "big"), 16), 256)
    brands = [data[at : at + 4] for at in (8, *range(16, end, 4))]
    return next((brand for brand in brands if brand in _BRANDS), b"")


def _weak(data: bytes) -> str:
    """BMP or PPM, whose two letters a text may begin with."""
    if data.startswith(b"BM") and not _is_text(data):
        return "BMP"
    if not re.match(rb"P(?:[1-6f]|0CMYK|y(?:P|RGBA|CMYK))[\s#]", data):
        return ""
    rest = re.sub(rb"#[^\n\r]*", b"", data[2:_GLIMPSE])
    numbers = len(re.findall(rb"[\s\d.+-]", rest))
    return "PPM" if numbers >= 0.8 * len(rest) or not _is_text(data) else ""


def _is_text(data: bytes) -> bool:
    """Whether the file begins with UTF-8 and without control characters."""
    start = data[:_GLIMPSE]
    with contextlib.suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(start)
        return not re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]", start)
    return False


def kind_of_tiff(data: bytes) -> str:
    """How the first page of a TIFF is stored, in words; "" where that cannot be read, and for other files."""
    found = tags(data, {_COMPRESSION: 1, _PHOTOMETRIC: 0, _SAMPLES: 1})
    said = "compression {}, photometric interpretation {}, samples per pixel {}"
    return said.format(*found) if found else ""


def tags(data: bytes, wanted: dict[int, int], place: int | None = None) -> list[int]:
    """Numbers of a TIFF, or what they are by default, from its first directory or the one at a place; [] if broken."""
    with contextlib.suppress(Exception):
        page = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if 43 in data[2:4] else 8])
        stream = io.BytesIO(data)
        stream.seek(page.next if place is None else place)
        page.load(stream)
        found = [page.get(tag, usual) for tag, usual in wanted.items()]
        return found if all(isinstance(value, int) for value in found) else []
    return []


def header_said(name: str, data: bytes) -> str:
    """What the format's own plug-in says of a header; Pillow keeps it to itself when it asks several."""
    try:
        Image.OPEN[name][0](io.BytesIO(data), "")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - plug-ins raise anything on broken input
        said = "" if isinstance(error.__cause__, IndexError | KeyError | TypeError | struct.error) else said_by(error)
        return "" if re.match("not (a|identified) ", said) else said  # its first bytes say what it is
    return ""


def said_by(error: Exception) -> str:
    """The words of an exception; "" where it has none, but a number or a key alone."""
    text = " ".join(str(error).split())
    if error.args and isinstance(error.args[0], bytes):  # Pillow's reader of PPM quotes what it stumbled over
        text = error.args[0].partition(b":")[0].decode("ascii", "replace")
    if isinstance(error, KeyError) or re.fullmatch(r"decoder error -?\d+|[\W\d]*", text):
        return ""
    # without addresses in memory, which differ from run to run
    return re.sub(r"<[^<>]* at 0x[0-9a-f]+>|0x[0-9a-f]{8,}", "...", text)[:200]


def endless_ppm(data: bytes) -> str:
    """Why a PPM is not to be opened: Pillow reads long or many comments in a time that grows as their square."""
    if not re.match(rb"P[1-6fy]", data) or len(data) <= _PPM_HEADER:
        return ""
    numbers = re.sub(rb"#[^\n\r]*[\n\r]", b"", data[:_PPM_HEADER]).split()[1:]
    if len(numbers) < (2 if data[1:2] in b"14" else 3):
        return "a PPM with more than 4 KB of header"
    comments = data[1:2] in b"123" and b"#" in data[_PPM_HEADER:]
    return "a PPM in text with comments between its pixels" if comments else ""


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


def bare_png(data: bytes, *, animation: bool) -> bytes:
    """A PNG with nothing but what its pixels need, with its animation or without; other files as they are.

    EXIF, which says how the picture is turned, counts among that where its checksum is right.
    """
    if not data.startswith(_PNG):
        return data
    names = _PIXELS + _ANIMATION * animation
    kept = [chunk for name, chunk in chunks(data) if name in names and (name != b"eXIf" or _sound(chunk))]
    return _PNG + b"".join(kept)


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
        for name, chunk in chunks(data):
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


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
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
