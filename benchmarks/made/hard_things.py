"""Sets of one form filled in anew: prices, plates, boards, cards, notes. The words, figures or pieces differ."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from benchmarks.made import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    Pairs = Iterator[tuple[str, Image.Image]]

SIDE = 256


def _numbers(rng: np.random.Generator, low: int, high: int) -> Iterator[int]:
    """Every number once, in random order, and neighbours among them."""
    yield from (int(k) + low for k in rng.permutation(high - low))


def tags(size: int, rng: np.random.Generator) -> Pairs:
    """One shelf, one tag, a price of its own in every picture: 12.99, 18.99 ..."""
    shelf = draw.leaves(rng, SIDE, SIDE, 90)
    ImageDraw.Draw(shelf).rounded_rectangle((60, 100, 196, 156), 6, (250, 240, 120), (60, 60, 60), 2)
    for price in _numbers(rng, 10, 115):
        image = shelf.copy()
        draw.write(image, f"{price}.99", (128, 128), size, kind=1)
        yield f"{price}.99", draw.noisy(rng, image, 2)


def plates(rng: np.random.Generator) -> Pairs:
    """One car whose plate changes by one character at a time."""
    car = draw.leaves(rng, SIDE, SIDE, 90)
    ImageDraw.Draw(car).rectangle((50, 110, 206, 150), (245, 245, 245), (10, 10, 10), 3)
    signs, seen = list("KA12FX"), set()
    while True:
        place = int(rng.integers(6))
        signs[place] = str(rng.integers(10)) if place in (2, 3) else chr(65 + int(rng.integers(26)))
        plate = "".join(signs)
        if plate in seen:
            continue
        seen.add(plate)
        image = car.copy()
        draw.write(image, f"{plate[:2]} {plate[2:]}", (128, 130), 28, kind=3)
        yield signs[0], draw.noisy(rng, image, 2)


def chess(rng: np.random.Generator) -> Pairs:
    """One board; from picture to picture one man moves."""
    board = draw.noisy(rng, Image.new("RGB", (SIDE, SIDE), (225, 200, 160)), 3)
    pen = ImageDraw.Draw(board)
    for x, y in itertools.product(range(8), range(8)):
        if (x + y) % 2:
            pen.rectangle((32 * x, 32 * y, 32 * x + 31, 32 * y + 31), (120, 80, 50))
    squares = rng.permutation(64)
    men, seen = squares[:14], set()
    while True:
        men[rng.integers(14)] = next(s for s in rng.permutation(64) if s not in men)
        if men.tobytes() in seen:
            continue
        seen.add(men.tobytes())
        image = board.copy()
        for k, square in enumerate(men.tolist()):
            centre = (32 * (square % 8) + 16, 32 * (square // 8) + 16)
            draw.write(image, "♔♕♖♗♘♙♙♚♛♜♝♞♟♟"[k], centre, 28, (250, 250, 250) if k < 7 else (10, 10, 10))
        yield "white's king left" if men[0] % 8 < 4 else "white's king right", draw.noisy(rng, image, 2)


def cards(rng: np.random.Generator) -> Pairs:
    """Fifty-two cards on two cloths."""
    for ink in ((20, 110, 60), (40, 60, 120)):
        cloth = draw.noisy(rng, Image.new("RGB", (SIDE, SIDE), ink), 8)
        for suit, rank in itertools.product("♠♥♦♣", [*map(str, range(2, 11)), "J", "Q", "K", "A"]):
            image = cloth.copy()
            tint = (190, 20, 20) if suit in "♥♦" else (15, 15, 15)
            ImageDraw.Draw(image).rounded_rectangle((68, 38, 188, 218), 8, (250, 250, 248))
            draw.write(image, rank, (84, 56), 22, tint, 1)
            draw.write(image, suit, (84, 80), 22, tint)
            draw.write(image, suit, (128, 135), 60, tint)
            yield {"♠": "spades", "♥": "hearts", "♦": "diamonds", "♣": "clubs"}[suit], draw.noisy(rng, image, 2)


def notes(rng: np.random.Generator) -> Pairs:
    """Ten notes on five lines; one of them moves."""
    paper = draw.noisy(rng, Image.new("RGB", (SIDE, 120), (248, 244, 230)), 2)
    for y in range(40, 81, 10):
        ImageDraw.Draw(paper).line((8, y, SIDE - 8, y), (30, 30, 30), 1)
    heights, seen = rng.integers(0, 9, 10), set()
    while True:
        heights[rng.integers(10)] = rng.integers(9)
        if heights.tobytes() in seen:
            continue
        seen.add(heights.tobytes())
        image = paper.copy()
        pen = ImageDraw.Draw(image)
        for k, height in enumerate(heights.tolist()):
            x, y = 25 + 22 * k, 80 - 5 * height
            pen.ellipse((x - 6, y - 4, x + 6, y + 4), (15, 15, 15))
            pen.line((x + 5, y, x + 5, y - 28), (15, 15, 15), 2)
        yield "up" if heights[-1] > heights[0] else "down", draw.noisy(rng, image, 2)


def limits(rng: np.random.Generator) -> Pairs:
    """One road, one sign, another speed."""
    road = draw.leaves(rng, SIDE, SIDE, 90)
    ImageDraw.Draw(road).ellipse((88, 68, 168, 148), (250, 250, 250), (200, 20, 20), 9)
    for speed in _numbers(rng, 10, 115):
        image = road.copy()
        draw.write(image, str(speed), (128, 108), 28, kind=1)
        yield f"{speed // 10}0 and more", draw.noisy(rng, image, 2)


def displays(rng: np.random.Generator) -> Pairs:
    """A meter with seven strokes a digit."""
    meter = draw.leaves(rng, SIDE, SIDE, 50)
    ImageDraw.Draw(meter).rectangle((40, 95, 216, 165), (25, 30, 28))
    strokes = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcfgd")
    lines = {"a": (0, 0, 20, 0), "b": (20, 0, 20, 20), "c": (20, 20, 20, 40), "d": (0, 40, 20, 40), "e": (0, 20, 0, 40),
             "f": (0, 0, 0, 20), "g": (0, 20, 20, 20)}  # fmt: skip
    for number in _numbers(rng, 7300, 7400):
        image = meter.copy()
        for k, digit in enumerate(str(number)):
            for x1, y1, x2, y2 in (lines[s] for s in strokes[int(digit)]):
                at = 55 + 40 * k
                ImageDraw.Draw(image).line((at + x1, 110 + y1, at + x2, 110 + y2), (255, 70, 50), 4)
        yield str(number // 10), draw.noisy(rng, image, 2)


def forms(rng: np.random.Generator) -> Pairs:
    """One form with twelve boxes, as a scanner gives it; other boxes are ticked."""
    paper = Image.new("RGB", (SIDE, 320), (250, 250, 250))
    for k in range(12):
        y = 18 + 25 * k
        ImageDraw.Draw(paper).rectangle((16, y, 28, y + 12), outline=(40, 40, 40), width=1)
        words = ["".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(3, 9))) for _ in range(4)]
        ImageDraw.Draw(paper).text((40, y), " ".join(words), (40, 40, 40), draw.font(11))
    for ticks in _numbers(rng, 0, 4096):
        image = paper.copy()
        for k in range(12):
            if ticks >> k & 1:
                y = 18 + 25 * k
                ImageDraw.Draw(image).line((17, y + 5, 21, y + 11, 29, y - 2), (20, 30, 140), 2)
        yield "yes" if ticks & 1 else "no", draw.noisy(rng, image, 1.5)


def bills(rng: np.random.Generator) -> Pairs:
    """One page of print; the sum on its last line is another, in letters of 11 px."""
    page = Image.new("RGB", (SIDE, 320), (252, 252, 250))
    for y in range(20, 270, 16):
        words = ["".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(3, 9))) for _ in range(5)]
        ImageDraw.Draw(page).text((16, y), " ".join(words)[:34], (40, 40, 40), draw.font(11, 2))
    for total in _numbers(rng, 1000, 1900):
        image = page.copy()
        ImageDraw.Draw(image).text((130, 290), f"Total {total}.00", (40, 40, 40), draw.font(11, 1))
        yield f"{total // 100}00", draw.noisy(rng, image, 1.5)


def bars(rng: np.random.Generator) -> Pairs:
    """Bar codes on one parcel; a figure is seven bars wide."""
    parcel = draw.leaves(rng, SIDE, SIDE, 40)
    codes = rng.permutation(128)[:10]
    for number in _numbers(rng, 590100, 590220):
        image = parcel.copy()
        pen = ImageDraw.Draw(image)
        pen.rectangle((30, 80, 226, 180), (250, 250, 250))
        bits = "".join(f"{codes[int(d)]:07b}" for d in str(number))
        for k, bit in enumerate(bits):
            if bit == "1":
                pen.rectangle((44 + 4 * k, 90, 47 + 4 * k, 160), (10, 10, 10))
        yield str(number // 10), draw.noisy(rng, image, 2)


def pins(rng: np.random.Generator) -> Pairs:
    """One map as a screen shows it, the pin elsewhere."""
    city = Image.new("RGB", (SIDE, SIDE), (236, 234, 228))
    for _ in range(24):
        line = rng.integers(0, SIDE, 4).tolist()
        ImageDraw.Draw(city).line(line, (255, 255, 255), int(rng.integers(3, 9)))
    for place in _numbers(rng, 0, 225):
        x, y = 24 + 14 * (place % 15), 30 + 14 * (place // 15)
        image = city.copy()
        ImageDraw.Draw(image).polygon([(x, y), (x - 6, y - 12), (x + 6, y - 12)], (210, 40, 40))
        ImageDraw.Draw(image).ellipse((x - 6, y - 20, x + 6, y - 8), (210, 40, 40))
        yield "north" if y < SIDE / 2 else "south", image


def glyphs(rng: np.random.Generator) -> Pairs:
    """Signs at 32 px that differ by a stroke: O Q, C G, E F, B 8, I l, 1 7, P R."""
    for k in range(10**6):
        ground, ink, size = draw.colour(rng, 170, 256), draw.colour(rng, 0, 90), int(rng.integers(18, 27))
        at = (16 + int(rng.integers(-3, 4)), 16 + int(rng.integers(-3, 4)))
        for sign in ("OQ", "CG", "EF", "B8", "PR")[k % 5]:
            image = Image.new("RGB", (32, 32), ground)
            draw.write(image, sign, at, size, ink, k // 5)
            yield sign, image


SETS = {
    "tags 12 px": lambda rng: tags(12, rng), "tags 20 px": lambda rng: tags(20, rng),
    "tags 36 px": lambda rng: tags(36, rng), "plates": plates, "chess": chess, "cards": cards, "notes": notes,
    "limits": limits, "displays": displays, "forms": forms, "bills": bills, "bars": bars, "pins drawn": pins,
    "glyphs drawn": glyphs,
}  # fmt: skip
