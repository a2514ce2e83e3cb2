"""What counts as the same picture, what as similar, and what it takes without the fast libraries."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from stages.clean import verify

from .conftest import Raw, photo

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.clean.decide import Decisions


def verdicts(done: Decisions) -> set[str]:
    return {p.verdict for p in done.pairs}


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda i: i.resize((150, 100)),
    "recompressed": recompressed,
    "mirrored": ImageOps.mirror,
    "turned": lambda i: i.transpose(Image.Transpose.ROTATE_90),
    "centre square": lambda i: i.crop((50, 0, 250, 200)),
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.1),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_dropped(name: str, raw: Raw) -> None:
    pytest.importorskip("cv2")
    image = photo(1, 300, 200)
    raw.add("a/original.png", image)
    raw.add("a/other.png", photo(2, 300, 200))
    raw.add("a/copy.png", COPIES[name](image))
    raw.run()
    assert sorted(r["status"] for r in raw.ledger().values()) == ["duplicate", "kept", "kept"]
    assert raw.ledger()["a/other.png"]["status"] == "kept"


def test_a_shifted_crop_is_at_least_kept_together(raw: Raw) -> None:
    pytest.importorskip("cv2")
    image = photo(1, 300, 200)
    raw.add("a/original.png", image)
    raw.add("a/crop.png", image.crop((20, 6, 296, 190)))
    raw.run()
    assert len({r["group_id"] for r in raw.manifest()}) == 1


def test_another_label_on_the_same_bottle_is_not_dropped(raw: Raw) -> None:
    for text, colour in (("A", "red"), ("B", "blue")):
        image = photo(1, 200, 200)
        ImageDraw.Draw(image).rectangle((70, 70, 130, 130), colour)
        ImageDraw.Draw(image).text((85, 75), text, "white", font_size=45)
        raw.add(f"a/{text}.png", image)
    raw.run()
    assert [r["status"] for r in raw.ledger().values()] == ["kept", "kept"]


def test_small_pictures_are_the_same_only_when_every_pixel_is(raw: Raw) -> None:
    rng = np.random.default_rng(0)
    digit = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    almost = digit.copy()
    almost[4, 4] ^= 1
    for name, pixels in (("1", digit), ("2", almost), ("3", digit)):
        raw.add(f"a/{name}.png", Image.fromarray(pixels))
    raw.add("a/4.bmp", Image.fromarray(digit))
    raw.run()
    reasons = {path: row["reason"] for path, row in raw.ledger().items()}
    # the uncompressed file counts as the least compressed
    assert reasons == {"a/1.png": "same_pixels", "a/2.png": "", "a/3.png": "same_pixels", "a/4.bmp": ""}


def test_flat_pictures_are_not_alike(raw: Raw) -> None:
    for level in (10, 12, 14):
        raw.add(f"a/{level}.png", Image.new("RGB", (64, 64), (level,) * 3))
    raw.run()
    assert len({r["group_id"] for r in raw.manifest()}) == 3


def test_a_chain_of_similar_pictures_is_capped(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "compare", lambda *_: verify.Evidence(0.9, 0.9, 0.5, 1.0, 0.0))
    for seed in range(5):
        raw.add(f"a/{seed}.png", recompressed(photo(1).rotate(seed / 2)), save={"optimize": True})
    done = raw.run(match={"max_group": 2, "cosine_few": 0.5})
    assert done.capped > 0
    sizes = [len(g) for g in done.groups]
    assert max(sizes) == 2


EVIDENCE = """
import numpy as np
from stages.clean import verify
from tests.clean.conftest import photo
for seed in range(12):
    one = photo(seed, 100, 100)
    other = one.rotate(2).crop((3 + seed % 4, 5, 97, 98))
    print(verify.compare(*(np.asarray(image.resize((32, 32))) for image in (one, other))))
"""
FEWER = {"OPENCV_CPU_DISABLE": "AVX2,FP16,AVX", "OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V3"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names instructions of x86-64")
def test_a_processor_with_fewer_instructions_sees_the_same() -> None:
    """OpenCV left to itself registers these pairs to other figures, from the second decimal on."""
    pytest.importorskip("cv2")
    told = {
        subprocess.run(
            [sys.executable, "-c", EVIDENCE], env=os.environ | less, capture_output=True, text=True, check=True
        ).stdout
        for less in ({}, FEWER)
    }
    assert len(told) == 1
    assert told.pop().count("Evidence") == 12


def test_a_second_run_decodes_nothing_and_says_the_same(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        raw.add(f"a/{seed}.jpg", photo(seed, 300, 200))
        raw.add(f"a/{seed}-small.jpg", photo(seed, 300, 200).resize((200, 133)))
    raw.cache = raw.root / ".cache/clean.sqlite"
    raw.run()
    first = raw.ledger()
    monkeypatch.setattr(verify, "compare", lambda *_: pytest.fail("compared again"))
    monkeypatch.setattr("stages.clean.thumbs.Reader.pixels", lambda *_: pytest.fail("decoded again"))
    raw.run()
    assert raw.ledger() == first


def test_a_broken_cache_is_started_anew(raw: Raw) -> None:
    raw.cache = raw.root / "clean.sqlite"
    raw.cache.write_bytes(b"no database" * 100)
    raw.add("a/1.png", photo(1))
    raw.run()
    assert raw.ledger()["a/1.png"]["status"] == "kept"


@pytest.mark.slow
def test_the_stage_runs_on_imagehash_and_numpy_alone(raw: Raw) -> None:
    image = photo(1, 300, 200)
    raw.add("a/original.jpg", image)
    raw.add("a/copy.jpg", image.resize((150, 100)))
    raw.add("a/other.jpg", photo(2, 300, 200))
    raw.run()
    with_all = {p: r["status"] for p, r in raw.ledger().items()}
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['cv2', 'numba', 'pillow_heif'])); from pathlib import Path; "
        "from stages.clean import thumbs; thumbs._WORTH = dict.fromkeys(thumbs._WORTH, 0); "
        "from stages.clean.params import Clean; "
        "from stages.clean.run import run; r = Path(sys.argv[1]); "
        "run(Clean(), r / 'data/raw', r / 'data/clean', r / 'reports/clean', None)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(raw.root)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "so Pillow does its work" in done.stderr
    assert "OpenCV is missing, so zoomed crops and montages are not looked for" in done.stderr
    assert {p: r["status"] for p, r in raw.ledger().items()} == with_all
