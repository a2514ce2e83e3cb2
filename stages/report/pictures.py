"""Pictures for a page that needs no network: read, made no larger than shown, and put into the page itself."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

if TYPE_CHECKING:
    from pathlib import Path


def data_uri(path: Path, width: int = 1200) -> str:
    """The picture at `path`, at most `width` px wide, as a data URI."""
    with Image.open(path) as image:
        return encode(ImageOps.contain(image, (min(width, image.width), image.height)))


def encode(image: Image.Image) -> str:
    """A picture as a data URI, in WebP: small, and every browser since 2020 shows it."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="WEBP", quality=80, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
