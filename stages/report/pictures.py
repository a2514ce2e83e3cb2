"""Pictures for a page that needs no network: cut from the sprites of the cells and put into the page itself."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from stages.core import files
from stages.core.cells import Sheet
from stages.core.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

PIXELATED = 32  # px; smaller pictures are magnified without blur


@dataclass(frozen=True)
class Tile:
    """A picture of a sprite and what its JSON says about it."""

    sheet: Path
    box: tuple[int, int, int, int]
    about: dict[str, Any]

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return encode(_sheet(self.sheet).crop(self.box))

    @property
    def pixelated(self) -> bool:
        """Whether it is so small that a browser should magnify it without blur."""
        return self.box[2] - self.box[0] <= PIXELATED


def tiles(folder: Path, name: str) -> tuple[dict[str, Any], list[Tile]]:
    """`<name>.json` in `folder`, and its tiles cut from `<name>.png`."""
    sheet = folder / f"{name}.png"
    head = dict(files.read_json(sheet.with_suffix(".json"), Sheet))
    found = []
    for index, about in enumerate(head["tiles"]):
        row, column = divmod(index, head["columns"])
        px = head["px"]
        found.append(Tile(sheet, (column * px, row * px, (column + 1) * px, (row + 1) * px), about))
    return head, found


def data_uri(path: Path, width: int = 1200) -> str:
    """The picture at `path`, at most `width` px wide, as a data URI."""
    image = _sheet(path)
    return encode(ImageOps.contain(image, (min(width, image.width), image.height)))


def encode(image: Image.Image) -> str:
    """A picture as a data URI: WebP, which every browser since 2020 shows, and PNG where that is small anyhow."""
    kind, options = ("PNG", {}) if image.width <= PIXELATED else ("WEBP", {"quality": 80, "method": 3})
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@cache
def _sheet(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"{path} is not here; `dvc repro` makes it, a clone has it from git") from None
