"""What the made pictures are drawn with: grounds, textures, shapes and words, all from random numbers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono-Bold")


@functools.lru_cache(maxsize=200)
def font(size: int, kind: int = 0) -> ImageFont.FreeTypeFont:
    """One of four fonts; matplotlib brings them, so that they are the same everywhere."""
    return ImageFont.truetype(f"{mpl.get_data_path()}/fonts/ttf/{_FONTS[kind % len(_FONTS)]}.ttf", size)


def colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    """A random colour."""
    red, green, blue = rng.integers(low, high, 3)
    return int(red), int(green), int(blue)


def leaves(rng: np.random.Generator, width: int, height: int, count: int = 120) -> Image.Image:
    """Random shapes over one another, large ones first: edges and sizes are spread as in a photograph."""
    canvas = np.full((height, width, 3), colour(rng, 60, 200), np.uint8)
    side = min(width, height)
    for radius in np.sort(0.02 * side * (1 - rng.random(count)) ** -0.8)[::-1]:
        reach = int(min(radius, side / 3)) + 2
        x, y = int(rng.integers(width)), int(rng.integers(height))
        points = np.array([x, y]) + rng.integers(-reach, reach + 1, (int(rng.integers(3, 7)), 2))
        if rng.random() < 0.5:
            axes = (reach, int(rng.integers(reach // 2, reach + 1)))
            cv2.ellipse(canvas, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, colour(rng), -1, cv2.LINE_AA)
        else:
            cv2.fillPoly(canvas, [points.astype(np.int32)], colour(rng), cv2.LINE_AA)
    return noisy(rng, lit(rng, Image.fromarray(canvas)), 3)


def smooth(rng: np.random.Generator, width: int, height: int, low: int = 70, high: int = 200) -> Image.Image:
    """A soft ground without any edge."""
    coarse = Image.fromarray(rng.integers(low, high, (4, 4, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def lit(rng: np.random.Generator, image: Image.Image, strength: float = 0.25) -> Image.Image:
    """Light that falls off towards one side."""
    height, width = image.height, image.width
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = rng.uniform(0, 2 * np.pi)
    gain = 1 + strength / 2 * (np.cos(angle) * x + np.sin(angle) * y)
    return Image.fromarray(np.clip(np.asarray(image) * gain[..., None], 0, 255).astype(np.uint8))


def noisy(rng: np.random.Generator, image: Image.Image, sigma: float) -> Image.Image:
    """Noise of a sensor, of each channel by itself."""
    values = np.asarray(image).astype(np.float32)
    return Image.fromarray(np.clip(values + rng.normal(0, sigma, values.shape), 0, 255).astype(np.uint8))


def write(
    image: Image.Image,
    text: str,
    centre: Sequence[float],
    size: int,
    ink: tuple[int, ...] = (20, 20, 20),
    kind: int = 0,
) -> None:
    """Write `text` around `centre`."""
    ImageDraw.Draw(image).text((centre[0], centre[1]), text, ink, font(size, kind), anchor="mm")


def hand(
    image: Image.Image, centre: Sequence[float], degrees: float, length: float, width: int, ink: tuple[int, ...]
) -> None:
    """A line from `centre`, clockwise from the top, as the hand of a clock."""
    radians = np.radians(degrees)
    tip = (centre[0] + length * np.sin(radians), centre[1] - length * np.cos(radians))
    ImageDraw.Draw(image).line([centre[0], centre[1], *tip], ink, width)
