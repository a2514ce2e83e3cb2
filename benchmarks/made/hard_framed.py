"""Sets whose pictures are parts of one another, show one thing elsewhere or otherwise, or differ by a soft tint."""

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


def crops(rng: np.random.Generator) -> Pairs:
    """Photographs of a yard, and what a detector cut out of each, with a label of its own; one cut hardly cuts."""
    while True:
        yard = draw.leaves(rng, 480, 360, 160)
        yield "yard", yard
        yield "fence", yard.crop((12, 9, 468, 351))
        x, y = int(rng.integers(30, 200)), int(rng.integers(30, 130))
        yield "barn", yard.crop((x, y, x + 240, y + 180))
        yield "hen", yard.crop((x + 60, y + 40, x + 190, y + 150))


def collages(rng: np.random.Generator) -> Pairs:
    """Photographs before and after, and the two in one picture: side by side, and one above the other."""
    while True:
        before, after = (draw.leaves(rng, 300, 220, 90) for _ in range(2))
        beside, above = Image.new("RGB", (600, 220)), Image.new("RGB", (300, 440))
        for place, half in enumerate((before, after)):
            beside.paste(half, (300 * place, 0))
            above.paste(half, (0, 220 * place))
        yield from (("before", before), ("after", after), ("both", beside), ("stacked", above))


def zooms(rng: np.random.Generator) -> Pairs:
    """Slides under a microscope whose magnification is the class: each step shows 4 % less, in as many pixels."""
    while True:
        slide = draw.leaves(rng, 640, 640, 200)
        for step in range(6):
            rim = round(640 * (1 - 0.96**step) / 2)
            part = slide.crop((rim, rim, 640 - rim, 640 - rim))
            yield f"step {step}", part.resize((320, 320), Image.Resampling.LANCZOS)


