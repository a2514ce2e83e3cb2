"""Sets whose pictures can be lost when they are converted: 16 bits of grey of any range, and transparent grounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.made import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

    Pairs = Iterator[tuple[str, Image.Image]]

SIDE = 160


def deep(tops: tuple[int, ...], low: float, rng: np.random.Generator) -> Pairs:
    """Scenes in 16-bit grey, from `low` of the top value up to one of `tops`."""
    for k in range(10**6):
        grey = np.asarray(draw.leaves(rng, SIDE, SIDE, 80).convert("L")).astype(np.float64)
        grey = (grey - grey.min()) / (grey.max() - grey.min())
        values = np.rint(tops[k % len(tops)] * (low + (1 - low) * grey))
        yield "ab"[k % 2], Image.fromarray(values.astype(np.uint16))


def icons(ink: tuple[int, int, int], mode: str, rng: np.random.Generator) -> Pairs:
    """Signs of one colour on a transparent ground; under it lies the same colour, or black."""
    signs = [chr(k) for k in (*range(48, 58), *range(65, 91), *range(97, 123), *range(0x2600, 0x2660))]
    for k, place in enumerate(rng.permutation(len(signs)).tolist()):
        mask = Image.new("L", (128, 128))
        draw.write(mask, signs[place], (64, 64), 80 + k % 20, (255,))
        under = Image.new("RGB", mask.size, ink if k % 2 else (0, 0, 0))
        under.paste(ink, (0, 0), mask)
        image = under.convert(mode.rstrip("A"))
        image.putalpha(mask)
        yield "ab"[k % 2], image


SETS = {
    "grey 16 to 254": lambda rng: deep((254,), 0, rng),
    "grey 16 to 4095": lambda rng: deep((4095,), 0, rng),
    "grey 16 to 65535": lambda rng: deep((65535,), 0, rng),
    "grey 16 narrow": lambda rng: deep((33000,), 0.97, rng),
    "grey 16 mixed": lambda rng: deep((254, 1023, 4095, 65535), 0, rng),
    "icons white": lambda rng: icons((255, 255, 255), "RGBA", rng),
    "icons black": lambda rng: icons((0, 0, 0), "RGBA", rng),
    "icons grey": lambda rng: icons((128, 128, 128), "LA", rng),
}  # fmt: skip
