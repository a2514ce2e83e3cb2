"""From any mode of Pillow to 8-bit RGB, so that what can be seen in the file can be seen in the result.

A plain conversion loses pictures: 16-bit grey of 0 to 4095 turns black, white on transparent turns white on white. Here
the scale and the ground are chosen by the picture's own values, and the ledger says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stages.clean.opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Note = tuple[str, str]  # a reason code and a sentence, both empty where there is nothing to say
NOTHING: Note = ("", "")
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits that sensors and files use
_LEVELS = 32  # grey levels of 256: a picture that would keep fewer is stretched
_GROUNDS = (("white", 255), ("black", 0), ("grey", 128))
_SEEN = 24  # grey levels: what differs less from its ground cannot be seen on it
_VANISHES = 0.2  # share of an outline that may vanish in white
_SWAPPED = {"16B": "16L", "16L": "16B", "16N": "16B"}  # the order of two bytes; N is the machine's own, little
_STRIP = 1 << 22  # pixels that are worked on at a time


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


def deep_colour(image: Image.Image, data: bytes) -> str:
    """How 16-bit colour is stored, before it is loaded: the order of its bytes, or the format; "" for others.

    Args:
        image: the opened file.
        data: its bytes.
    """
    if image.mode not in ("RGB", "RGBA", "LA") or not getattr(image, "tile", None):
        return ""
    args = image.tile[0].args  # type: ignore[attr-defined]
    if image.format == "PPM":
        return "PPM" if isinstance(args, tuple) and args[-1] > 255 else ""
    if image.format == "JPEG2000":
        return "JPEG2000" if _bits_of_jpeg_2000(data) > 8 else ""
    raw = str(args[0] if isinstance(args, tuple) else args)
    return raw[-3:] if raw[-3:] in _SWAPPED else ""


def from_deep_colour(image: Image.Image, kind: str, again: Image.Image, data: bytes) -> tuple[Image.Image, Note]:
    """Convert 16-bit colour, of which Pillow loads the high byte alone.

    Where the picture uses few of its 16 bits, its samples are read whole.

    Args:
        image: loaded.
        kind: as `deep_colour` says.
        again: the same file, opened.
        data: its bytes.

    Raises:
        ValueError: this kind of file cannot be read whole.
    """
    ranges = image.getextrema()[: 1 if image.mode == "LA" else 3]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)  # type: ignore[misc]
    if high >= 64 and high - low >= _LEVELS:
        return to_rgb(image)
    if kind == "PPM":
        samples = _ppm_samples(again, data)
    elif kind == "JPEG2000":
        samples = _jpeg_2000_samples(image, data)
    else:
        samples = _png_or_tiff_samples(image, kind, again)
    pixels, note = scaled(samples)
    result = Image.fromarray(pixels)
    if image.mode != "RGB":
        result.putalpha(image.getchannel("A"))
    result, ground = to_rgb(result)
    return result, note if note[0] else ground


def _png_or_tiff_samples(image: Image.Image, order: str, again: Image.Image) -> NDArray[np.uint16]:
    """The low byte comes from a second reading with the order of the bytes swapped.

    Of grey with opacity Pillow knows one order; its four bytes of a pixel are read as if they were four channels.
    """
    four = str(again.tile[0].args).find("LA;16B") >= 0  # type: ignore[attr-defined]
    for k, tile in enumerate(again.tile):  # type: ignore[attr-defined]
        first, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        raw = "RGBA" if four else first[:-3] + _SWAPPED[order]
        again.tile[k] = tile._replace(args=(raw, *rest) if rest else raw)  # type: ignore[attr-defined]
    again.load()
    low = np.asarray(again)
    if four:
        return np.repeat(low[..., :1].astype(np.uint16) * 256 + low[..., 1:2], 3, axis=2)
    return np.asarray(np.asarray(image)[..., :3].astype(np.uint16) * 256 + low[..., :3], np.uint16)


def _ppm_samples(again: Image.Image, data: bytes) -> NDArray[np.uint16]:
    codec, _, start, _ = again.tile[0]  # type: ignore[attr-defined]
    count = again.width * again.height * 3
    if codec == "ppm_plain":
        words = re.sub(rb"#[^\n\r]*", b" ", data[start:]).split()[:count]
        found = np.array([int(word) for word in words], np.uint16)
    else:
        body = data[start : start + 2 * count]
        found = np.frombuffer(body[: len(body) // 2 * 2], ">u2").astype(np.uint16)
    return np.pad(found, (0, count - len(found))).reshape(again.height, again.width, 3)


def _jpeg_2000_samples(image: Image.Image, data: bytes) -> NDArray[np.uint16]:
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        found = None
    if found is not None and found.ndim == 3 and found.dtype == np.uint16 and found.shape[2] in (3, 4):
        samples = np.ascontiguousarray(found[..., 2::-1])
        high = samples >> (_bits_of_jpeg_2000(data) - 8)
        if high.shape[:2] == image.size[::-1] and np.abs(high.astype(int) - np.asarray(image)[..., :3]).max() <= 1:
            return np.asarray(samples, np.uint16)
    raise ValueError("JPEG 2000 that uses few of its bits, of a kind that is read with 8 bits a channel alone")


def _bits_of_jpeg_2000(data: bytes) -> int:
    """Bits of the first channel, by the header of the code stream."""
    at = data.find(b"\xff\x4f\xff\x51") + 2
    return (data[at + 40] & 0x7F) + 1 if 2 <= at < len(data) - 40 else 8


def scaled(values: NDArray[Any]) -> tuple[NDArray[np.uint8], Note]:
    """Values of 16 bits, 32 bits or floating point to 8 bits, by the smallest usual range that holds them all.

    Where that range would leave fewer than 32 grey levels (a thermal camera's 29000 to 31000, say), the values are
    stretched from their smallest to their largest. 16 bits that are used keep their high byte, as Pillow does for
    16-bit colour. What is not a number becomes black.
    """
    whole = values.dtype.kind in "iu"
    low, high = _range(values)
    black, white = _span(low, high, whole=whole)
    if low < high and (high - low) * 255 < _LEVELS * (white - black):
        black, white = low, high
    usual = black == 0 and white in ((65535,) if whole else (1, 255, 65535))
    factor = 256 / (white - black + 1) if whole else 255 / (white - black or 1)
    result = np.empty(values.shape, np.uint8)
    for rows in _strips(values):
        part = np.nan_to_num(values[rows].astype(np.float64), nan=black, posinf=white, neginf=black)
        result[rows] = np.clip((part - black) * factor, 0, 255)
    said = f"grey or colour of {black:.6g} to {white:.6g} laid on 0 to 255"
    return result, NOTHING if usual else ("rescaled", said)


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest value that is finite."""
    if values.dtype.kind in "iu":
        return int(values.min()), int(values.max())
    parts = [part for rows in _strips(values) if (part := values[rows][np.isfinite(values[rows])]).size]
    return (float(min(p.min() for p in parts)), float(max(p.max() for p in parts))) if parts else (0.0, 0.0)


def _span(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    if low < 0:
        return low, high
    if whole:
        return 0, next(2**bits - 1 for bits in _DEPTHS if high < 2**bits)
    return 0, next((white for white in (1, 255, 65535) if high <= white), high)


def _strips(values: NDArray[Any]) -> Iterator[slice]:
    step = max(1, _STRIP // max(1, values[0].size))
    return (slice(start, start + step) for start in range(0, len(values), step))


def _on_a_ground(image: Image.Image) -> tuple[Image.Image, Note]:
    """Lay a picture with transparency on white, or on what its outline stands out from."""
    layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    pixels = np.asarray(layer)
    opaque, clear = int(pixels[..., 3].min()) == 255, int(pixels[..., 3].max()) == 0
    if opaque:
        return layer.convert("RGB"), NOTHING
    if clear:
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
    seen = pixels[..., 3] >= 128
    outline = np.zeros_like(seen)
    outline[1:] |= seen[1:] & ~seen[:-1]
    outline[:-1] |= seen[:-1] & ~seen[1:]
    outline[:, 1:] |= seen[:, 1:] & ~seen[:, :-1]
    outline[:, :-1] |= seen[:, :-1] & ~seen[:, 1:]
    if not outline.any():
        outline = pixels[..., 3] > 0
    colours = pixels[outline].astype(np.int32)
    weight = colours[:, 3:]
    return [float((np.abs((colours[:, :3] - level) * weight).max(1) < _SEEN * 255).mean()) for _, level in _GROUNDS]
