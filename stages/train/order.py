"""The order in which an epoch takes the training images, and reading the next ones from the disk meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from stages.core.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Index = NDArray[np.int64]

BLOCKS = 64  # of images that lie side by side on the disk, in a window


def permutation(seed: int, epoch: int, count: int, window: int | None = None) -> Index:
    """The order in which an epoch takes the `count` training images: a function of the arguments alone.

    Without a window every order is as likely as any other. With one the images, as they are stored, are cut into blocks
    of a 64th of the window; the blocks are shuffled, and then the images within each `window` consecutive ones. So the
    images of a window lie in few places of the disk.

    Returns:
        Each of 0 to `count` - 1 once, int64.
    """
    rng = generator(seed, "order", epoch)
    if window is None:
        return rng.permutation(count)
    size = max(1, window // BLOCKS)
    order = (rng.permutation(-(-count // size))[:, None] * size + np.arange(size)).ravel()
    order = order[order < count]
    for start in range(0, count, window):
        rng.shuffle(order[start : start + window])
    return order


def partners(order: Index, drawn: NDArray[np.float64], window: int) -> Index:
    """For each image a partner from its window, at `drawn` (from 0 to below 1) times the window's length."""
    start = np.arange(len(order)) // window * window
    chosen = np.empty_like(order)
    chosen[order] = order[start + (drawn[order] * np.minimum(window, len(order) - start)).astype(np.int64)]
    return chosen


def ahead(batches: Sequence[Index], order: Index, window: int, fetch: Callable[[Index], None]) -> Iterator[Index]:
    """The batches of an epoch, each when its window has been fetched; the next window is fetched meanwhile.

    Args:
        batches: `order`, cut.
        order: of the epoch.
        window: as above.
        fetch: brings some images from the disk into memory; called in a thread.
    """
    with ThreadPoolExecutor(1) as thread:
        fetching = (thread.submit(fetch, order[start : start + window]) for start in range(0, len(order), window))
        following = next(fetching)
        fetched = asked = 0
        for rows in batches:
            asked += len(rows)
            while fetched < asked:
                following.result()
                fetched, following = fetched + window, next(fetching, following)
            yield rows
