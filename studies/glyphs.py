"""Draw a collection of letters, digits and signs, a folder for each: a stand-in with many classes.

Run as `python -m studies.glyphs studies/sources/glyphs`. It is no collection of photographs. What a network gains
there says something of the network and of its recipe, and nothing about dishes.

Most pictures stand upright, as most photographs do. So that a mirrored or turned picture keeps its label, letters that
mirroring or turning makes into another are left out (p of b, W of M, u of n), and so are those that only their size
tells from another (c, k, o).
"""

from __future__ import annotations

import argparse
import functools
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.made import draw
from benchmarks.made.kinds import encoded
from stages.core import console, errors
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Digits, capitals, small letters, signs, Greek letters.
GLYPHS = "02345678ABCDEFGHJKLMNPQRSTVXYabefghimnrty&@#%$?§¶€£¥©ßΔΦΨΩΞλ"
# Fonts with all of them; matplotlib brings them, so that they are the same everywhere.
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
)
PIXELS = 64  # side of a picture
IMAGES = 80  # of each class
SHORT = {"latin_capital_letter": "upper", "latin_small_letter": "lower", "greek_capital_letter": "greek",
         "greek_small_letter": "greek_lower"}  # fmt: skip


def name(glyph: str) -> str:
    """The folder of a class: `upper_a`, `digit_0`, `dollar_sign`; safe where capitals do not count."""
    said = unicodedata.name(glyph).lower().replace(" ", "_").replace("-", "_")
    for long, short in SHORT.items():
        said = said.replace(long, short)
    return f"digit_{glyph}" if glyph.isdigit() else said


@functools.lru_cache(maxsize=1000)
def font(which: int, size: int) -> ImageFont.FreeTypeFont:
    """One of FONTS."""
    return ImageFont.truetype(f"{mpl.get_data_path()}/fonts/ttf/{FONTS[which]}.ttf", size)


def picture(glyph: str, rng: np.random.Generator, pixels: int = PIXELS) -> Image.Image:
    """One glyph of a dark colour on a bright, textured ground."""
    texture = draw.leaves(rng, pixels, pixels, 40)
    ground = Image.blend(draw.smooth(rng, pixels, pixels, 140, 256), texture, rng.uniform(0, 0.4))
    ink = draw.colour(rng, 0, 80)

    mask = Image.new("L", (2 * pixels, 2 * pixels))  # twice as large, so that no turn or shift cuts it before its time
    letter = font(int(rng.integers(len(FONTS))), round(rng.uniform(0.7, 1.0) * pixels))
    left, top, right, bottom = letter.getbbox(glyph)
    at = (pixels - (left + right) / 2, pixels - (top + bottom) / 2)  # its ink in the middle
    ImageDraw.Draw(mask).text(at, glyph, 255, letter)
    mask = mask.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC)
    x, y = (round(pixels / 2 + shift) for shift in rng.uniform(-0.08, 0.08, 2) * pixels)
    ground.paste(ink, (0, 0), mask.crop((x, y, x + pixels, y + pixels)))
    return draw.noisy(rng, ground, rng.uniform(0, 8))


def pictures(images: int, seed: int, glyphs: Sequence[str] = GLYPHS) -> Iterator[tuple[str, bytes]]:
    """Path below the collection and content of every picture; a picture depends on its class, its number and `seed`."""
    for glyph in glyphs:
        for i in range(images):
            rng = np.random.default_rng([seed, ord(glyph), i])
            yield f"{name(glyph)}/{i:03}.jpg", encoded(picture(glyph, rng))


def main() -> None:
    """Draw the collection.

    Raises:
        UserError: the folder is there already.
    """
    parser = argparse.ArgumentParser(prog="python -m studies.glyphs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the collection goes; nothing is overwritten")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"of each class ({IMAGES})")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    if told.folder.exists():
        raise UserError(f"{told.folder} is there already, and nothing is overwritten; remove it or name another folder")
    for path, content in console.progress(list(pictures(told.images, told.seed)), desc="glyphs"):
        (told.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (told.folder / path).write_bytes(content)
    console.say(f"{told.folder}: {len(GLYPHS)} classes, {told.images} pictures each")


if __name__ == "__main__":
    errors.run(main)
