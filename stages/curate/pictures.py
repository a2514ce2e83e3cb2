"""Pictures for the page: always decoded and written anew, never the bytes of a file as they are."""

from __future__ import annotations

import functools
import hashlib
import io
import threading
from typing import TYPE_CHECKING, Any

from PIL import Image

from stages.clean import decode, describe, isolate
from stages.clean.decode import Refused
from stages.clean.pictures import LENIENT

if TYPE_CHECKING:
    from pathlib import Path

    from stages.clean.params import Clean
    from stages.curate.findings import Picture

SIDES = (320, 1600)  # px, of the longer side: in the list, and large


class Pictures:
    """The pictures of one study, by their row."""

    def __init__(self, root: Path, clean: Clean) -> None:
        """Pictures below `root`, under the limits of the section `clean`."""
        self._root, self._clean = root, clean
        self._kept: list[Any] = []  # the process that decodes
        self._decoding = threading.Lock()
        self.png = functools.lru_cache(maxsize=512)(self._png)

    def drawn(self, picture: Picture, side: int) -> bytes | None:
        """The picture as PNG or JPEG with a longer side of at most `side` px; None where there is none to show."""
        return self.png(picture.file, picture.image, picture.sha256, picture.box, side)

    def _png(self, file: str, kept: str, digest: str, box: decode.Box | None, side: int) -> bytes | None:
        data = self._read(file)
        if hashlib.sha256(data).hexdigest() != digest:
            data, box = self._read(kept), None  # laid out by clean: already cut
        if not data:
            return None
        # However damaged it is, since a person may keep it; so in a process of its own, with limits.
        shown = functools.partial(_shown, clean=self._clean.model_copy(update=LENIENT))
        limits = {"seconds": self._clean.seconds, "gigabytes": self._clean.gigabytes}
        with self._decoding:
            (found,) = isolate.each(shown, [(data, box, side)], workers=1, kept=self._kept, **limits)
        return None if isinstance(found, Refused) else found

    def _read(self, file: str) -> bytes:
        """The bytes of a file; none where it is not there or cannot be read."""
        try:
            return describe.read(str(self._root / file)) if file else b""
        except Refused:
            return b""


def _shown(task: tuple[bytes, decode.Box | None, int], clean: Clean) -> bytes:
    """In the worker process: decode a picture and encode it anew."""
    data, box, side = task
    return _encoded(decode.decode(data, clean, box).image, side)


def _encoded(image: Image.Image, side: int) -> bytes:
    scale = side / max(image.size)
    if scale < 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    out = io.BytesIO()
    if max(image.size) <= 128:
        image.save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=90)
    return out.getvalue()
