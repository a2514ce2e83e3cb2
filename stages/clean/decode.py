"""From the bytes of a file to one upright RGB picture, or to a reason why not.

The normalised picture is what every later step sees: first frame, EXIF orientation applied, transparency on a ground, 8
bits a channel, RGB. Pillow ignores colour profiles and so do we. Pillow decodes, and asks the formats named here, none
of which starts a program; OpenCV reads dark 16-bit colour again, of which Pillow keeps 8 bits. Limits hold before
anything is decoded; what they cannot foresee, the process of `stages.clean.isolate` ends. One decode at a time in a
process: codecs write to a stream that all threads share.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pillow_heif
from PIL import (  # a plug-in is known once it is imported; Pillow itself imports those of the other formats
    AvifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from stages.clean import filebytes, rgb

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.clean.params import Clean

pillow_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = None  # `clean.max_pixels` holds
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
Box = tuple[int, int, int, int]
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_NO_MEMORY = re.compile(r"(?i)(out of|insufficient|enough) memory|allocat")  # what codecs say of the machine
_OWN = {"JPEG": ".jpg", "PNG": ".png"}  # formats whose files are kept as they are


class Refused(Exception):  # noqa: N818 - a verdict, not an error
    """A file that cannot be let in: a reason code and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    `image` is the normalised RGB picture; `suffix` is ".jpg" or ".png" where the file's own bytes decode to just that
    picture and may be kept as they are, else "" (it must be written anew); `note` is a reason code of what had to be
    put right or chosen, `detail` says it in words; `turn` is the EXIF orientation that was applied.
    """

    image: Image.Image
    suffix: str
    note: str = ""
    detail: str = ""
    turn: int = 1


def decode(data: bytes, clean: Clean, box: Box | None = None) -> Picture:
    """Decode the bytes of a file.

    Args:
        data: the file's bytes.
        clean: limits.
        box: x1, y1, x2, y2 in px of the upright picture, x2 and y2 exclusive; the picture is cut to it.

    Raises:
        Refused: with one of the reason codes of docs/decisions/0100.
        MemoryError: the process may not have so much memory, which says nothing about the picture.
    """
    with filebytes.overheard() as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = _whole(data, clean, said)
        except Refused as refused:
            if refused.reason != "truncated" or clean.truncated_min_visible == 1:
                raise
            picture = _part(data, clean)
        if picture.turn != 1:
            picture = replace(picture, image=picture.image.transpose(_TURNS[picture.turn]))
        return _crop(picture, box, clean)


def open_header(data: bytes) -> Image.Image:
    """Open `data` without decoding it.

    Raises:
        Refused: the format is not one of `FORMATS`, or the header is broken.
    """
    if endless := filebytes.endless_ppm(data):
        raise Refused("unreadable", endless) if filebytes.signature(data) else _not_read(data)
    try:
        heif = data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis")
        return Image.open(io.BytesIO(data), formats=("HEIF", "AVIF") if heif else FORMATS)
    except UnidentifiedImageError:
        raise _not_read(data) from None
    except Exception as error:  # noqa: BLE001 - plug-ins raise anything on broken input
        found = _verdict(error, data)
        raise (found if filebytes.signature(data) else _not_read(data)) from None


def check_bytes(size: int, clean: Clean) -> None:
    """Refuse a file that is too large; raises `Refused`."""
    if size > clean.max_bytes:
        raise Refused("too_large", f"{size} bytes, more than clean.max_bytes = {clean.max_bytes}")


def check_size(width: int, height: int, clean: Clean) -> None:
    """Refuse a picture that is too small or too large; raises `Refused`."""
    if width * height > clean.max_pixels:
        raise Refused("too_large", f"{width}x{height} px, more than clean.max_pixels = {clean.max_pixels}")
    if min(width, height) < clean.min_side:
        raise Refused("too_small", f"{width}x{height} px, a side under clean.min_side = {clean.min_side}")


def _crop(picture: Picture, box: Box | None, clean: Clean) -> Picture:
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
    return replace(picture, image=picture.image.crop((x1, y1, x2, y2)), suffix="")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8, of a loaded picture; 1 where there is none or it is nonsense."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - broken EXIF blocks raise anything
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _whole(data: bytes, clean: Clean, said: Callable[[], str]) -> Picture:
    check_bytes(len(data), clean)
    try:
        picture = _decoded(data, clean)
    except Refused as refused:
        picture = _rescued(data, clean, refused)
    damage = filebytes.damage(data, said)
    if damage and clean.corrupt_data == "quarantine":
        raise Refused("corrupt_data", damage)
    return replace(picture, suffix="", note="corrupt_data", detail=damage) if damage else picture


def _rescued(data: bytes, clean: Clean, refused: Refused) -> Picture:
    """A PNG with its pixels alone, with its animation or without; raises `refused` for other files.

    Pillow refuses pictures for texts that are long, for parts that do not match their checksum, and for later frames
    that lie outside of the picture.
    """
    if refused.reason in ("too_large", "too_small"):
        raise refused
    before = data
    for animation, note in (
        (True, ("text_left_out", f"text and other parts without pixels were left out ({refused.detail})")),
        (False, ("animated", "the first frame; its animation is damaged")),
    ):
        bare = filebytes.bare_png(data, animation=animation)
        if bare != before:
            try:
                return _noted(replace(_decoded(bare, clean), suffix=""), note)
            except Refused as why:
                if why.reason == "truncated":  # it would be without what was left out, too
                    raise
        before = bare
    raise refused


def _decoded(data: bytes, clean: Clean) -> Picture:
    if announced := filebytes.webp_size(data):
        check_size(*announced, clean)  # Pillow makes room for the canvas when it opens the file
    header = open_header(data)
    check_size(*header.size, clean)
    if header.format == "PNG" and b"IDAT" not in dict(filebytes.chunks(data)):  # Pillow would take a later frame
        raise Refused("unreadable", "PNG without pixels (it has no IDAT)")
    if preview := rgb.camera_raw(header, data):
        raise Refused("unreadable", preview)
    if excess := filebytes.excess(header, data, clean.max_pixels):
        raise Refused("too_large", excess)
    try:
        picture = _normalised(header, data)
    except Exception as error:  # noqa: BLE001 - plug-ins raise anything on broken input
        raise _verdict(error, data) from None
    check_size(*picture.image.size, clean)  # frames may be larger than their header says
    return picture


def _normalised(image: Image.Image, data: bytes) -> Picture:
    frames = rgb.frames(open_header(data) if image.format in ("TIFF", "GIF") else image, data)
    part = rgb.covered(image, data)
    most = rgb.largest_sample(image, data)
    image.load()  # before EXIF is asked for, which loads a PNG and passes over what it meets
    turn = _orientation(image)
    plain = image.mode == "RGB" and turn == 1 and not frames and not image.has_transparency_data
    own = _OWN.get(image.format or "", "")
    if part:
        image = rgb.clear_outside(image, part)
    result, note = rgb.from_deep_colour(image, most, data) if most else rgb.to_rgb(image)
    picture = Picture(result, "" if note[0] or not plain else own, *note, turn)
    if part:
        size = f"{part[2] - part[0]}x{part[3] - part[1]} of {image.width}x{image.height} px"
        picture = _noted(picture, ("ground", f"the first frame covers {size}; the rest is transparent"))
    return _noted(picture, ("animated", frames)) if frames else picture


def _part(data: bytes, clean: Clean) -> Picture:
    """What is there of a truncated file, if enough of its rows are."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # no other decode runs now
    try:
        picture = _decoded(data, clean)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    rows = np.asarray(picture.image)
    # what is missing is filled with one colour, from the bottom up
    missing = int(np.cumprod((rows[::-1] == rows[-1, -1]).all(axis=(1, 2))).sum())
    visible = 1 - missing / len(rows)
    sentence = f"truncated: {visible:.0%} of the rows are there"
    if visible < clean.truncated_min_visible:
        raise Refused("truncated", f"{sentence}, clean.truncated_min_visible = {clean.truncated_min_visible}")
    return replace(picture, suffix="", note="truncated", detail=sentence)


