"""Pictures and a raw folder as ingest would leave them."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from stages.clean.params import Clean
from stages.clean.run import run

if TYPE_CHECKING:
    from pathlib import Path

    from stages.clean.decide import Decisions

COLUMNS = ("path", "file", "label", "source", "group", "box", "problem")


def photo(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Something with the spectrum of a photograph: coloured noise, blurred at two scales."""
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return Image.blend(coarse, noise.filter(ImageFilter.GaussianBlur(2)), 0.35)


def scene(seed: int) -> Image.Image:
    """A picture with shapes and texture, 320 x 240 px, as a JPEG of a good camera has it."""
    rng = np.random.default_rng(seed)
    image = photo(seed, 320, 240)
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        x, y = int(rng.integers(0, 300)), int(rng.integers(0, 220))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        draw.ellipse((x, y, x + int(rng.integers(8, 60)), y + int(rng.integers(8, 60))), colour)
    return image.filter(ImageFilter.GaussianBlur(0.7))


class Raw:
    """A raw folder under construction, and the stage run on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[dict[str, str]] = []
        self.cache: Path | None = None
        self.published: list[str] = []
        (root / "data/raw/files").mkdir(parents=True)

    def add(self, path: str, content: Image.Image | bytes, label: str = "a", **more: Any) -> Path:
        """Add a row and its file; `save` holds options of Image.save."""
        target = self.root / "data/raw/files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        save = more.pop("save", {})
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            content.save(target, **save)
        self.row(path, label, **more)
        return target

    def row(self, path: str, label: str = "a", **more: str) -> None:
        """Add a row for a file that is there already, or never was."""
        row = dict.fromkeys(COLUMNS, "") | {"path": path, "file": f"files/{path}", "label": label, "source": "folder"}
        self.rows.append(row | more)

    def write(self) -> None:
        """Write the manifest."""
        with (self.root / "data/raw/manifest.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)

    def run(self, **clean: Any) -> Decisions:
        """Write the manifest and run the stage."""
        self.write()
        return run(
            Clean.model_validate(clean),
            self.root / "data/raw",
            self.root / "data/clean",
            self.root / "reports/clean",
            self.cache,
            self.published,
        )

    def ledger(self) -> dict[str, dict[str, str]]:
        """The ledger by path."""
        with (self.root / "data/clean/ledger.csv").open(encoding="utf-8", newline="") as file:
            return {row["path"]: row for row in csv.DictReader(file)}

    def manifest(self) -> list[dict[str, str]]:
        """The manifest's rows."""
        with (self.root / "data/clean/manifest.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    return Raw(tmp_path)
