"""Training images from the disk: shuffled as a whole, shuffled within a window, and from one file for each image.

python -m benchmarks.reading [--gigabytes 8] [--sides 32 224]

The array is dropped from the system's cache before each row, and a row reads no byte twice, or at most a tenth of the
array: so nearly every read goes to the disk, as in an array that is much larger than memory. What a host keeps of a
virtual disk cannot be dropped from within. Needs Linux, and so many gigabytes in the folder for temporary files.
"""

from __future__ import annotations

import argparse
import mmap
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stages.train import order, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

BATCH, FILES = 64, 4000
SECONDS = 4  # of reading, for each row
SHARE = 0.1  # of the array that reads here and there may bring into the cache, where later ones would find it
WINDOW = 256e6  # bytes of a window


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 224])
    asked = parser.parse_args()
    print("| side, px | how | images per s | MB per s of images | MB per s from the disk |\n|---|---|---|---|---|")
    for side in asked.sides:
        with tempfile.TemporaryDirectory() as folder:
            array = _array(Path(folder, "pixels.npy"), int(asked.gigabytes * 1e9) // (3 * side**2), side)
            _show(side, "the array, shuffled as a whole", [array], partial(_whole, array, around=True))
            _show(side, "the same, without reading around", [array], partial(_whole, array, around=False))
            _show(side, "the array, shuffled within a window", [array], partial(_window, array, fetch=True))
            _show(side, "the same, not read ahead", [array], partial(_window, array, fetch=False))
            paths = _files(Path(folder), side)
            _show(side, "a JPEG file for each image, read and decoded", paths, partial(_decode, paths))


def _array(path: Path, count: int, side: int) -> Path:
    stored, rng = store.create(path, np.uint8, (count, side, side, 3)), np.random.default_rng(0)
    step = max(1, (1 << 26) // stored[0].nbytes)
    for start in range(0, count, step):
        part = stored[start : start + step]
        part[:] = np.frombuffer(rng.bytes(part.nbytes), np.uint8).reshape(part.shape)
    return path


def _files(folder: Path, side: int) -> list[Path]:
    rng, paths = np.random.default_rng(0), [folder / f"{k}.jpg" for k in range(FILES)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)
    return [paths[k] for k in rng.permutation(FILES)]


def _drop(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _show(side: int, how: str, paths: Iterable[Path], read: Callable[[], int]) -> None:
    for path in paths:
        _drop(path)
    before, begin = _from_disk(), time.perf_counter()
    images = read()
    seconds = time.perf_counter() - begin
    figures = (images / seconds, images * 3 * side**2 / seconds / 1e6, (_from_disk() - before) / seconds / 1e6)
    print(f"| {side} | {how} | {' | '.join(f'{figure:,.0f}' for figure in figures)} |", flush=True)


def _from_disk() -> int:
    """Bytes that this process has had read from a disk so far."""
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(told["read_bytes"])


def _take(stored: NDArray[Any], batches: Iterable[NDArray[np.int64]], most: float) -> int:
    """How many images are copied out of the array, batch by batch, until the time is over or a share of it is read."""
    images, end, full = 0, time.perf_counter() + SECONDS, _from_disk() + most * stored.nbytes
    for rows in batches:
        images += len(stored[rows])
        if time.perf_counter() > end or _from_disk() > full:
            break
    return images


def _batches(taken: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [taken[start : start + BATCH] for start in range(0, len(taken), BATCH)]


def _whole(path: Path, *, around: bool) -> int:
    stored = np.load(path, mmap_mode="r")
    if not around:
        stored.base.madvise(mmap.MADV_RANDOM)
    return _take(stored, _batches(order.permutation(0, 1, len(stored))), most=SHARE)


def _window(path: Path, *, fetch: bool) -> int:
    stored = np.load(path, mmap_mode="r")
    window = int(WINDOW) // stored[0].nbytes
    taken = order.permutation(0, 1, len(stored), window)
    batches = _batches(taken)
    fetched = order.ahead(batches, taken, window, partial(store.fetch, stored)) if fetch else batches
    return _take(stored, fetched, most=1 if fetch else SHARE)


def _decode(paths: list[Path]) -> int:
    images, end = 0, time.perf_counter() + SECONDS
    for path in paths:
        with Image.open(path) as picture:
            images += len(np.asarray(picture)) > 0
        if time.perf_counter() > end:
            break
    return images


if __name__ == "__main__":
    main()
