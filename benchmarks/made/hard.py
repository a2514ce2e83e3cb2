"""Sets of pictures that look alike and differ: none of them may be dropped, and no label conflict may arise."""

from __future__ import annotations

import functools
import io
import itertools
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.made import hard_depth, hard_framed, hard_places, hard_things, hard_turned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Maker = Callable[[np.random.Generator], Iterator[tuple[str, Image.Image]]]


@dataclass(frozen=True)
class Picture:
    """A file of a set."""

    path: str
    content: bytes
    label: str


_KINDS: tuple[Mapping[str, Maker], ...] = (
    hard_turned.SETS, hard_places.SETS, hard_things.SETS, hard_depth.SETS, hard_framed.SETS,
)  # fmt: skip
MAKERS = {name: maker for kind in _KINDS for name, maker in kind.items()}
NOISE_ALONE = hard_places.NOISE_ALONE  # sets of which some pictures differ by the noise of the sensor alone


def _made(name: str, count: int, seed: int) -> list[Picture]:
    """The first `count` pictures; photographs as JPEG 92 or 95, drawings and what JPEG cannot hold as PNG."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    pictures = []
    for k, (label, image) in enumerate(itertools.islice(MAKERS[name](rng), count)):
        buffer = io.BytesIO()
        photograph = image.mode == "RGB" and not name.endswith("drawn")
        if photograph:
            image.save(buffer, "JPEG", quality=95 if name in NOISE_ALONE else 92)
        else:
            image.save(buffer, "PNG")
        pictures.append(Picture(f"{label}/{k:03d}.{'jpg' if photograph else 'png'}", buffer.getvalue(), label))
    return pictures


SETS = {name: functools.partial(_made, name) for name in MAKERS}


def again(picture: Picture) -> Picture:
    """A copy: encoded once more at quality 60, by WebP where there is an alpha channel; 16 bits as TIFF."""
    image = Image.open(io.BytesIO(picture.content))
    buffer = io.BytesIO()
    if image.mode.startswith("I"):
        image.save(buffer, "TIFF", compression="tiff_lzw")
        suffix = "tif"
    elif image.mode in ("RGBA", "LA"):
        image.save(buffer, "WEBP", quality=60)
        suffix = "webp"
    else:
        image.convert("RGB").save(buffer, "JPEG", quality=60)
        suffix = "jpg"
    return replace(picture, path=f"{picture.path[:-4]}-again.{suffix}", content=buffer.getvalue())