def _noted(picture: Picture, note: rgb.Note) -> Picture:
    """With one more note: the first code stands, all sentences do."""
    said = "; ".join(filter(None, (picture.detail, note[1])))
    return replace(picture, note=picture.note or note[0], detail=said)


def _not_read(data: bytes) -> Refused:
    if not data:
        return Refused("not_an_image", "the file is empty")
    if name := filebytes.signature(data):
        why = filebytes.header_said(name, data) or filebytes.kind_of_tiff(data)
        return Refused("unreadable", f"{name} whose header is damaged, cut or not supported" + (why and f" ({why})"))
    if name := filebytes.named(filebytes.NOT_READ, data):
        return Refused("unreadable", f"{name} is not read; these are: {', '.join(FORMATS)}, HEIF")
    found = filebytes.no_picture(data)
    return Refused("not_an_image", f"no known image format in {len(data)} bytes" + (f", but {found}" if found else ""))


def _verdict(error: Exception, data: bytes) -> Refused:
    """What a plug-in's exception says about the file; raises `MemoryError` where it says something of the machine."""
    if isinstance(error, Refused):
        return error
    # The words of Pillow's own checks may come from the file, and libheif speaks of sizes that no picture has.
    quotes = isinstance(error, ValueError | SyntaxError) or "limit exceeded" in str(error).lower()
    if not quotes and (isinstance(error, MemoryError) or _NO_MEMORY.search(str(error))):
        raise MemoryError(str(error)) from error
    cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
    if not (said := filebytes.said_by(error)):
        kind = filebytes.kind_of_tiff(data)
        said = f"{filebytes.signature(data) or 'picture'} that cannot be decoded" + (kind and f" ({kind})")
    return Refused("truncated" if cut else "unreadable", said)
