"""The kinds of copies that people make of a photograph, each a function of the picture and of random numbers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from benchmarks.made import draw

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Change = Callable[[Image.Image, np.random.Generator], Image.Image]

QUALITY = 85  # of the JPEG that a copy is saved as


def encoded(image: Image.Image, quality: int = QUALITY) -> bytes:
    """JPEG."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _reencoded(quality: int) -> Change:
    return lambda image, _: Image.open(io.BytesIO(encoded(image, quality))).convert("RGB")


def _resized(factor: float) -> Change:
    return lambda image, _: image.resize(
        (max(round(image.width * factor), 1), max(round(image.height * factor), 1)), Image.Resampling.LANCZOS
    )


def _cropped(share: float, corner: bool) -> Change:
    """A window of `share` of both sides, in the middle or in one of the corners."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = round(image.width * share), round(image.height * share)
        at = rng.integers(0, 2, 2) if corner else (0.5, 0.5)
        x, y = int(at[0] * (image.width - width)), int(at[1] * (image.height - height))
        return image.crop((x, y, x + width, y + height))

    return change


def _turned(degrees: int) -> Change:
    return lambda image, _: image.rotate(
        degrees, Image.Resampling.BICUBIC, expand=degrees % 90 == 0, fillcolor=(255, 255, 255)
    )


def _mirrored(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(image)


def _brightened(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.25)


def _grey(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


def _bordered(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    fill = (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0)
    return ImageOps.expand(image, max(round(0.08 * max(image.size)), 1), fill)


def _banner(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A strip under the picture, with words."""
    strip = max(round(0.15 * image.height), 2)
    taller = Image.new("RGB", (image.width, image.height + strip), draw.colour(rng, 0, 120))
    taller.paste(image, (0, 0))
    size = max(round(0.5 * strip), 4)
    draw.write(taller, "BEST PRICE TODAY", (image.width / 2, image.height + strip / 2), size, (255, 255, 255), 1)
    return taller


def _caption(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Words over the picture, white with a black edge, above and below."""
    image = image.copy()
    pen = ImageDraw.Draw(image)
    size = max(round(image.width / 11), 5)
    for text, y in (("WHEN YOU SEE IT", 0.1), ("EVERY TIME", 0.9)):
        pen.text((image.width / 2, y * image.height), text, (255, 255, 255), draw.font(size, 1), anchor="mm",
                 stroke_width=max(size // 12, 1), stroke_fill=(0, 0, 0))  # fmt: skip
    return image


def _watermark(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A name all over the picture, half transparent and turned."""
    side = 2 * max(image.size)
    layer = Image.new("L", (side, side))
    size = max(round(max(image.size) / 14), 5)
    for row, y in enumerate(range(0, side, 4 * size)):
        for x in range(-size * (row % 2), side, 6 * size):
            ImageDraw.Draw(layer).text((x, y), "photo.stock", 70, draw.font(size))
    layer = layer.rotate(30 + int(rng.integers(10)), Image.Resampling.BILINEAR)
    x, y = (side - image.width) // 2, (side - image.height) // 2
    layer = layer.crop((x, y, x + image.width, y + image.height))
    return Image.composite(Image.new("RGB", image.size, (255, 255, 255)), image, layer)


def _overlay(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A sticker in one of the corners, a quarter of the shorter side."""
    image = image.copy()
    side = max(min(image.size) // 4, 3)
    x, y = (int(rng.integers(0, 2)) * (image.width - side), int(rng.integers(0, 2)) * (image.height - side))
    pen = ImageDraw.Draw(image)
    pen.ellipse((x, y, x + side, y + side), draw.colour(rng))
    draw.write(image, "NEW", (x + side / 2, y + side / 2), max(side // 4, 4), (255, 255, 255), 1)
    return image


def _screenshot(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture as a telephone shows it: bars, a name, buttons."""
    width, height = image.size
    top, bottom = round(0.22 * height), round(0.28 * height)
    dark = rng.random() < 0.5
    ground, ink = ((18, 18, 18), (230, 230, 230)) if dark else ((250, 250, 250), (30, 30, 30))
    screen = Image.new("RGB", (width, height + top + bottom), ground)
    screen.paste(image, (0, top))
    size = max(round(width / 18), 4)
    draw.write(screen, f"12:4{rng.integers(10)}        LTE  8{rng.integers(10)}%", (width / 2, top / 4), size, ink)
    draw.write(screen, f"some_one_{rng.integers(1000)}", (width / 2, 0.7 * top), size, ink, 1)
    draw.write(screen, f"{rng.integers(1000)} likes", (width / 2, height + 1.3 * top), size, ink)
    pen = ImageDraw.Draw(screen)
    for k in range(4):
        x, y, r = width * (2 * k + 1) / 8, height + top + 0.75 * bottom, max(size / 2, 2)
        pen.ellipse((x - r, y - r, x + r, y + r), outline=ink, width=max(size // 6, 1))
    return screen


SINGLE: dict[str, Change] = {
    "reencoded 90": _reencoded(90),
    "reencoded 50": _reencoded(50),
    "reencoded 10": _reencoded(10),
    "resized to 0.5": _resized(0.5),
    "resized to 1.5": _resized(1.5),
    "centre crop 0.9": _cropped(0.9, corner=False),
    "centre crop 0.7": _cropped(0.7, corner=False),
    "centre crop 0.5": _cropped(0.5, corner=False),
    "corner crop 0.9": _cropped(0.9, corner=True),
    "corner crop 0.7": _cropped(0.7, corner=True),
    "corner crop 0.5": _cropped(0.5, corner=True),
    "rotated 90": _turned(90),
    "rotated 180": _turned(180),
    "rotated 5": _turned(5),
    "mirrored": _mirrored,
    "brightened": _brightened,
    "grey": _grey,
    "bordered": _bordered,
    "banner": _banner,
    "caption": _caption,
    "watermark": _watermark,
    "overlay": _overlay,
    "screenshot": _screenshot,
}
_FIRST = ("centre crop 0.9", "corner crop 0.9", "centre crop 0.7", "mirrored", "rotated 90", "resized to 0.5", "grey")
_SECOND = ("reencoded 50", "brightened", "bordered", "banner", "caption", "watermark", "overlay", "screenshot")


def _in_a_row(*names: str) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        for name in names:
            image = SINGLE[name](image, rng)
        return image

    return change


def _two(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Two changes drawn at random: one of the geometry or of colour, then one that people put on top."""
    return _in_a_row(_FIRST[rng.integers(len(_FIRST))], _SECOND[rng.integers(len(_SECOND))])(image, rng)


KINDS: dict[str, Change] = SINGLE | {
    "mirrored, crop 0.9": _in_a_row("mirrored", "centre crop 0.9"),
    "mirrored, crop 0.7": _in_a_row("mirrored", "centre crop 0.7"),
    "screenshot, cropped": _in_a_row("screenshot", "centre crop 0.9"),
    "two in a row": _two,
}


def copied(name: str, original: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Suffix and content of a copy of the file `original`; a screenshot is a PNG, all else a JPEG."""
    image = Image.open(io.BytesIO(original)).convert("RGB")
    if name.startswith("reencoded"):
        return ".jpg", encoded(image, int(name.split()[1]))
    changed = KINDS[name](image, rng)
    if name != "screenshot":
        return ".jpg", encoded(changed)
    buffer = io.BytesIO()
    changed.save(buffer, "PNG")
    return ".png", buffer.getvalue()
