"""Pictures decoded and resized once per size, into one memory-mapped array of bytes that all cells share."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from PIL import Image, ImageOps

from stages.core import files
from stages.core.console import progress
from stages.train import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tqdm import tqdm

    from stages.train.sections import Resize


def square(picture: Image.Image, size: int, how: Resize) -> Image.Image:
    """`picture` in RGB as a square of `size` px."""
    picture = picture.convert("RGB")
    if picture.size == (size, size):
        return picture
    method = Image.Resampling[how.interpolation.upper()]
    if how.mode == "crop":
        return ImageOps.fit(picture, (size, size), method)
    if how.mode == "pad":
        return ImageOps.pad(picture, (size, size), method, color=(0, 0, 0))
    return picture.resize((size, size), method)


def key(paths: Sequence[Path], size: int, how: Resize) -> list[object]:
    """Everything that the pixels depend on: the files' bytes, the resizing, and the library and code that resize.

    Raises:
        UserError: a file is missing.
    """
    try:
        content = store.content(paths)
    except FileNotFoundError as error:
        raise files.missing(Path(error.filename)) from None
    return [content, size, how.model_dump(), PIL.__version__, store.content([Path(__file__)])]


def load(paths: Sequence[Path], size: int, how: Resize, known: list[object] | None = None) -> NDArray[np.uint8]:
    """Pixels of `paths`, in order.

    Args:
        paths: of the pictures.
        size: px.
        how: they become squares.
        known: what `key` gave for the same pictures, where it is at hand.

    Returns:
        uint8 array of shape (images, size, size, 3), memory-mapped, read-only.

    Raises:
        UserError: a file is missing or no picture.
    """

    def build(target: Path) -> None:
        def one(path: Path) -> NDArray[np.uint8]:
            with files.picture(path) as picture:
                return np.asarray(square(picture, size, how))

        # Pillow decodes and resizes outside of the interpreter's lock.
        bar: tqdm[Any] = progress(total=len(paths), desc=f"pixels {size}")
        with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
            for pixels, rows in store.blocks(target, np.uint8, (len(paths), size, size, 3)):
                bar.update(rows.start - bar.n)
                for row, made in zip(rows, pool.map(one, paths[rows.start : rows.stop]), strict=True):
                    pixels[row] = made
                    bar.update()

    return store.array("pixels", known or key(paths, size, how), build)
