"""Makes small folders of pictures, and runs `make new` on them."""

import contextlib
import io
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.core import params
from stages.split import Images, assign
from stages.split.params import Split
from studies.new import __main__ as new
from studies.new import study

Rows = dict[str, dict[str, str]]  # of the raw manifest, by path


def make(root: Path, paths: Iterable[str], side: int = 24) -> Path:
    """A picture of noise at each path, no two alike."""
    for number, path in enumerate(paths):
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (side, side + number % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place)
    return root


def several(folders: Iterable[str], each: int = 8) -> list[str]:
    """Paths of some pictures in each folder."""
    return [f"{folder}/{folder.replace('/', '')[:3]}{chr(97 + i)}.png" for folder in folders for i in range(each)]


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: object, *flags: str, name: str = "mine") -> str:
    """What `make new` says; the study's folder is tmp_path/studies/<name>."""
    (tmp_path / "studies").mkdir(exist_ok=True)
    monkeypatch.setattr(study, "STUDIES", tmp_path / "studies")
    monkeypatch.setattr(new, "REPOSITORY", tmp_path / "repository")
    monkeypatch.setattr(sys, "argv", ["new", str(images), "--name", name, "--no-probe", *flags])
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        new.main()
    return " ".join(out.getvalue().split())


def raw(tmp_path: Path, name: str = "mine") -> dict[str, Any]:
    """params.yaml of the study."""
    return params.read(tmp_path / "studies" / name / "params.yaml").raw


def labels(rows: Rows) -> Counter[str]:
    """Pictures of each label."""
    return Counter(row["label"] for row in rows.values())


def divided(rows: Rows, split: dict[str, Any]) -> dict[str, str]:
    """Path -> part, by the stage `split`, on pictures without copies."""
    paths = list(rows)
    groups = [row["group"] or path for path, row in rows.items()]
    images = Images([row["label"] for row in rows.values()], groups, paths)
    parts = assign(images, Split.model_validate(split))
    return dict(zip(paths, parts, strict=True))


def table(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """A CSV."""
    pd.DataFrame(rows).to_csv(root / name, index=False)


def zipped(root: Path, target: Path, *, windows: bool = False, unflagged: bool = False) -> Path:
    """A zip as Windows or old programs write it: backslashes in names, or UTF-8 without the flag that says so."""
    with zipfile.ZipFile(target, "w") as file:
        for place in sorted(root.rglob("*")):
            if place.is_file():
                name = place.relative_to(root).as_posix()
                info = zipfile.ZipInfo(name)
                info.filename = name.replace("/", "\\") if windows else name
                file.writestr(info, place.read_bytes())
    if unflagged:  # the flag that names are UTF-8, in each header
        data = bytearray(target.read_bytes())
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = data.find(mark)
            while start >= 0:
                data[start + at + 1] &= ~0x08
                start = data.find(mark, start + 4)
        target.write_bytes(bytes(data))
    return target
