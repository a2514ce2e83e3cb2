"""Thumbnails of a file's bytes: through Pillow, or through the compiled fast path once that is worth loading.

The fast path must agree with Pillow, byte for byte, on the first files that it sees; when one byte differs it is not
used.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL

from stages.clean import decode, hashes
from stages.core.console import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.clean.decode import Box, Picture
    from stages.clean.params import Clean

_WORTH_IT = 8_000_000  # bytes decoded by Pillow before the fast path is loaded: for less it costs more than it saves
_CHECKED = 8  # files


class Thumbnailer:
    """Gives pictures and their thumbnails; one for all threads of a run."""

    def __init__(self, clean: Clean) -> None:
        self._clean = clean
        self._lock = threading.Lock()
        self._seen = 0
        self._checked = 0
        self._fast: Any = None

    def __call__(self, data: bytes, box: Box | None) -> tuple[int, int, Picture | None, NDArray[np.uint8]]:
        """Decode `data`.

        Returns:
            Width and height in px of the normalised picture, the picture (None where the fast path has read a plain
            JPEG), and the grey thumbnails of `hashes.thumbnails`.

        Raises:
            Refused: see `decode.decode`.
        """
        fast = self._plain(data) if self._use_fast(len(data)) and box is None else None
        if fast is not None and self._checked >= _CHECKED:
            return fast[0].shape[1], fast[0].shape[0], None, fast[1]
        picture = decode.decode(data, self._clean, box)
        thumbs = hashes.thumbnails(picture.image)
        if fast is not None:
            self._check(fast[1], thumbs)
        return *picture.image.size, picture, thumbs

    def _use_fast(self, size: int) -> bool:
        with self._lock:
            self._seen += size
            if self._fast is None and self._seen >= _WORTH_IT:
                try:
                    from stages.clean import fast

                    self._fast = fast
                except ImportError as error:
                    say(f"clean: {error.name} is missing, so every file goes through Pillow")
                    self._fast = False
        return bool(self._fast)

    def _plain(self, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
        if not decode.plain_jpeg(data, self._clean):
            return None
        pixels = self._fast.decode(data)
        return None if pixels is None else (pixels, self._fast.thumbnails(pixels))

    def _check(self, ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> None:
        with self._lock:
            self._checked += 1
            if self._fast and not np.array_equal(ours, theirs):
                say(f"clean: the fast path differs from Pillow {PIL.__version__}, so Pillow does it all")
                self._fast = False
