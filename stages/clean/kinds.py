"""What kind of file it is by its first bytes, and what its decoder says of it: so that a reason is true."""

from __future__ import annotations

import codecs
import contextlib
import io
import math
import re
import struct

from PIL import Image, TiffImagePlugin

# What the files of the formats that are read begin with; PPM, AVIF and HEIF have no such mark of fixed bytes.
_READ = (
    ("JPEG", rb"\xff\xd8"),
    ("PNG", rb"\x89PNG"),
    ("GIF", rb"GIF8"),
    ("WEBP", rb"RIFF....WEBP"),
    ("TIFF", rb"II[*+]\x00|MM\x00[*+]|II\x00\*|MM\*\x00"),
    ("JPEG2000", rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"),
)
_OTHER = (  # pictures that are not read
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
_SUBFILE, _WIDTH, _HEIGHT, _SUB_IFDS = 254, 256, 257, 330  # and more of them


def signature(data: bytes) -> str:
    """The format that is read and that the file begins as, however damaged the rest of it is; "" for other files."""
    return _named(_READ, data) or _BRANDS.get(_brand(data), "") or _weak(data)


def other_format(data: bytes) -> str:
    """The name of a format of pictures that is known and not read; "" where nothing is recognised."""
    return _named(_OTHER, data)


def no_picture(data: bytes) -> str:
    """What a file is that is no picture, in words; "" where nothing is recognised."""
    if data[4:8] == b"ftyp":
        return f"a video or a like container of the brand {data[8:12].decode('ascii', 'backslashreplace')!r}"
    return _named(_NO_PICTURE, data) or ("text" if len(data) >= 8 and _is_text(data) else "")


def _named(kinds: tuple[tuple[str, bytes], ...], data: bytes) -> str:
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
    found = _tags(data, {_COMPRESSION: 1, _PHOTOMETRIC: 0, _SAMPLES: 1})
    said = "compression {}, photometric interpretation {}, samples per pixel {}"
    return said.format(*found) if found else ""


def camera_raw(header: Image.Image, data: bytes) -> str:
    """Why an opened TIFF is not the picture itself: its first page is a preview; "" where it is not, and for others."""
    if not isinstance(header, TiffImagePlugin.TiffImageFile):
        return ""
    subfile, places = header.tag_v2.get(_SUBFILE, 0), header.tag_v2.get(_SUB_IFDS, ())
    places = [place for place in (places if isinstance(places, tuple) else (places,)) if isinstance(place, int)][:16]
    reduced = isinstance(subfile, int) and bool(subfile & 1) and bool(places or header.tag_v2.next)
    sizes = [math.prod(_tags(data, {_WIDTH: 0, _HEIGHT: 0}, place) or [0]) for place in places]
    if reduced or max(sizes, default=0) > header.width * header.height:
        return f"camera raw file; only its preview of {header.width}x{header.height} px can be read: convert it to JPEG"
    return ""


def _tags(data: bytes, wanted: dict[int, int], place: int | None = None) -> list[int]:
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
