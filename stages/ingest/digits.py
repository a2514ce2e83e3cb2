"""Source `digits`: real handwritten digits that come with scikit-learn, in label folders `0` ... `9`.

As they are, PNG files of 8 px; or as a scrape would leave them, larger, as JPEG and PNG, and not as tidy.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998); the 1,797 images of its test
part, 8x8 px with 17 grey levels, as `sklearn.datasets.load_digits` gives them.
"""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stages.core import files, planted
from stages.core.errors import UserError
from stages.core.seeding import generator
from stages.ingest.entry import HIDDEN, Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.ingest.params import Digits

SIDE = 32  # px of the digits of a scrape; cleaning compares pictures of 16 px and more by their looks
PAPER, INK, GRAIN = 24.0, 0.8, 18.0  # grey levels of the paper, share of those of the digit, SD of the paper's grain
HIGH: dict[str, Any] = {"quality": 92}  # of a first JPEG file
QUALITIES = (85, 75, 60)  # of a second
LEFT = 0.6  # of the bytes of a file that was cut short
TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)


def bring(source: Digits, target: Path) -> list[Entry]:
    """Write the digits under `target`.

    Raises:
        UserError: the installed scikit-learn carries other data than the checksum says.
    """
    from sklearn.datasets import load_digits

    _check(Path(source.path))
    images, labels = load_digits(return_X_y=True)
    pictures = [Image.fromarray(np.round(one * (255 / 16)).astype(np.uint8)) for one in images.reshape(-1, 8, 8)]
    names = [str(label) for label in labels]
    for name in sorted(set(names)):
        (target / name).mkdir()
    if source.planted:
        return _as_scraped(pictures, names, target)
    entries = []
    for index, (picture, label) in enumerate(zip(pictures, names, strict=True)):
        path = f"{label}/digit_{index:04d}.png"
        picture.save(target / path)
        entries.append(_entry(path))
    return entries


def _check(checksum: Path) -> None:
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


def _as_scraped(pictures: Sequence[Image.Image], labels: Sequence[str], target: Path) -> list[Entry]:
    """Write every digit once, and the planted files beside them."""
    plan = planted.plan(labels)
    large = [_on_paper(picture, number) for number, picture in enumerate(pictures)]
    for picture, path in zip(large, plan.originals, strict=True):
        picture.save(target / path, **(HIGH if path.endswith(".jpg") else {}))
    shown = dict(zip(plan.originals, large, strict=True))
    for number, one in enumerate(plan.planted):
        if not one.original:
            continue
        if one.kind == "renamed":
            shutil.copyfile(target / one.original, target / one.path)
        elif one.kind == "cut_short":
            whole = (target / one.original).read_bytes()
            (target / one.path).write_bytes(whole[: int(len(whole) * LEFT)])
        else:
            turn = TURNS[number % len(TURNS)] if one.kind == "turned" else None
            picture = shown[one.original]
            picture = picture.transpose(turn) if turn is not None else picture
            picture.save(target / one.path, quality=QUALITIES[number % len(QUALITIES)])
    stray = Entry(path=planted.STRAY, file="", label="", source="digits", problem=HIDDEN)
    return [*map(_entry, [*plan.originals, *(one.path for one in plan.planted if one.original)]), stray]


def _on_paper(picture: Image.Image, number: int) -> Image.Image:
    """A digit enlarged, on paper of its own: enlarging gives no detail that tells it from others of its class."""
    noise = generator(planted.SEED, "paper", number).normal(size=(SIDE + 1, SIDE + 1))
    grain = (noise[1:, 1:] + noise[1:, :-1] + noise[:-1, 1:] + noise[:-1, :-1]) / 2
    ink = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)
    return Image.fromarray(np.clip(np.round(PAPER + INK * ink + GRAIN * grain), 0, 255).astype(np.uint8))


def _entry(path: str) -> Entry:
    return Entry(path=path, file=f"files/{path}", label=path.partition("/")[0], source="digits")
