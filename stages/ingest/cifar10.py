"""Source `cifar10`: torchvision's CIFAR-10 (Krizhevsky 2009), written as PNG files `{train,test}/<class>/<index>.png`.

As JPEG files in the same folders it is a plain `folder` or `archive`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

from stages.core import console
from stages.core.errors import UserError
from stages.ingest.entry import Entry

if TYPE_CHECKING:
    from stages.ingest.params import Cifar10

DOWNLOADS = Path(".cache/downloads")


def bring(params: Cifar10, target: Path) -> list[Entry]:
    """Download (once, to .cache/downloads), check and unpack the 60,000 images.

    Raises:
        UserError: it cannot be downloaded, or is not what the checksum says.
    """
    from torchvision.datasets import CIFAR10

    checksum = Path(params.path)
    md5 = checksum.read_text(encoding="utf-8").split()[0] if checksum.is_file() else ""
    if md5 != CIFAR10.tgz_md5:
        raise UserError(f"{checksum} must hold the MD5 that torchvision checks CIFAR-10 against, {CIFAR10.tgz_md5}")
    entries = []
    for part in ("train", "test"):
        try:
            data = CIFAR10(DOWNLOADS, train=part == "train", download=True)
        except (URLError, OSError, RuntimeError) as error:
            raise UserError(
                f"CIFAR-10 could not be downloaded ({error}); put {CIFAR10.filename} (from {CIFAR10.url}, MD5 "
                f"{CIFAR10.tgz_md5}) into {DOWNLOADS}, then run the same command again"
            ) from None
        for index, (image, label) in enumerate(console.progress(data, desc=f"ingest {part}", unit=" images")):
            path = f"{part}/{data.classes[label]}/{index:05d}.png"
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            image.save(target / path)
            entries.append(Entry(path, f"files/{path}", data.classes[label], "cifar10"))
    return entries
