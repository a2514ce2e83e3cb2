"""The first difference between two files, in the words of their kind: a tensor, a row, a key, a pixel, a line."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

CLOSE = 1e-9  # relative: what another instruction set may do to the last digits of a sum
CLOSE_PIXELS = 3  # of 255, at every pixel
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")
_PICTURE = re.compile(r"data:image/[a-z+]+;base64,([A-Za-z0-9+/=]+)")


def first(recorded: Path, again: Path) -> str | None:
    """How `again` differs first from `recorded`; None where they are equal byte for byte.

    A folder is compared file by file; the first file that differs is named.
    """
    if recorded.is_dir() or again.is_dir():
        return _folders(recorded, again)
    if recorded.read_bytes() == again.read_bytes():
        return None
    words = _KINDS.get(recorded.suffix, _lines)
    try:
        return words(recorded, again) or "the bytes differ, what they say does not"
    except (OSError, ValueError, KeyError) as error:  # a file so broken that it cannot be read as its kind
        return f"the bytes differ, and one of them cannot be read: {error}"


def close(recorded: Path, again: Path) -> bool:
    """Whether two files say the same to a relative 1e-9 (numbers) and to three grey levels at every pixel (pictures).

    Folders are compared file by file, a page with the pictures inside it; tensors are never close, only equal.
    """
    if recorded.is_dir() or again.is_dir():
        names = {p.relative_to(top) for top in (recorded, again) for p in top.rglob("*") if p.is_file()}
        return all((recorded / n).exists() and (again / n).exists() and close(recorded / n, again / n) for n in names)
    old, new = recorded.read_bytes(), again.read_bytes()
    if old == new or recorded.suffix in (".npz", ".safetensors"):
        return old == new
    return _close_pixels(old, new) if recorded.suffix == ".png" else _close_text(old.decode(), new.decode())


def _close_text(old: str, new: str) -> bool:
    pictures = list(zip_longest(_PICTURE.findall(old), _PICTURE.findall(new), fillvalue=""))
    old, new = _PICTURE.sub("", old), _PICTURE.sub("", new)
    if _NUMBER.sub("#", old) != _NUMBER.sub("#", new):
        return False
    first_numbers, second_numbers = (np.array(_NUMBER.findall(text), dtype=np.float64) for text in (old, new))
    return bool(np.allclose(first_numbers, second_numbers, rtol=CLOSE, atol=CLOSE)) and all(
        one == two or _close_pixels(base64.b64decode(one), base64.b64decode(two)) for one, two in pictures
    )


def _close_pixels(old: bytes, new: bytes) -> bool:
    one, two = _pixels(io.BytesIO(old)), _pixels(io.BytesIO(new))
    return one.shape == two.shape and int(np.abs(one - two).max(initial=0)) <= CLOSE_PIXELS


def _folders(recorded: Path, again: Path) -> str | None:
    names = sorted({p.relative_to(top).as_posix() for top in (recorded, again) for p in top.rglob("*") if p.is_file()})
    for name in names:
        for top, where in ((recorded, "is not among what was recorded"), (again, "was not made again")):
            if not (top / name).exists():
                return f"{name} {where}"
        if words := first(recorded / name, again / name):
            return f"{name}: {words}"
    return None


def _rows(recorded: Path, again: Path) -> str | None:
    with recorded.open(newline="", encoding="utf-8") as one, again.open(newline="", encoding="utf-8") as two:
        for number, (old, new) in enumerate(zip_longest(csv.DictReader(one), csv.DictReader(two)), 1):
            if old == new:
                continue
            if old is None or new is None:
                row = ", ".join(str(value) for value in list((old or new or {}).values())[:3])
                return f"row {number} ({row}) " + ("was not recorded" if old is None else "was not made again")
            column = next((c for c in old if old[c] != new.get(c)), next(iter(old)))
            keys = ", ".join(f"{k} {v}" for k, v in list(old.items())[:3] if k != column and v == new.get(k))
            return f"row {number} ({keys}), {column}: recorded {old[column]}, now {new.get(column)}"
    return None


def _json(recorded: Path, again: Path) -> str | None:
    return _values(json.loads(recorded.read_text("utf-8")), json.loads(again.read_text("utf-8")), "")


def _values(old: Any, new: Any, key: str) -> str | None:
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            (old.get(k), new.get(k), f"{key}.{k}" if key else k) for k in [*old, *(k for k in new if k not in old)]
        ]
    elif isinstance(old, list) and isinstance(new, list):
        parts = [(a, b, f"{key}[{i}]") for i, (a, b) in enumerate(zip_longest(old, new))]
    else:
        return None if old == new else f"{key}: recorded {old!r}, now {new!r}"
    return next((words for a, b, k in parts if (words := _values(a, b, k))), None)


def _pixels(path: Path | BinaryIO) -> NDArray[np.int16]:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"), dtype=np.int16)


def _picture(recorded: Path, again: Path) -> str | None:
    old, new = _pixels(recorded), _pixels(again)
    if old.shape != new.shape:
        return f"recorded {old.shape[1]} x {old.shape[0]} px, now {new.shape[1]} x {new.shape[0]} px"
    wrong = np.argwhere((old != new).any(axis=2))
    if not len(wrong):
        return None
    y, x = wrong[0]
    return f"{len(wrong)} of {old.shape[0] * old.shape[1]} pixels differ, the first at x {x}, y {y}"


def _tensors(load: Callable[[Path], Mapping[str, NDArray[Any]]]) -> Callable[[Path, Path], str | None]:
    def compare(recorded: Path, again: Path) -> str | None:
        old, new = load(recorded), load(again)
        for name in [*old, *(n for n in new if n not in old)]:
            if name not in old or name not in new:
                return f"tensor {name} is in only one of them"
            a, b = np.asarray(old[name]), np.asarray(new[name])
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"tensor {name}: recorded {a.dtype} {a.shape}, now {b.dtype} {b.shape}"
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


def _safetensors(path: Path) -> Mapping[str, NDArray[Any]]:
    from safetensors.numpy import load_file

    loaded: Mapping[str, NDArray[Any]] = load_file(path)
    return loaded


def _lines(recorded: Path, again: Path) -> str | None:
    texts = [path.read_text("utf-8", errors="replace").splitlines() for path in (recorded, again)]
    for number, (old, new) in enumerate(zip_longest(*texts), 1):
        if old != new:
            return f"line {number}: recorded {_around(old, new)}, now {_around(new, old)}"
    return None


def _around(text: str | None, other: str | None) -> str:
    """The words around the first difference: lines of a page with its pictures inside are long."""
    if text is None:
        return "nothing"
    at = next(
        (i for i, (a, b) in enumerate(zip(text, other or "", strict=False)) if a != b), min(len(text), len(other or ""))
    )
    return repr(text[max(0, at - 30) : at + 30])


_KINDS: dict[str, Callable[[Path, Path], str | None]] = {
    ".csv": _rows,
    ".json": _json,
    ".png": _picture,
    ".npz": _tensors(_npz),
    ".safetensors": _tensors(_safetensors),
}
