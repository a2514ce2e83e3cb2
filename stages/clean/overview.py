"""Images per class before and after, and the sizes of what was kept, as one picture.

Drawn with Pillow: matplotlib takes longer to load and draw this than ten thousand small pictures take to clean.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from stages.clean.text import legible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

WIDTH, HEAD, FOOT, ROW = 960, 30, 44, 20  # px
NAMES, BARS, PLOT, EDGE = 180, 260, 590, 936  # px from the left: where names end, and bars; where the plot starts, ends
SHOWN = 50  # classes up to which each has a row with its name
INK, BEFORE, AFTER, LINE = "#1f2328", "#c9d1d9", "#0969da", "#d0d7de"


def draw(before: Mapping[str, int], after: Mapping[str, int], sizes: Iterable[tuple[int, int]], target: Path) -> None:
    """Draw the picture.

    Args:
        before: images of each class, in the order of the rows.
        after: those of them that were kept.
        sizes: width and height in px of the kept images.
        target: the PNG.
    """
    rows = max(min(len(before), SHOWN), 10)
    image = Image.new("RGB", (WIDTH, HEAD + ROW * rows + FOOT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    _bars(pen, font, before, after, rows)
    _sizes(pen, font, list(sizes), ROW * rows)
    image.quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(target)


def _bars(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    before: Mapping[str, int],
    after: Mapping[str, int],
    rows: int,
) -> None:
    few = len(before) <= SHOWN
    title = (
        "images per class, before and after" if few else f"images per class, before and after, {len(before)} classes"
    )
    pen.text((NAMES, HEAD - 8), title, INK, font, anchor="ls")
    most = max(before.values(), default=1)
    step = ROW if few else ROW * rows / len(before)
    for place, (name, count) in enumerate(before.items()):
        top, kept = HEAD + step * place, after.get(name, 0)
        low, high = (top + 0.15 * step, top + 0.85 * step) if few else (top, top + step)
        pen.rectangle((NAMES, low, NAMES + BARS * count / most, high), BEFORE)
        if kept:
            pen.rectangle((NAMES, low, NAMES + BARS * kept / most, high), AFTER)
        if few:
            (said,), own = legible([name], 12)
            while len(said) > 3 and pen.textlength(said, own) > NAMES - 20:
                said = said.removesuffix("..")[:-1] + ".."
            middle = top + step / 2
            pen.text((NAMES - 8, middle), said, INK, own, anchor="rm")
            numbers = str(count) if kept == count else f"{kept} of {count}"
            pen.text((NAMES + BARS + 8, middle), numbers, INK, font, anchor="lm")


def _sizes(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    sizes: Sequence[tuple[int, int]],
    height: int,
) -> None:
    pen.text((PLOT, HEAD - 8), f"size of {len(sizes)} kept images: width and height in px", INK, font, anchor="ls")
    pen.rectangle((PLOT, HEAD, EDGE, HEAD + height), outline=LINE)
    if not sizes:
        return
    left, right = _range([w for w, _ in sizes])
    low, high = _range([h for _, h in sizes])

    def x(width: float) -> float:
        return PLOT + (EDGE - PLOT) * math.log(width / left) / math.log(right / left)

    def y(value: float) -> float:
        return HEAD + height - height * math.log(value / low) / math.log(high / low)

    for tick in _ticks(left, right):
        pen.line((x(tick), HEAD, x(tick), HEAD + height), LINE)
        pen.text((x(tick), HEAD + height + 6), str(tick), INK, font, anchor="ma")
    for tick in _ticks(low, high):
        pen.line((PLOT, y(tick), EDGE, y(tick)), LINE)
        pen.text((PLOT - 6, y(tick)), str(tick), INK, font, anchor="rm")
    for width, value in sorted(set(sizes)):
        pen.ellipse((x(width) - 2, y(value) - 2, x(width) + 2, y(value) + 2), AFTER)


def _range(values: Sequence[int]) -> tuple[float, float]:
    """Ends of a logarithmic axis, with some room."""
    return min(values) / 1.25, max(values) * 1.25


def _ticks(low: float, high: float) -> list[int]:
    """1, 2 and 5 times powers of ten; every whole number in a range that holds too few of them."""
    usual = [step * 10**power for power in range(7) for step in (1, 2, 5) if low <= step * 10**power <= high]
    return usual if len(usual) > 1 else sorted({math.ceil(low), round(math.sqrt(low * high)), math.floor(high)})