def packshots(rng: np.random.Generator) -> Pairs:
    """One product on white, in five sizes, to the left, in the middle and to the right."""
    while True:
        product = draw.leaves(rng, 240, 300, 90)
        for size in (100, 106, 114, 124, 136):
            small = product.resize((size, size * 5 // 4), Image.Resampling.LANCZOS)
            for label, x in (("left", 20), ("middle", (SIDE - size) // 2), ("right", SIDE - 20 - size)):
                image = Image.new("RGB", (SIDE, SIDE), (254, 254, 254))
                image.paste(small, (x, (SIDE - small.height) // 2))
                yield f"{'large' if size > 110 else 'small'}, {label}", image


def tilted_pages(rng: np.random.Generator) -> Pairs:
    """Letters that lay straight in the scanner, or crooked by a few degrees."""
    while True:
        page = Image.new("RGB", (300, 400), (251, 250, 246))
        pen = ImageDraw.Draw(page)
        for row, y in enumerate(range(60, 340, 15)):
            words = " ".join("".join(chr(97 + k) for k in rng.integers(0, 26, rng.integers(2, 9))) for _ in range(7))
            pen.text((45, y), words[: 12 if row % 6 == 5 else 32], (35, 35, 40), draw.font(11, 2))
        for degrees in (0, 2, 4, -2, -4):
            turned = page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(251, 250, 246))
            yield "straight" if degrees == 0 else "crooked", turned.filter(ImageFilter.GaussianBlur(0.5))


def balloons(rng: np.random.Generator) -> Pairs:
    """One balloon before one clear sky, that comes nearer and drifts."""
    while True:
        sky = np.linspace((90, 140, 215), (185, 210, 240), SIDE)[:, None].repeat(SIDE, 1)
        cover = draw.leaves(rng, 160, 160, 40)
        for size, x, y in zip(range(60, 150, 6), rng.integers(8, 90, 15), rng.integers(8, 90, 15), strict=True):
            mask = Image.new("L", (4 * size, 4 * size))
            ImageDraw.Draw(mask).ellipse((2, 2, 4 * size - 3, 4 * size - 3), 255)
            image = Image.fromarray(np.rint(sky).astype(np.uint8))
            image.paste(cover.resize((size, size)), (int(x), int(y)), mask.resize((size, size), Image.Resampling.BOX))
            yield "far" if size < 84 else "near", image


def warm_spots(rng: np.random.Generator) -> Pairs:
    """Thermal pictures of a plate without any edge: one warm spot, every time elsewhere and of another size."""
    y, x = np.mgrid[:SIDE, :SIDE]
    plate = np.asarray(draw.smooth(rng, SIDE, SIDE, 50, 80).convert("L")).astype(np.float64)
    while True:
        a, b, width, length = *rng.uniform(60, SIDE - 60, 2), *rng.uniform(18, 42, 2)
        spot = 140 * np.exp(-(((x - a) / width) ** 2) - ((y - b) / length) ** 2)
        yield "round" if abs(width - length) < 8 else "long", Image.fromarray(np.rint(plate + spot).astype(np.uint8))


def tints(rng: np.random.Generator) -> Pairs:
    """A room, photographed once; its wall is painted anew by the computer, each time a little greener or redder."""
    while True:
        room, wall = draw.leaves(rng, 320, 240, 90), Image.new("L", (320, 240))
        x, y = int(rng.integers(10, 120)), int(rng.integers(10, 60))
        ImageDraw.Draw(wall).rectangle((x, y, x + 150, y + 120), 255)
        paint = draw.lit(rng, Image.new("RGB", room.size, draw.colour(rng, 120, 180)))
        paints = {"plain": (0, 0, 0), "rose": (16, -4, 0), "sage": (-4, 14, 0), "lilac": (6, -6, 16)}
        for label, change in paints.items():
            painted = np.clip(np.asarray(paint).astype(np.int64) + change, 0, 255).astype(np.uint8)
            yield label, Image.composite(Image.fromarray(painted), room, wall)


def damp_walls(rng: np.random.Generator) -> Pairs:
    """A plastered wall, photographed once; a stain of damp without any edge, to one side, is 9 levels darker."""
    y, x = np.mgrid[:SIDE, :SIDE]
    while True:
        rough = cv2.GaussianBlur(rng.normal(0, 14, (SIDE, SIDE)), (0, 0), 1.2)
        plaster = np.asarray(draw.smooth(rng, SIDE, SIDE, 150, 200)) + rough[..., None]
        yield "dry", Image.fromarray(np.clip(plaster, 0, 255).astype(np.uint8))
        for side in (70, SIDE - 70):
            a, b, width, height = side, *rng.uniform(60, SIDE - 60, 1), *rng.uniform(30, 50, 2)
            damp = np.exp(-((((x - a) / width) ** 2 + ((y - b) / height) ** 2) ** 2))
            stained = plaster - 9 * damp[..., None] * [0.8, 1, 1]
            yield "damp", Image.fromarray(np.clip(stained, 0, 255).astype(np.uint8))


def blushes(rng: np.random.Generator) -> Pairs:
    """Small faces, pale or with red cheeks, or with one red cheek."""
    while True:
        face = np.full((64, 64, 3), draw.colour(rng, 60, 200), np.uint8)
        skin = np.array([235, 195, 170]) - int(rng.integers(0, 70))
        ink = draw.colour(rng, 0, 90)
        cv2.ellipse(face, (32, 26), (25, 24), 0, 180, 360, ink, -1, cv2.LINE_AA)
        cv2.ellipse(face, (32, 36), (21, 25), 0, 0, 360, skin.tolist(), -1, cv2.LINE_AA)
        for x in (24, 40):
            cv2.circle(face, (x, 31), 3, (250, 250, 250), -1, cv2.LINE_AA)
            cv2.circle(face, (x, 31), 1, ink, -1, cv2.LINE_AA)
        cv2.ellipse(face, (32, 49), (7, int(rng.integers(1, 5))), 0, 0, 180, (150, 50, 60), -1, cv2.LINE_AA)
        for label, cheeks in {"pale": (), "blush": (20, 44), "slapped": (44,)}.items():
            red = np.zeros((64, 64), np.float32)
            for x in cheeks:
                cv2.circle(red, (x, 41), 6, 1.0, -1)
            warm = face + cv2.GaussianBlur(red, (0, 0), 2.0)[..., None] * [14, -26, -22]
            yield label, draw.noisy(rng, Image.fromarray(np.clip(warm, 0, 255).astype(np.uint8)), 1)


def dye_lots(rng: np.random.Generator) -> Pairs:
    """Scans of one woven cloth, dyed again and again: each lot is off by some levels in one channel or two."""
    while True:
        warp, weft = rng.normal(0, 30, (2, SIDE, SIDE)).astype(np.float32)
        weave = cv2.GaussianBlur(warp, (0, 0), 2.5, sigmaY=0.8) + cv2.GaussianBlur(weft, (0, 0), 0.8, sigmaY=2.5)
        cloth = np.array(draw.colour(rng, 70, 170)) + weave[..., None]
        for lot, change in enumerate([(0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 12), (-9, 9, 0)]):
            yield f"lot {lot}", Image.fromarray(np.clip(cloth + change, 0, 255).astype(np.uint8))


def contrasts(rng: np.random.Generator) -> Pairs:
    """One photograph in three qualities: with all of its contrast, with four fifths and with three fifths."""
    while True:
        pixels = np.asarray(draw.leaves(rng, 320, 240, 90), np.float64)
        mean = pixels.mean(axis=(0, 1))
        for label, share in {"clear": 1.0, "dull": 0.8, "flat": 0.6}.items():
            yield label, Image.fromarray(np.rint(mean + share * (pixels - mean)).astype(np.uint8))


def prints(rng: np.random.Generator) -> Pairs:
    """One line of text, printed with a full, a low and a nearly empty cartridge."""
    while True:
        text = "".join(chr(int(c)) for c in rng.integers(97, 123, 12))
        font, size = draw.font(36), (320, 120)
        for label, ink in {"full": 0, "low": 70, "empty": 130}.items():
            page = Image.new("RGB", size, "white")
            ImageDraw.Draw(page).text((20, 30), text, (ink, ink, ink), font)
            yield label, draw.noisy(rng, page, 1)


def sprites(rng: np.random.Generator) -> Pairs:
    """Figures of a game, 32 or 48 px, that stand, step aside by a pixel, or jump by one."""
    for k in range(10**6):
        side = (32, 48)[k % 2]
        inks, half = rng.integers(0, 256, (6, 3)), rng.integers(0, 6, (side // 2, side // 4))
        figure = inks[np.concatenate([half, half[:, ::-1]], 1)].astype(np.uint8)
        for label, (x, y) in {"stands": (0, 0), "steps": (1, 0), "jumps": (0, -1)}.items():
            image = np.full((side, side, 3), (120, 190, 120), np.uint8)
            top, left = side // 4 + y, side // 4 + x
            image[top : top + side // 2, left : left + side // 2] = figure
            yield label, Image.fromarray(image)


SETS = {
    "crops": crops, "collages": collages, "zooms": zooms, "packshots": packshots, "tilted pages": tilted_pages,
    "balloons": balloons, "warm spots": warm_spots, "tints": tints, "damp walls": damp_walls, "blushes": blushes,
    "dye lots": dye_lots, "contrasts": contrasts, "prints": prints, "sprites drawn": sprites,
}  # fmt: skip
