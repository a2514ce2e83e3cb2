"""Pictures of four shapes, some under a wrong label on purpose, as clean would leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from stages.core import files

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ["cross", "disc", "ring", "square"]
EACH, SIDE = 30, 72
WRONG = {3: "disc", 17: "ring", 40: "square", 58: "cross", 75: "disc", 101: "ring"}  # picture -> the label it gets


def shape(kind: str, rng: np.random.Generator) -> Image.Image:
    """One shape at a place, of a size and in colours of its own, with noise on it."""
    ground, ink = rng.integers(0, 90, 3), rng.integers(150, 256, 3)
    picture = Image.new("RGB", (SIDE, SIDE), tuple(ground.tolist()))
    draw, fill = ImageDraw.Draw(picture), tuple(ink.tolist())
    r = int(rng.integers(16, 24))
    x, y = rng.integers(r + 2, SIDE - r - 2, 2).tolist()
    box = (x - r, y - r, x + r, y + r)
    if kind == "disc":
        draw.ellipse(box, fill)
    elif kind == "ring":
        draw.ellipse(box, None, fill, width=5)
    elif kind == "square":
        draw.rectangle(box, fill)
    else:
        draw.line((x - r, y - r, x + r, y + r), fill, 7)
        draw.line((x - r, y + r, x + r, y - r), fill, 7)
    noisy = np.asarray(picture) + rng.normal(0, 12, (SIDE, SIDE, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def make(root: Path, *, wrong: dict[int, str] | None = None, small: int = 0) -> list[dict[str, str]]:
    """Write data/clean with pictures and manifest; pairs of pictures share a group. Returns the manifest.

    Args:
        root: of the study.
        wrong: picture -> label that it gets in place of its own.
        small: pictures of one more class.
    """
    rng = np.random.default_rng(0)
    kinds = [kind for kind in LABELS for _ in range(EACH)] + ["disc"] * small
    rows = []
    for number, kind in enumerate(kinds):
        label = (wrong or {}).get(number, kind) if number < len(LABELS) * EACH else "few"
        path = f"images/{kind}/{number:012x}.png"
        (root / "data/clean" / path).parent.mkdir(parents=True, exist_ok=True)
        shape(kind, rng).save(root / "data/clean" / path)
        rows.append({"image_id": f"{number:012x}", "path": path, "label": label, "width": str(SIDE),
                     "height": str(SIDE), "group_id": f"{number // 2:012x}"})  # fmt: skip
    files.write_rows(root / "data/clean/manifest.csv", list(rows[0]), rows)
    return rows
