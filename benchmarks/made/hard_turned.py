"""Sets whose classes differ by turning or mirroring alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from benchmarks.made import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Pairs = Iterator[tuple[str, Image.Image]]

SIDE = 200


def _plain(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), draw.colour(rng, 150, 256))


def _photo(rng: np.random.Generator) -> Image.Image:
    return draw.leaves(rng, SIDE, SIDE, 80)


def _arrow(image: Image.Image, rng: np.random.Generator, ink: tuple[int, int, int]) -> Image.Image:
    """An arrow to the left somewhere near the middle."""
    image = image.copy()
    x, y, s = *rng.integers(70, 90, 2), int(rng.integers(30, 55))
    shape = [(-s, 0), (0, -s), (0, -s // 2), (s, -s // 2), (s, s // 2), (0, s // 2), (0, s)]
    ImageDraw.Draw(image).polygon([(int(x) + 20 + a, int(y) + 20 + b) for a, b in shape], ink)
    return image


def arrows(ground: Callable[[np.random.Generator], Image.Image], rng: np.random.Generator) -> Pairs:
    """Arrows to the left, each with its mirror image."""
    while True:
        image = _arrow(ground(rng), rng, draw.colour(rng, 0, 110))
        yield "left", image
        yield "right", draw.noisy(rng, ImageOps.mirror(image), 2) if ground is _photo else ImageOps.mirror(image)


def arrows_in_place(rng: np.random.Generator) -> Pairs:
    """The same place, the arrow alone turned."""
    while True:
        ground, ink, seed = _photo(rng), draw.colour(rng, 0, 110), int(rng.integers(2**31))
        yield "left", draw.noisy(rng, _arrow(ground, np.random.default_rng(seed), ink), 2)
        turned = ImageOps.mirror(_arrow(ImageOps.mirror(ground), np.random.default_rng(seed), ink))
        yield "right", draw.noisy(rng, turned, 2)


def letters(ground: Callable[[np.random.Generator], Image.Image], rng: np.random.Generator) -> Pairs:
    """b, and what its mirror images and its turn are called."""
    turns: dict[str, Callable[[Image.Image], Image.Image]] = {
        "b": lambda i: i,
        "d": ImageOps.mirror,
        "p": ImageOps.flip,
        "q": lambda i: i.rotate(180),
    }
    for k in range(10**6):
        image = ground(rng)
        at = SIDE / 2 + rng.integers(-25, 26, 2)
        draw.write(image, "b", tuple(at), int(rng.integers(90, 150)), draw.colour(rng, 0, 110), k)
        yield from ((label, turn(image)) for label, turn in turns.items())


def digits(ground: Callable[[np.random.Generator], Image.Image], rng: np.random.Generator) -> Pairs:
    """6, and the same paper upside down."""
    for k in range(10**6):
        image = ground(rng)
        at = SIDE / 2 + rng.integers(-25, 26, 2)
        draw.write(image, "6", tuple(at), int(rng.integers(90, 150)), draw.colour(rng, 0, 110), k)
        yield "6", image
        yield "9", image.rotate(180)


def pages(rng: np.random.Generator) -> Pairs:
    """Pages of print, each one laid into the scanner in four ways."""
    while True:
        page = Image.new("RGB", (SIDE, SIDE), (250, 249, 245))
        for y in range(20, SIDE - 15, 14):
            text = " ".join("".join(chr(97 + k) for k in rng.integers(0, 26, rng.integers(2, 9))) for _ in range(5))
            ImageDraw.Draw(page).text((14, y), text[: int(rng.integers(8, 27))], (30, 30, 30), draw.font(10, 2))
        page = draw.noisy(rng, page, 2)
        yield from ((f"turned {degrees}", page.rotate(degrees)) for degrees in (0, 90, 180, 270))


def rings(rng: np.random.Generator) -> Pairs:
    """The rings of an eye test, with the gap in eight directions."""
    while True:
        ground, radius = _plain(rng), int(rng.integers(45, 80))
        box = (SIDE / 2 - radius, SIDE / 2 - radius, SIDE / 2 + radius, SIDE / 2 + radius)
        for direction in range(0, 360, 45):
            image = ground.copy()
            ImageDraw.Draw(image).arc(box, direction + 15, direction + 345, (10, 10, 10), radius * 2 // 5)
            yield str(direction), image


def signs(rng: np.random.Generator) -> Pairs:
    """Blue signs at the roadside that order a turn; the place is the same for both."""
    while True:
        ground, centre = _photo(rng), SIDE / 2 + rng.integers(-15, 16, 2)
        x, y = float(centre[0]), float(centre[1])
        sign = ground.copy()
        pen = ImageDraw.Draw(sign)
        pen.ellipse((x - 60, y - 60, x + 60, y + 60), (20, 70, 180), (240, 240, 240), 4)
        pen.line([x + 25, y + 40, x + 25, y, x - 20, y], (255, 255, 255), 14)
        pen.polygon([(x - 45, y), (x - 15, y - 25), (x - 15, y + 25)], (255, 255, 255))
        box = (round(x) - 60, round(y) - 60, round(x) + 60, round(y) + 60)
        other = sign.copy()
        other.paste(ImageOps.mirror(sign.crop(box)), box[:2])
        yield "left", draw.noisy(rng, sign, 3)
        yield "right", draw.noisy(rng, other, 3)


def spirals(rng: np.random.Generator) -> Pairs:
    """Snails whose houses turn one way or the other."""
    while True:
        image = draw.smooth(rng, SIDE, SIDE)
        t = np.linspace(0, 6 * np.pi, 200)
        start, reach = rng.uniform(0, 2 * np.pi), rng.uniform(3, 4.2)
        points = SIDE / 2 + np.stack([reach * t * np.cos(t + start), reach * t * np.sin(t + start)], 1)
        ImageDraw.Draw(image).line(
            [tuple(p) for p in points.tolist()], draw.colour(rng, 0, 80), int(rng.integers(4, 9))
        )
        image = draw.noisy(rng, image, 3)
        yield "clockwise", image
        yield "anticlockwise", ImageOps.mirror(image)


def chips(rng: np.random.Generator) -> Pairs:
    """Chips on one tray: the notch tells which way round each was placed. Half a turn is a fault."""
    tray = draw.leaves(rng, SIDE, SIDE, 60)
    while True:
        name = "".join(chr(65 + k) for k in rng.integers(0, 26, 2)) + str(rng.integers(10, 99))
        chip = Image.new("RGB", (120, 70), (35, 35, 38))
        ImageDraw.Draw(chip).ellipse((-10, 25, 10, 45), (120, 120, 120))
        draw.write(chip, name, (65, 35), 28, (210, 210, 210), 3)
        for label, one in (("right", chip), ("wrong way round", chip.rotate(180))):
            image = tray.copy()
            image.paste(one, (40, 65))
            yield label, draw.noisy(rng, image, 2)


SETS = {
    "arrows drawn": lambda rng: arrows(_plain, rng),
    "arrows": lambda rng: arrows(_photo, rng),
    "arrows in place": arrows_in_place,
    "b d p q drawn": lambda rng: letters(_plain, rng),
    "b d p q": lambda rng: letters(_photo, rng),
    "6 9 drawn": lambda rng: digits(_plain, rng),
    "6 9": lambda rng: digits(_photo, rng),
    "pages": pages,
    "rings drawn": rings,
    "signs": signs,
    "spirals": spirals,
    "chips": chips,
}  # fmt: skip
