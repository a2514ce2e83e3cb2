"""Source `digits`: real handwritten digits that come with scikit-learn, as PNG label folders `0` ... `9`.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998); the 1,797 images of its test
part, 8x8 px with 17 grey levels, as `sklearn.datasets.load_digits` gives them.
"""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from stages.core import files
from stages.core.errors import UserError
from stages.ingest.entry import Entry

if TYPE_CHECKING:
    from pathlib import Path


def bring(checksum: Path, target: Path) -> list[Entry]:
    """Write the digits as PNG files under `target`.

    Raises:
        UserError: the installed scikit-learn carries other data than the checksum says.
    """
    from sklearn.datasets import load_digits

    if not checksum.is_file():
        raise UserError(
            f"{checksum} is not here; with the source `digits`, `ingest.path` names the file with its checksum"
        )
    expected = checksum.read_text().split()[0]
    with importlib.resources.as_file(importlib.resources.files("sklearn.datasets.data") / "digits.csv.gz") as data:
        found = files.sha256(data)
    if found != expected:
        raise UserError(
            f"scikit-learn's digits have SHA-256 {found}, {checksum} says {expected}: other data, other study"
        )
    entries = []
    images, labels = load_digits(return_X_y=True)
    for index, (pixels, label) in enumerate(zip(images.reshape(-1, 8, 8), labels, strict=True)):
        path = f"{label}/digit_{index:04d}.png"
        (target / str(label)).mkdir(exist_ok=True)
        Image.fromarray(np.round(pixels * (255 / 16)).astype(np.uint8)).save(target / path)
        entries.append(Entry(path=path, file=f"files/{path}", label=str(label), source="digits"))
    return entries
