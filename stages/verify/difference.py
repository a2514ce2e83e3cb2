"""The first difference between two files, in terms of their type: a tensor, a row, a key, a pixel, a line."""

from __future__ import annotations

import base64
import csv
import io
import json
import os.path
import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

CLOSE = 1e-9  # relative: what another instruction set may do to the last digits of a sum
CLOSE_PIXELS = {".png": 3, ".jpg": 12}  # of 255, at every pixel; in a JPEG a coefficient may be rounded the other way
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")
_PICTURE = re.compile(r"data:image/[a-z+]+;base64,([A-Za-z0-9+/=]+)")


class Sides(NamedTuple):
    """What the two files are called when a difference is described."""

    old: str
    new: str

    def values(self, old: object, new: object) -> str:
        """Both values, each with its side."""
        return f"{self.old} {old}, {self.new} {new}"

    def only(self, *, in_new: bool) -> str:
        """Something that is missing on one side."""
        return f"{self.new}, not {self.old}" if in_new else f"{self.old}, not {self.new}"


MADE_AGAIN = Sides("here", "made again")
HERE = Sides("recorded", "here")


def first(old: Path, new: Path, sides: Sides = MADE_AGAIN) -> str | None:
    """The first difference between `old` and `new`; None if they are equal byte for byte.

    Folders are compared file by file, and the first file that differs is named. The suffix of `new` gives the type of
    both, because `old` may be in a cache, without a suffix.
    """
    if old.is_dir() or new.is_dir():
        return _folders(old, new, sides)
    if not (old.is_file() and new.is_file()):
        return "a pipe or a device stands in its place"
    if old.read_bytes() == new.read_bytes():
        return None
    words = _KINDS.get(new.suffix, _lines)
    try:
        return words(old, new, sides) or "the bytes differ, but not the content"
    except (OSError, ValueError, KeyError) as error:  # a damaged file, which cannot be read as its type
        return f"the bytes differ, and one of them cannot be read: {error}"


def close(recorded: Path, again: Path) -> bool:
    """Whether numbers agree to a relative 1e-9 and pictures to a few grey levels at every pixel.

    Folders are compared file by file, a page with the pictures inside it; tensors must be equal.
    """
    if recorded.is_dir() or again.is_dir():
        both = ((recorded / name, again / name) for name in _names(recorded, again))
        return all(old.exists() and new.exists() and close(old, new) for old, new in both)
    old, new = recorded.read_bytes(), again.read_bytes()
    if old == new or recorded.suffix in (".npz", ".safetensors"):
        return old == new
    if most := CLOSE_PIXELS.get(recorded.suffix):
        return _close_pixels(old, new, most)
    if recorded.suffix == ".parquet":
        old, new = (_table(path).to_csv().encode() for path in (recorded, again))
    return _close_text(old.decode(), new.decode())


def _close_text(old: str, new: str) -> bool:
    pictures = list(zip_longest(_PICTURE.findall(old), _PICTURE.findall(new), fillvalue=""))
    old, new = _PICTURE.sub("", old), _PICTURE.sub("", new)
    if _NUMBER.sub("#", old) != _NUMBER.sub("#", new):
        return False
    first_numbers, second_numbers = (np.array(_NUMBER.findall(text), dtype=np.float64) for text in (old, new))
    return bool(np.allclose(first_numbers, second_numbers, rtol=CLOSE, atol=CLOSE)) and all(
        one == two or _close_pixels(base64.b64decode(one), base64.b64decode(two), CLOSE_PIXELS[".png"])
        for one, two in pictures
    )


def _close_pixels(old: bytes, new: bytes, most: int) -> bool:
    one, two = _pixels(io.BytesIO(old)), _pixels(io.BytesIO(new))
    return one.shape == two.shape and int(np.abs(one - two).max(initial=0)) <= most


