"""Sets of one scene, taken again and again, whose pictures differ in a small place: faults, spots, hands and lamps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.made import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

    Pairs = Iterator[tuple[str, Image.Image]]

SIDE = 256


def _places(rng: np.random.Generator, step: int, low: int = 30, high: int = SIDE - 30) -> Iterator[tuple[int, int]]:
    """Places of a grid in random order, so that no two are the same."""
    grid = [(x, y) for x in range(low, high, step) for y in range(low, high, step)]
    yield from (grid[k] for k in rng.permutation(len(grid)))


def clocks(rng: np.random.Generator) -> Pairs:
    """One clock on one wall, every time once."""
    wall = draw.leaves(rng, SIDE, SIDE, 40)
    pen = ImageDraw.Draw(wall)
    pen.ellipse((38, 38, 218, 218), (245, 243, 235), (40, 40, 40), 6)
    for hour in range(1, 13):
        at = 128 + 74 * np.sin(np.radians(30 * hour)), 128 - 74 * np.cos(np.radians(30 * hour))
        draw.write(wall, str(hour), at, 16, kind=2)
    for k in rng.permutation(144):
        hour, minute = divmod(5 * int(k), 60)
        image = wall.copy()
        draw.hand(image, (128, 128), 30 * (hour + minute / 60), 45, 7, (20, 20, 20))
        draw.hand(image, (128, 128), 6 * minute, 68, 4, (20, 20, 20))
        yield str(hour), draw.noisy(rng, image, 2)


def gauges(rng: np.random.Generator) -> Pairs:
    """One gauge, a hundred readings; beyond 70 it is too much."""
    case = draw.smooth(rng, SIDE, SIDE, 60, 120)
    pen = ImageDraw.Draw(case)
    pen.ellipse((28, 28, 228, 228), (250, 250, 250), (90, 90, 90), 5)
    pen.arc((42, 42, 214, 214), 135, 405, (60, 60, 60), 3)
    for k in range(0, 101, 10):
        angle = np.radians(-135 + 2.7 * k)
        draw.write(case, str(k), (128 + 70 * np.sin(angle), 128 - 70 * np.cos(angle)), 13)
    for k in rng.permutation(100):
        image = case.copy()
        draw.hand(image, (128, 128), -135 + 2.7 * int(k), 80, 4, (190, 20, 20))
        yield "high" if k > 70 else "normal", draw.noisy(rng, image, 2)


def scratches(rng: np.random.Generator) -> Pairs:
    """One smooth surface under a noisy sensor, every second one with a white scratch of 3 x 30 px."""
    surface = draw.smooth(rng, SIDE, SIDE)
    for x, y in _places(rng, 14):
        yield "good", draw.noisy(rng, surface, 4)
        image = surface.copy()
        upright = rng.random() < 0.5
        ImageDraw.Draw(image).rectangle((x, y, x + (2 if upright else 29), y + (29 if upright else 2)), (255, 255, 255))
        yield "scratched", draw.noisy(rng, image, 4)


def stains(rng: np.random.Generator) -> Pairs:
    """Cloth with a pale stain, and without."""
    cloth = Image.fromarray(np.tile(rng.integers(90, 170, (8, 8, 3), dtype=np.uint8), (SIDE // 8, SIDE // 8, 1)))
    cloth = draw.lit(rng, cloth.filter(ImageFilter.GaussianBlur(0.7)))
    for x, y in _places(rng, 14):
        yield "clean", draw.noisy(rng, cloth, 4)
        spot = Image.new("L", cloth.size)
        ImageDraw.Draw(spot).ellipse((x - 12, y - 9, x + 12, y + 9), 110)
        stain = Image.new("RGB", cloth.size, (60, 35, 20))
        yield "stained", draw.noisy(rng, Image.composite(stain, cloth, spot.filter(ImageFilter.GaussianBlur(2))), 4)


def stitches(rng: np.random.Generator) -> Pairs:
    """Knitted rows, which agree with themselves at every shift; in every picture another stitch is missing."""
    image = np.full((SIDE, SIDE, 3), draw.colour(rng, 120, 200), np.uint8)
    for y in range(8, SIDE, 16):
        for x in range(8, SIDE, 16):
            cv2.ellipse(image, (x, y), (7, 4), 35, 0, 360, (60, 50, 70), -1, cv2.LINE_AA)
    for x, y in _places(rng, 16, 24, SIDE - 24):
        faulty = image.copy()
        faulty[y - 8 : y + 8, x - 8 : x + 8] = image[0, 0]
        yield "left" if x < 128 else "right", draw.noisy(rng, Image.fromarray(faulty), 3)


def scans(rng: np.random.Generator) -> Pairs:
    """Grey scans of one body; every second one has a small bright spot."""
    body = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(14):
        x, y = rng.integers(60, 196, 2)
        axes = (int(rng.integers(15, 60)), int(rng.integers(15, 60)))
        cv2.ellipse(body, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, int(rng.integers(40, 150)), -1)
    for x, y in _places(rng, 12, 60, 196):
        for label in ("healthy", "ill"):
            image = np.asarray(cv2.GaussianBlur(body, (0, 0), 3), np.uint8)
            if label == "ill":
                cv2.circle(image, (x, y), 4, 230, -1, cv2.LINE_AA)
            yield label, draw.noisy(rng, Image.fromarray(image).convert("RGB"), 4)


def ships(rng: np.random.Generator) -> Pairs:
    """A dark sea from above and one ship, every time elsewhere."""
    sea = draw.smooth(rng, SIDE, SIDE, 25, 60)
    for x, y in _places(rng, 14):
        image = sea.copy()
        ImageDraw.Draw(image).polygon([(x - 6, y), (x - 3, y - 3), (x + 6, y), (x - 3, y + 3)], (210, 210, 205))
        yield "west" if x < 128 else "east", draw.noisy(rng, image, 5)


def lamps(rng: np.random.Generator) -> Pairs:
    """One device with eight lamps, each on or off."""
    device = draw.leaves(rng, SIDE, SIDE, 60)
    pen = ImageDraw.Draw(device)
    pen.rectangle((24, 90, 232, 160), (50, 52, 56), (20, 20, 20), 3)
    draw.write(device, "SWITCH-8", (128, 145), 14, (180, 180, 180), 3)
    for k in rng.permutation(256):
        image = device.copy()
        for place in range(8):
            x, on = 40 + 25 * place, int(k) >> place & 1
            ImageDraw.Draw(image).ellipse((x - 5, 105, x + 5, 115), (80, 255, 90) if on else (25, 60, 28))
        yield f"{int(k).bit_count()} on", draw.noisy(rng, image, 2)


def traffic_lights(rng: np.random.Generator) -> Pairs:
    """Crossings; at each one the light is red, amber or green."""
    while True:
        street, x = draw.leaves(rng, SIDE, SIDE, 90), int(rng.integers(60, 190))
        ImageDraw.Draw(street).rectangle((x - 12, 80, x + 12, 150), (25, 25, 25))
        for place, (label, ink) in enumerate(
            {"red": (255, 40, 30), "amber": (255, 190, 20), "green": (40, 230, 90)}.items()
        ):
            image = street.copy()
            ImageDraw.Draw(image).ellipse((x - 8, 84 + 22 * place, x + 8, 100 + 22 * place), ink)
            yield label, draw.noisy(rng, image, 3)


def cups(rng: np.random.Generator) -> Pairs:
    """A cup on a table, red, green or blue, all of the same brightness."""
    while True:
        table, (x, y) = draw.leaves(rng, SIDE, SIDE, 90), rng.integers(70, 180, 2).tolist()
        for label, ink in {"red": (200, 90, 90), "green": (60, 152, 60), "blue": (110, 110, 230)}.items():
            image = table.copy()
            ImageDraw.Draw(image).rectangle((x - 18, y - 20, x + 18, y + 20), ink)
            ImageDraw.Draw(image).arc((x + 10, y - 10, x + 32, y + 12), -90, 90, ink, 5)
            yield label, draw.noisy(rng, image, 3)


def parts_missing(rng: np.random.Generator) -> Pairs:
    """One circuit board; in every picture another part is missing, or two."""
    board = draw.noisy(rng, Image.new("RGB", (SIDE, SIDE), (20, 90, 50)), 4)
    for _ in range(40):
        line = rng.integers(0, SIDE, 4).tolist()
        ImageDraw.Draw(board).line([line[0], line[1], line[0], line[3], line[2], line[3]], (60, 140, 80), 2)
    spots = list(_places(rng, 28, 20, SIDE - 30))[:40]
    sizes = rng.integers(8, 18, (40, 2)).tolist()
    inks = [draw.colour(rng, 20, 120) for _ in spots]
    pairs = [(a, b) for a in range(40) for b in range(a, 40)]
    for k in rng.permutation(len(pairs)):
        image = board.copy()
        for place, ((x, y), (w, h), ink) in enumerate(zip(spots, sizes, inks, strict=True)):
            if place not in pairs[k]:
                ImageDraw.Draw(image).rectangle((x, y, x + w, y + h), ink, (200, 200, 200))
        yield "one" if pairs[k][0] == pairs[k][1] else "two", draw.noisy(rng, image, 2)


def car_park(rng: np.random.Generator) -> Pairs:
    """One car park from above, whose places are taken or free; most of the time one car has come or gone."""
    ground = draw.noisy(rng, Image.new("RGB", (SIDE, SIDE), (110, 110, 112)), 5)
    inks = [draw.colour(rng) for _ in range(36)]
    taken, seen = rng.random(36) < 0.6, set()
    while True:
        taken[rng.integers(36)] ^= True
        if taken.tobytes() in seen:
            continue
        seen.add(taken.tobytes())
        image = ground.copy()
        for place in np.flatnonzero(taken).tolist():
            x, y = 12 + 26 * (place % 9), 20 + 60 * (place // 9)
            ImageDraw.Draw(image).rounded_rectangle((x, y, x + 16, y + 34), 5, inks[place], (20, 20, 20))
        yield "full" if taken.mean() > 0.6 else "room", draw.noisy(rng, image, 3)


SETS = {
    "clocks": clocks, "gauges": gauges, "scratches": scratches, "stains": stains, "stitches": stitches, "scans": scans,
    "ships": ships, "lamps": lamps, "traffic lights": traffic_lights, "cups": cups, "parts missing": parts_missing,
    "car park": car_park,
}  # fmt: skip
NOISE_ALONE = ("scratches", "stains", "scans")
