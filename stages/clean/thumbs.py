"""Pixels and thumbnails of a file's bytes: through Pillow, or through faster libraries once they are worth loading.

What they give must agree with Pillow, byte for byte, on the first files that they see; when one byte differs they are
not used.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from PIL import Image

from stages.clean import decode, hashes
from stages.core.console import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.clean.decode import Box, Picture
    from stages.clean.params import Clean

_JPEG, _FAST = "stages.clean.jpeg", "stages.clean.fast"
# bytes read before a module's library is loaded: numba for less would cost more than it saves; OpenCV is there already,
# pairs are registered with it
_WORTH = {_JPEG: 0, _FAST: 8_000_000}
_CHECKED = 8  # files
_SMALL, _ROOM = 16_384, 150_000_000  # bytes: of a file, or of pixels, that is kept in memory, and of all of them


class Reader:
    """Gives pixels and thumbnails; one for all threads of a run.

    Small files are remembered, and their pixels: they are read and decoded once, and what is laid out is what was
    fingerprinted, whatever has become of the file since then.
    """

    def __init__(self, clean: Clean) -> None:
        self._clean = clean
        self._lock = threading.Lock()
        self._bytes = 0
        self._agreed = {_JPEG: 0, _FAST: 0}
        self._modules: dict[str, Any] = {}
        self._kept: dict[tuple[str, Box | None], NDArray[np.uint8]] = {}
        self._files: dict[str, bytes] = {}
        self._room = _ROOM

    def keep(self, sha256: str, box: Box | None, pixels: NDArray[np.uint8]) -> None:
        """Remember the pixels of a file with this content, if they are few."""
        if pixels.nbytes <= min(_SMALL, self._room):
            self._kept[sha256, box] = pixels
            self._room -= pixels.nbytes

    def kept(self, sha256: str, box: Box | None) -> NDArray[np.uint8] | None:
        """The pixels that were kept."""
        return self._kept.get((sha256, box))

    def keep_file(self, sha256: str, data: bytes) -> None:
        """Remember the bytes of a file, if they are few."""
        if len(data) <= min(_SMALL, self._room) and sha256 not in self._files:
            self._files[sha256] = data
            self._room -= len(data)

    def file(self, sha256: str) -> bytes | None:
        """The bytes of this content, where they were kept."""
        return self._files.get(sha256)

    def pixels(self, data: bytes, box: Box | None) -> tuple[NDArray[np.uint8], Picture | None]:
        """Decode `data`.

        Returns:
            The pixels of the normalised picture, uint8 (height, width, 3), and the picture as Pillow decoded it (None
            where OpenCV has read a plain JPEG).

        Raises:
            Refused: see `decode.decode`.
        """
        self._bytes += len(data)  # threads may lose some of it: no matter
        jpeg = self._module(_JPEG) if box is None else None
        ours = jpeg.pixels(data, self._clean) if jpeg else None
        if ours is not None and self._trusted(_JPEG):
            return ours, None
        picture = decode.decode(data, self._clean, box)
        pixels = np.asarray(picture.image)
        if ours is not None:
            self._check(_JPEG, ours, pixels)
        return pixels, picture

    def thumbnails(self, pixels: NDArray[np.uint8], picture: Picture | None) -> NDArray[np.uint8]:
        """What `hashes.thumbnails` gives for the two that `pixels` gave.

        Pillow does not resize what has the size already: that is handed on in RGB, (1, 32, 32, 3), to be made grey
        together with others.
        """
        if pixels.shape[:2] == (hashes.SIDE, hashes.SIDE):
            return pixels[None]
        fast = self._module(_FAST)
        ours = fast.thumbnails(pixels) if fast else None
        if ours is not None and self._trusted(_FAST):
            return np.asarray(ours)
        thumbs = hashes.thumbnails(picture.image if picture else Image.fromarray(pixels))
        if ours is not None:
            self._check(_FAST, ours, thumbs)
        return thumbs

    def _module(self, name: str) -> Any:
        """A module, once it is worth loading; None if its library is missing or it was found wanting."""
        if name in self._modules:
            return self._modules[name]
        with self._lock:
            if self._bytes < _WORTH[name] and name not in sys.modules:
                return None
            if name not in self._modules:
                try:
                    self._modules[name] = importlib.import_module(name)
                except ImportError as error:
                    say(f"clean: {error.name} is missing, so Pillow does its work")
                    self._modules[name] = None
        return self._modules[name]

    def _trusted(self, name: str) -> bool:
        return self._agreed[name] >= _CHECKED

    def _check(self, name: str, ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> None:
        with self._lock:
            if np.array_equal(ours, theirs):
                self._agreed[name] += 1
            elif self._modules[name]:
                say(f"clean: {name} differs from Pillow {PIL.__version__}, so Pillow does it all")
                self._modules[name] = None
