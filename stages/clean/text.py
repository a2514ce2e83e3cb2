"""Text on pictures: no boxes for what a font lacks.

Pillow's own font has Latin alone. What it lacks is drawn in DejaVu Sans, which comes with matplotlib, so that the
bytes do not depend on the fonts of a machine; what that lacks too (Chinese, Thai, emoji) is escaped as Python does.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import bidirectional

from PIL import ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_DEJAVU = "mpl-data/fonts/ttf/DejaVuSans.ttf"
_NOWHERE = "\U0010fffe"  # no font has it: shows what a missing character looks like
_SIDEWAYS = ("R", "AL")  # bidirectional classes of letters that are read from right to left


def legible(lines: Sequence[str], size: int, width: int | None = None) -> tuple[list[str], Font]:
    """Lines as they can be shown, and the font that shows them.

    Args:
        lines: texts; what cannot be printed becomes a question mark.
        size: of the font, in px.
        width: px; longer lines that need another font or escapes lose their beginning.
    """
    plain = ["".join(c if c.isprintable() else "?" for c in line) for line in lines]
    font = _font(size, wide=False)
    if all(c.isascii() or _has(c, size, wide=False) for line in plain for c in line):
        return plain, font
    font = _font(size, wide=True)
    shown = []
    for line in plain:
        parts = [c if c.isascii() or _has(c, size, wide=True) else c.encode("unicode_escape").decode() for c in line]
        while width is not None and len(parts) > 1 and font.getlength("".join(parts)) > width:
            del parts[0]
        shown.append("".join(_left_to_right(parts)))
    return shown, font


def _left_to_right(parts: Sequence[str]) -> list[str]:
    """In the order in which it is drawn; Pillow sees to that only where a library of the system is there."""
    runs = [
        (kind, list(run)) for kind, run in groupby(parts, lambda p: (bidirectional(p[0]) in _SIDEWAYS, p.isspace()))
    ]
    ordered = [run[::-1] if turned else run for (turned, _), run in runs]
    if runs and runs[0][0][0]:
        ordered.reverse()
    return [part for run in ordered for part in run]


@lru_cache
def _font(size: int, *, wide: bool) -> Font:
    if wide:
        spec = importlib.util.find_spec("matplotlib")  # finds it without loading it
        for folder in (spec and spec.submodule_search_locations) or ():
            if (file := Path(folder) / _DEJAVU).exists():
                return _remembering(ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC))
    return _remembering(ImageFont.load_default(size))


def _remembering(font: Font) -> Font:
    """The font, which draws a line that it has drawn before from memory: captions repeat themselves."""
    if isinstance(font, ImageFont.FreeTypeFont):
        font.getmask2 = lru_cache(maxsize=1000)(font.getmask2)  # type: ignore[assignment, method-assign]
    return font


@lru_cache(maxsize=10_000)
def _has(character: str, size: int, *, wide: bool) -> bool:
    font = _font(size, wide=wide)
    missing, own = font.getmask(_NOWHERE), font.getmask(character)
    return (own.size, bytes(own)) != (missing.size, bytes(missing))
