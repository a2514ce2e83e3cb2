"""From the first frame of an opened file to 8-bit RGB, so that what can be seen in the file is seen in the result.

A plain conversion loses pictures: 16-bit grey of 0 to 4095 turns black, white on transparent turns white on white. Here
the scale and the ground are chosen by the picture's own values, and the ledger says so.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, TiffImagePlugin

from stages.clean.filebytes import chunks, tags
from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

Note = tuple[str, str]  # a reason code and a sentence, both empty where there is nothing to say
NOTHING: Note = ("", "")
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits that sensors and files use
_LEVELS = 32  # grey levels of 256: a picture that would keep fewer is stretched
_GROUNDS = (("white", 255), ("black", 0), ("grey", 128))
_SEEN = 24  # grey levels: what differs less from its ground cannot be seen on it
_VANISHES = 0.2  # share of an outline that may vanish in white
_PART = 1 << 22  # samples that are worked on at a time
_MOST_FRAMES = 10_000
_SUBFILE, _WIDTH, _HEIGHT, _SUB_IFDS = 254, 256, 257, 330  # tags of TIFF


def camera_raw(header: Image.Image, data: bytes) -> str:
    """Why an opened TIFF is not the picture itself: its first page is a preview; "" where it is not, and for others."""
    if not isinstance(header, TiffImagePlugin.TiffImageFile):
        return ""
    subfile, places = header.tag_v2.get(_SUBFILE, 0), header.tag_v2.get(_SUB_IFDS, ())
    places = [place for place in (places if isinstance(places, tuple) else (places,)) if isinstance(place, int)][:16]
    reduced = isinstance(subfile, int) and bool(subfile & 1) and bool(places or header.tag_v2.next)
    sizes = [math.prod(tags(data, {_WIDTH: 0, _HEIGHT: 0}, place) or [0]) for place in places]
    if reduced or max(sizes, default=0) > header.width * header.height:
        return f"camera raw file; only its preview of {header.width}x{header.height} px can be read: convert it to JPEG"
    return ""


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
        names = [name for name, _ in chunks(data) if name in (b"fcTL", b"IDAT")]
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


def to_rgb(image: Image.Image) -> tuple[Image.Image, Note]:
    """Convert a loaded picture; the note says what had to be chosen: `rescaled`, `ground` or `transparent`."""
    if image.mode in _DEEP:
        grey, note = scaled(np.asarray(image))
        return Image.fromarray(grey).convert("RGB"), note
    if image.has_transparency_data:
        return _on_a_ground(image)
    if image.mode == "RGB":
        return image, NOTHING
    if image.mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "LAB", "RGB")) or image
        converted.info.pop("icc_profile", None)  # it holds the time of day
        return converted, NOTHING
    return image.convert("RGB"), NOTHING


def clear_outside(image: Image.Image, part: tuple[int, int, int, int]) -> Image.Image:
    """A loaded picture with everything outside of `part`, x1 y1 x2 y2, transparent, as browsers show it."""
    whole = image.convert("RGBA")
    result = Image.new("RGBA", whole.size)
    result.paste(whole.crop(part), part[:2])
    return result


def largest_sample(image: Image.Image, data: bytes) -> int:
    """The largest value that a sample of an opened picture in 16-bit colour can have; 0 for other pictures.

    Args:
        image: not loaded yet.
        data: the file.
    """
    if image.mode not in ("RGB", "RGBA", "LA") or not getattr(image, "tile", None):
        return 0
    args = image.tile[0].args  # type: ignore[attr-defined]
    first, last = (args[0], args[-1]) if isinstance(args, tuple) else (args, 0)
    most = 65535 if str(first).endswith(("16B", "16L", "16N")) else 0
    if image.format == "PPM":
        most = last
    elif image.format == "JPEG2000":
        at = data.find(b"\xff\x4f\xff\x51") + 2  # the header of the code stream, with the bits of the first channel
        most = 2 ** ((data[at + 40] & 0x7F) + 1) - 1 if 2 <= at < len(data) - 40 else 0
    return most if most > 255 else 0


def from_deep_colour(image: Image.Image, most: int, data: bytes) -> tuple[Image.Image, Note]:
    """Convert 16-bit colour, of which Pillow loads the high byte alone.

    Where the picture uses few of its 16 bits, OpenCV reads its samples whole.

    Args:
        image: loaded.
        most: as `largest_sample` says.
        data: the file.

    Raises:
        ValueError: OpenCV does not read the same picture.
    """
    ranges = image.getextrema()[: 1 if image.mode == "LA" else 3]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)  # type: ignore[misc]
    if high >= 64 and high - low >= _LEVELS:
        return to_rgb(image)
    try:
        found = cv2.imdecode(np.frombuffer(data + b"\n", np.uint8), cv2.IMREAD_UNCHANGED)  # a PPM in text ends with it
    except cv2.error:
        found = None
    if not _is_same(found, most, image):
        raise ValueError("16-bit colour that uses few of its bits, of a kind that is read with 8 bits a channel alone")
    pixels, note = scaled(np.ascontiguousarray(found[..., 2::-1]))
    result = Image.fromarray(pixels)
    if image.mode != "RGB":
        result.putalpha(image.getchannel("A"))
    result, ground = to_rgb(result)
    return result, note if note[0] else ground


def _is_same(found: NDArray[Any] | None, most: int, image: Image.Image) -> bool:
    """Whether OpenCV, if it found 16-bit colour, found the colours of a picture; some of the pixels are looked at."""
    if found is None or found.dtype != np.uint16 or found.shape[:2] != image.size[::-1] or found.shape[2:] < (3,):
        return False
    some = found[::8, ::8, 2::-1] * (255 / most)
    return bool(np.abs(some - np.asarray(image.convert("RGB"))[::8, ::8]).max() < 1.5)


def scaled(values: NDArray[Any]) -> tuple[NDArray[np.uint8], Note]:
    """Values of 16 bits, 32 bits or floating point to 8 bits, by the smallest usual range that holds them all.

    Where that range would leave fewer than 32 grey levels (a thermal camera's 29000 to 31000, say), the values are
    stretched from their smallest to their largest. 16 bits that are used keep their high byte, as Pillow does for
    16-bit colour. What is not a number becomes black.
    """
    whole = values.dtype.kind in "iu"
    finite = values[np.isfinite(values)]
    low, high = (finite.min().item(), finite.max().item()) if finite.size else (0.0, 0.0)
    black, white = _span(low, high, whole=whole)
    if low < high and (high - low) * 255 < _LEVELS * (white - black):
        black, white = low, high
    usual = black == 0 and white in ((65535,) if whole else (1, 255, 65535))
    factor = 256 / (white - black + 1) if whole else 255 / (white - black or 1)
    result = np.empty(values.shape, np.uint8)
    parts = 1 + values.size // _PART
    for source, target in zip(np.array_split(values, parts), np.array_split(result, parts), strict=True):
        part = np.nan_to_num(source.astype(np.float64), nan=black, posinf=white, neginf=black)
        target[:] = np.clip((part - black) * factor, 0, 255)
    said = f"grey or colour of {black:.6g} to {white:.6g} laid on 0 to 255"
    return result, NOTHING if usual else ("rescaled", said)


def _span(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    if low < 0:
        return low, high
    if whole:
        return 0, next(2**bits - 1 for bits in _DEPTHS if high < 2**bits)
    return 0, next((white for white in (1, 255, 65535) if high <= white), high)


def _on_a_ground(image: Image.Image) -> tuple[Image.Image, Note]:
    """Lay a picture with transparency on white, or on what its outline stands out from."""
    layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    pixels = np.asarray(layer)
    if pixels[..., 3].min() == 255:
        return layer.convert("RGB"), NOTHING
    if pixels[..., 3].max() == 0:
        return _under_glass(layer, pixels)
    lost = _lost(pixels)
    least = min(range(len(lost)), key=lost.__getitem__) if lost[0] > _VANISHES else 0
    name, level = _GROUNDS[least]
    ground = Image.new("RGBA", layer.size, (level, level, level, 255))
    result = Image.alpha_composite(ground, layer).convert("RGB")
    if lost[least] > 1 - _VANISHES:
        return result, ("transparent", f"nearly transparent: {lost[least]:.0%} of its outline cannot be seen on {name}")
    said = f"transparent parts laid on {name}: in white {lost[0]:.0%} of the outline would vanish"
    return result, ("ground", said) if least else NOTHING


def _under_glass(layer: Image.Image, pixels: NDArray[np.uint8]) -> tuple[Image.Image, Note]:
    """A picture of which every pixel is transparent: the colours that the file holds all the same, if they vary."""
    if any(high - low >= _SEEN for low, high in layer.getextrema()[:3]):  # type: ignore[misc]
        said = "every pixel is transparent; the colours that are stored with them were taken"
        return layer.convert("RGB"), ("transparent", said)
    blank = Image.new("RGB", (pixels.shape[1], pixels.shape[0]), "white")
    return blank, ("transparent", "every pixel is transparent; nothing but white is left")


def _lost(pixels: NDArray[np.uint8]) -> list[float]:
    """The share of the outline that cannot be seen, on each ground.

    The outline counts and not the area: a white spot inside of a red apple is seen on any ground.
    """
    seen = (pixels[..., 3] >= 128).astype(np.uint8)
    outline = seen > cv2.erode(seen, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    if not outline.any():
        outline = pixels[..., 3] > 0
    colours = pixels[outline].astype(np.int32)
    weight = colours[:, 3:]
    return [float((np.abs((colours[:, :3] - level) * weight).max(1) < _SEEN * 255).mean()) for _, level in _GROUNDS]
