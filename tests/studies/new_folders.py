"""Makes small folders of pictures, and runs `make new` on them."""

import contextlib
import io
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies.new import __main__ as new
from studies.new import study


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
