"""Sprites: which picture stands where, and whether every processor writes the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from stages.core import files, sprite

WRITE = """
import numpy as np
from pathlib import Path
from stages.core import sprite
sprite.write(Path({path!r}), list(np.random.default_rng(0).integers(0, 256, (23, 48, 48, 3), np.uint8)))
"""


def test_tile_i_stands_in_its_row_and_column(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (13, 3), np.uint8)
    sprite.write(tmp_path / "a.jpg", [np.full((16, 16, 3), colour, np.uint8) for colour in colours])
    with Image.open(tmp_path / "a.jpg") as picture:
        pixels = np.asarray(picture).astype(int)
    assert pixels.shape == (32, 160, 3)
    for i, colour in enumerate(colours):
        shown = pixels[i // 10 * 16 :, i % 10 * 16 :][4:12, 4:12]
        assert np.abs(shown - colour).max() < 12


def test_vector_code_changes_no_byte(tmp_path: Path) -> None:
    digests = set()
    for name, switch in {"any": {}, "none": {"JSIMD_FORCENONE": "1"}, "sse2": {"JSIMD_FORCESSE2": "1"}}.items():
        path = tmp_path / f"{name}.jpg"
        subprocess.run([sys.executable, "-c", WRITE.format(path=str(path))], check=True, env=os.environ | switch)
        digests.add(files.sha256(path))
    assert len(digests) == 1
