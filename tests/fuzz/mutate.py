"""A corpus made in code, and what may become of files: bits, bytes, blocks, lengths, cuts, two files in one."""

# ruff: noqa: S311 - the same seed makes the same files

from __future__ import annotations

import io
import random
from functools import cache

import numpy as np
import pillow_heif
from PIL import Image

from stages.clean import decode
from stages.clean.params import Clean

_CLEAN = Clean()
_EDGES = (0, 1, 0x7F, 0x80, 0xFF)
_SAVES: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "CMYK", {}),
    ("JPEG", "L", {"restart_marker_rows": 1}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("BMP", "1", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "L", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "F", {}),
    ("AVIF", "RGB", {}),
    ("HEIF", "RGB", {}),
    ("JPEG2000", "RGB", {}),
    ("PPM", "RGB", {}),
    ("PPM", "L", {}),
)


@cache
def corpus() -> tuple[bytes, ...]:
    """A small file of every format and of the modes that take ways of their own."""
    pillow_heif.register_heif_opener()
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 4), np.uint8)
    smooth = Image.fromarray(noise).resize((40, 32), Image.Resampling.BICUBIC)
    files = []
    for kind, mode, more in _SAVES:
        image = Image.fromarray(np.asarray(smooth)[..., 0].astype(np.uint16) * 200) if mode == "I;16" else None
        buffer = io.BytesIO()
        (image or smooth.convert("RGB").convert(mode) if mode != "RGBA" else smooth).save(buffer, kind, **more)
        files.append(buffer.getvalue())
    animated = io.BytesIO()
    smooth.save(animated, "PNG", save_all=True, append_images=[smooth.rotate(90)])
    return (*files, animated.getvalue())


def mutated(seed: int) -> bytes:
    """One of the corpus's files after one to five mutations, most of them near the beginning, where headers are."""
    rng = random.Random(seed)
    data = bytearray(rng.choice(corpus()))
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        at = rng.randrange(min(len(data), rng.choice((32, 256, 1 << 20)))) if data else 0
        size = rng.choice((1, 2, 4, 16, len(data) // 3))
        kind = rng.randrange(8)
        if kind == 0:
            data[at : at + 1] = bytes(b ^ 1 << rng.randrange(8) for b in data[at : at + 1])
        elif kind == 1:
            data[at : at + size] = rng.randbytes(size)
        elif kind == 2:
            data[at : at + size] = bytes([rng.choice(_EDGES)]) * size
        elif kind == 3:
            del data[at : at + size]
        elif kind == 4:
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))
        elif kind == 5:
            del data[at:]
        elif kind == 6:
            other = rng.choice(corpus())
            data[at:] = other[rng.randrange(len(other)) :]
        else:
            data[at : at + 4] = rng.choice((2**31 - 1, 2**32 - 1, 65536, 0)).to_bytes(4, rng.choice(("big", "little")))
    return bytes(data)


def verdict(seed: int) -> str:
    """What becomes of a mutated file: `kept`, or the reason why not."""
    picture = decode.decode(mutated(seed), _CLEAN)
    if picture.image.mode != "RGB" or picture.image.tobytes() is None or (picture.note and not picture.detail):
        raise AssertionError(f"seed {seed}: a picture that is none")
    return f"kept {picture.note} {picture.suffix}"
