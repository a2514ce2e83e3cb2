"""Many small photographs that are known to differ, some with a copy among them, made one at a time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterator

EACH, BEFORE = 100, 50  # every hundredth file is a copy of the one fifty before it
CLASSES = 10  # divides both: a copy has the label of its original
_QUALITY = (85, 60)  # of JPEG: of an original, of a copy


def photographs(count: int, side: int, seed: int = 0) -> Iterator[tuple[str, bytes, str]]:
    """Path, content and label of each file."""
    for k in range(count):
        copy = k % EACH == EACH - 1
        picture = _drawn(k - BEFORE if copy else k, side, seed)
        if copy:
            picture = picture.resize((side * 9 // 10, side * 9 // 10), Image.Resampling.LANCZOS)
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=_QUALITY[copy])
        yield path(k), content.getvalue(), str(k % CLASSES)


def copies(count: int) -> list[tuple[str, str]]:
    """The path of each copy and of its original."""
    return [(path(k), path(k - BEFORE)) for k in range(EACH - 1, count, EACH)]


def path(k: int) -> str:
    """Where the file lies."""
    return f"{k % CLASSES}/{k}.jpg"


def _drawn(k: int, side: int, seed: int) -> Image.Image:
    """Clouds with the spectrum of photographs (amplitudes fall as 1/f), and a few things in front of them."""
    rng = np.random.default_rng([seed, k])
    far = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * side
    waves = rng.normal(size=(3, *far.shape, 2)).view(np.complex128)[..., 0] / np.maximum(far, 1)
    clouds = np.fft.irfft2(waves[0] + 0.4 * waves, s=(side, side))  # colours vary less than brightness
    clouds = 128 + 50 * (clouds - clouds.mean()) / clouds.std()
    image = Image.fromarray(np.clip(clouds, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        middle, reach = rng.integers(0, side, 2), rng.integers(side // 16 + 1, side // 4, 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((*(middle - reach).tolist(), *(middle + reach).tolist()), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image