def values(old: Any, new: Any, sides: Sides = MADE_AGAIN, key: str = "") -> str | None:
    """The first key, such as `a.b[1]`, at which two values of JSON differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            (old.get(k), new.get(k), f"{key}.{k}" if key else k) for k in [*old, *(k for k in new if k not in old)]
        ]
    elif isinstance(old, list) and isinstance(new, list):
        parts = [(a, b, f"{key}[{i}]") for i, (a, b) in enumerate(zip_longest(old, new))]
    else:
        return None if old == new else f"{key}: {sides.values(repr(old), repr(new))}"
    return next((words for a, b, k in parts if (words := values(a, b, sides, k))), None)


def _folders(old: Path, new: Path, sides: Sides) -> str | None:
    for name in _names(old, new):
        if not ((old / name).exists() and (new / name).exists()):
            return f"{name}: {sides.only(in_new=(new / name).exists())}"
        if words := first(old / name, new / name, sides):
            return f"{name}: {words}"
    return None


def _names(old: Path, new: Path) -> list[str]:
    """The files of both folders."""
    return sorted({p.relative_to(top).as_posix() for top in (old, new) for p in top.rglob("*") if p.is_file()})


def _rows(read: Callable[[Path], Iterable[Mapping[str, Any]]]) -> _Words:
    def compare(old: Path, new: Path, sides: Sides) -> str | None:
        for number, (then, now) in enumerate(zip_longest(read(old), read(new)), 1):
            if then == now:
                continue
            if then is None or now is None:
                row = ", ".join(str(value) for value in list((then or now or {}).values())[:3])
                return f"row {number} ({row}): {sides.only(in_new=then is None)}"
            column = next((c for c in then if then[c] != now.get(c)), next(iter(then)))
            keys = ", ".join(f"{k} {v}" for k, v in list(then.items())[:3] if k != column and v == now.get(k))
            return f"row {number} ({keys}), {column}: {sides.values(then[column], now.get(column))}"
        return None

    return compare


def _csv(path: Path) -> Iterable[Mapping[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


def _parquet(path: Path) -> Iterable[Mapping[str, Any]]:
    table = _table(path)
    return (dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False, name=None))


def _json(old: Path, new: Path, sides: Sides) -> str | None:
    return values(json.loads(old.read_text("utf-8")), json.loads(new.read_text("utf-8")), sides)


def _pixels(path: Path | BinaryIO) -> NDArray[np.int16]:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"), dtype=np.int16)


def _picture(old: Path, new: Path, sides: Sides) -> str | None:
    one, two = _pixels(old), _pixels(new)
    if one.shape != two.shape:
        return sides.values(*(f"{pixels.shape[1]} x {pixels.shape[0]} px" for pixels in (one, two)))
    wrong = np.argwhere((one != two).any(axis=2))
    if not len(wrong):
        return None
    y, x = wrong[0]
    return f"{len(wrong)} of {one.shape[0] * one.shape[1]} pixels differ, the first at x {x}, y {y}"


def _tensors(load: Callable[[Path], Mapping[str, NDArray[Any]]]) -> _Words:
    def compare(old: Path, new: Path, sides: Sides) -> str | None:
        one, two = load(old), load(new)
        for name in [*one, *(n for n in two if n not in one)]:
            if name not in one or name not in two:
                return f"tensor {name}: {sides.only(in_new=name in two)}"
            a, b = np.asarray(one[name]), np.asarray(two[name])
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"tensor {name}: {sides.values(f'{a.dtype} {a.shape}', f'{b.dtype} {b.shape}')}"
            if a.tobytes() != b.tobytes():
                wrong = np.argwhere(a != b)
                place = "" if not len(wrong) else f", the first at {tuple(int(i) for i in wrong[0])}"
                gap = float(np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)))) if a.size else 0.0
                return f"tensor {name}: {len(wrong)} of {a.size} values differ{place}, by at most {gap:.3g}"
        return None

    return compare


def _npz(path: Path) -> Mapping[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _lines(old: Path, new: Path, sides: Sides) -> str | None:
    texts = [path.read_text("utf-8", errors="replace").splitlines() for path in (old, new)]
    for number, (one, two) in enumerate(zip_longest(*texts), 1):
        if one != two:
            return f"line {number}: {sides.values(_around(one, two), _around(two, one))}"
    return None


def _around(text: str | None, other: str | None) -> str:
    """The words around the first difference: lines of a page with its pictures inside are long."""
    if text is None:
        return "nothing"
    at = len(os.path.commonprefix([text, other or ""]))  # noqa: RUF071 - letters are meant, not folders
    return repr(text[max(0, at - 30) : at + 30])


_Words = Callable[[Path, Path, Sides], "str | None"]
_KINDS: dict[str, _Words] = {
    ".csv": _rows(_csv),
    ".json": _json,
    ".jpg": _picture,
    ".png": _picture,
    ".npz": _tensors(_npz),
    ".parquet": _rows(_parquet),
    ".safetensors": _tensors(load_file),
}
