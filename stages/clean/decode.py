"""From the bytes of a file to one upright RGB picture, or to a reason why not.

The normalised picture is what every later step sees: first frame, EXIF orientation applied, transparency on white, 8
bits a channel, RGB. Pillow ignores colour profiles and so do we. The pixel limit is checked on the header, before
anything is decoded, so Pillow's own bomb check is switched off.
"""

from __future__ import annotations

import contextlib
import io
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from stages.clean.params import Clean

Image.MAX_IMAGE_PIXELS = None
Box = tuple[int, int, int, int]
_ONE_AT_A_TIME, _LOADING = threading.Lock(), threading.Lock()
_ORIENTATION = 0x0112
_USUAL = ("JPEG", "PNG")  # tried before all plug-ins of Pillow are loaded and asked; first bytes tell these two apart
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


class Refused(Exception):  # noqa: N818 - a verdict, not an error
    """A file that cannot be let in: a reason code and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    `image` is the normalised RGB picture; `suffix` is ".jpg" or ".png" where the file's own bytes decode to just that
    picture and may be kept as they are, else "" (it must be written anew); `note` is a reason code of what had to be
    put right.
    """

    image: Image.Image
    suffix: str
    note: str = ""
    detail: str = ""


def open_header(data: bytes) -> Image.Image:
    """Open `data` without decoding it.

    Raises:
        Refused: Pillow does not know the format, or the header is broken.
    """
    try:
        return _open(data)
    except UnidentifiedImageError:
        kind = "the file is empty" if not data else f"no known image format in {len(data)} bytes"
        raise Refused("not_an_image", kind) from None
    except Image.DecompressionBombError:
        raise Refused("too_large", "the header announces more pixels than Pillow will read") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        OverflowError,
        MemoryError,
        TypeError,
        IndexError,
    ) as error:
        raise Refused("unreadable", _sentence(error)) from None


def check_size(width: int, height: int, clean: Clean) -> None:
    """Refuse a picture that is too small or too large; raises `Refused`."""
    if width * height > clean.max_pixels:
        raise Refused("too_large", f"{width}x{height} px, more than clean.max_pixels = {clean.max_pixels}")
    if min(width, height) < clean.min_side:
        raise Refused("too_small", f"{width}x{height} px, a side under clean.min_side = {clean.min_side}")


def decode(data: bytes, clean: Clean, box: Box | None = None) -> Picture:
    """Decode the bytes of a file with Pillow.

    Args:
        data: the file's bytes.
        clean: limits.
        box: x1, y1, x2, y2 in px of the upright picture, x2 and y2 exclusive; the picture is cut to it.

    Raises:
        Refused: with one of the reason codes of docs/decisions/0100.
    """
    if len(data) > clean.max_bytes:
        raise Refused("too_large", f"{len(data)} bytes, more than clean.max_bytes = {clean.max_bytes}")
    header = open_header(data)
    check_size(*header.size, clean)
    try:
        return crop(_normalise(header), box, clean)
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - plug-ins raise anything on broken input
        if "truncated" in str(error) or isinstance(error, EOFError):
            raise Refused("truncated", _sentence(error)) from None
        raise Refused("unreadable", _sentence(error)) from None


def plain_jpeg(data: bytes, clean: Clean) -> bool:
    """Whether `data` is an upright RGB JPEG within the limits: nothing would have to be put right."""
    if data[:2] != b"\xff\xd8" or len(data) > clean.max_bytes:
        return False
    header = open_header(data)
    check_size(*header.size, clean)
    return header.format == "JPEG" and header.mode == "RGB" and orientation(header) == 1


def decode_truncated(data: bytes, clean: Clean, box: Box | None = None) -> Picture:
    """Decode what is there of a truncated file, if enough of its rows are.

    Pillow's switch is global: beside threads that decode files for the first time, those would be let in as well.

    Raises:
        Refused: less than `clean.truncated_min_visible` of the rows was decoded.
    """
    with _ONE_AT_A_TIME:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            picture = decode(data, clean, box=None)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    rows = np.asarray(picture.image)
    # what is missing is filled with one colour, from the bottom up
    missing = int(np.cumprod((rows[::-1] == rows[-1, -1]).all(axis=(1, 2))).sum())
    visible = 1 - missing / len(rows)
    said = f"truncated: {visible:.0%} of the rows are there"
    if visible < clean.truncated_min_visible:
        raise Refused("truncated", f"{said}, clean.truncated_min_visible = {clean.truncated_min_visible}")
    return crop(Picture(picture.image, "", "truncated", said), box, clean)


def crop(picture: Picture, box: Box | None, clean: Clean) -> Picture:
    """Cut a picture to `box` (clipped to the picture); raises `Refused` where nothing is left."""
    if box is None:
        return picture
    width, height = picture.image.size
    x1, y1, x2, y2 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    if x1 >= x2 or y1 >= y2:
        raise Refused("bad_box", f"the box {box} has no pixel in the picture of {width}x{height} px")
    check_size(x2 - x1, y2 - y1, clean)
    if (x1, y1, x2, y2) == (0, 0, width, height):
        return picture
    return Picture(picture.image.crop((x1, y1, x2, y2)), "", picture.note, picture.detail)


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; 1 where there is none or it is nonsense."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - broken EXIF blocks raise anything
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _open(data: bytes) -> Image.Image:
    with contextlib.suppress(UnidentifiedImageError):
        return Image.open(io.BytesIO(data), formats=_USUAL)
    with _LOADING:
        Image.init()
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        if data[4:8] != b"ftyp":
            raise
        try:
            import pillow_heif
        except ImportError:
            raise Refused("unreadable", "HEIC or AVIF; install pillow-heif to read it") from None
        pillow_heif.register_heif_opener()
        return Image.open(io.BytesIO(data))


def _normalise(image: Image.Image) -> Picture:
    upright = orientation(image) == 1
    frames = int(getattr(image, "n_frames", 1)) if image.format != "MPO" else 1
    own = {"JPEG": ".jpg", "PNG": ".png"}.get(image.format or "", "")
    plain = image.mode == "RGB" and upright and frames == 1 and "transparency" not in image.info
    image.load()
    result = _to_rgb(image) if upright else _to_rgb(ImageOps.exif_transpose(image))
    note = ("animated", f"first of {frames} frames") if frames > 1 else ("", "")
    return Picture(result, own if plain else "", *note)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _DEEP:
        return _from_deep(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and floating-point grey to 8 bits.

    16 bits keep their high byte, as Pillow does for 16-bit colour. The other modes have no fixed white, so the
    smallest of the usual ones (1, 255, 65535) that holds the values is taken.
    """
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16"):
        scaled = np.floor(values / 256)
    else:
        top = float(np.nanmax(values))
        white = 1.0 if image.mode == "F" and top <= 1 else 255.0 if top <= 255 else 65535.0
        scaled = np.nan_to_num(values) * (255 / white)
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)).convert("RGB")


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
