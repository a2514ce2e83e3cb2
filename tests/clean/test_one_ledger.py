"""One folder, one ledger: whatever the number of workers, the locale, the programs on the path, and the names."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, PngImagePlugin

from tests import tiny
from tests.clean.conftest import photo, scene
from tests.fuzz.mutate import mutated

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = ("apple", "b é", "日本")
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n(x) (w) file closefile showpage\n%%EOF\n"
Files = dict[str, bytes]


def _save(image: Image.Image, kind: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def _folder() -> list[tuple[str, str, bytes]]:
    """About 60 files: label, ending, content; none of the photographs is a copy but where it is meant to be."""
    pillow_heif.register_heif_opener()
    files = [(LABELS[k % 3], ".jpg", _save(scene(k), "JPEG", quality=92)) for k in range(12)]
    files += _copies(files) + _formats() + _damaged(files[0][2])
    files += [(LABELS[seed % 3], ".jpg", mutated(seed)) for seed in range(20)]
    return files


def _copies(files: list[tuple[str, str, bytes]]) -> list[tuple[str, str, bytes]]:
    smaller = _save(scene(0).resize((200, 150), Image.Resampling.LANCZOS), "JPEG", quality=85)
    return [
        ("apple", ".jpg", files[0][2]),  # the same bytes
        ("apple", ".jpg", smaller),
        ("apple", ".png", _save(Image.open(io.BytesIO(files[0][2])), "PNG")),  # the same pixels
        ("b é", ".webp", _save(scene(1), "WEBP", quality=70)),
        ("日本", ".jpg", files[1][2]),  # a conflict of labels: the same bytes
        ("apple", ".jpg", _save(scene(5), "JPEG", quality=60)),  # another: encoded again
        ("日本", ".jpg", _save(scene(2).crop((40, 30, 300, 220)), "JPEG", quality=90)),
        ("日本", ".jpg", _save(scene(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG", quality=90)),
    ]


def _formats() -> list[tuple[str, str, bytes]]:
    grey = Image.fromarray(np.asarray(photo(30).convert("L")).astype(np.uint16) * 200)
    turned = Image.Exif()
    turned[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("made by", "x" * 1_200_000)
    kinds = [
        (".gif", _save(photo(31), "GIF", save_all=True, append_images=[photo(32)])),
        (".png", _save(grey, "PNG")),
        (".png", _save(photo(33).convert("RGBA"), "PNG", pnginfo=text)),
        (".jpg", _save(photo(34).convert("CMYK"), "JPEG")),
        (".jpg", _save(photo(35), "JPEG", exif=turned)),
        (".jpg", _save(photo(36), "WEBP")),
        (".png", _save(photo(37), "JPEG", progressive=True)),
        (".avif", _save(photo(38), "AVIF")),
        (".heic", _save(photo(39), "HEIF")),
        (".tif", _save(photo(40), "TIFF", compression="tiff_lzw")),
        (".jp2", _save(photo(41), "JPEG2000")),
        (".ico", _save(photo(42).resize((32, 32)), "ICO")),
        (".jpg", POSTSCRIPT),
        (".eps", POSTSCRIPT.replace(b"(x)", b"(y)")),
        (".jpg", b"\xc5\xd0\xd3\xc6" + (30).to_bytes(4, "little") + bytes(22) + POSTSCRIPT),
        (".pdf", b"%PDF-1.4\n1 0 obj\n"),
        (".svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ]
    return [(LABELS[k % 3], *kind) for k, kind in enumerate(kinds)]


def _damaged(jpeg: bytes) -> list[tuple[str, str, bytes]]:
    third = len(jpeg) // 3
    png = bytearray(_save(photo(50), "PNG"))
    png[len(png) // 2] ^= 1
    kinds = [
        jpeg[: 2 * third],
        jpeg[:third] + bytes(np.random.default_rng(1).integers(0, 255, third, np.uint8)) + jpeg[2 * third :],
        bytes(png),
        b"",
        b"<html>404</html>",
        jpeg[:30],
        _save(photo(51), "WEBP")[:900],
        _save(photo(52, 3, 3), "PNG"),
    ]
    return [(LABELS[k % 3], ".jpg", content) for k, content in enumerate(kinds)]


def _lay_out(root: Path, files: list[tuple[str, str, bytes]], *, reverse: bool) -> Path:
    for number, (label, ending, content) in enumerate(files):
        name = f"{len(files) - number if reverse else number:02d}{ending}"
        (root / "source" / label).mkdir(parents=True, exist_ok=True)
        (root / "source" / label / name).write_bytes(content)
    return root / "source"


def _run(root: Path, source: Path, workers: int, **environment: str) -> list[dict[str, str]]:
    """The ledger of `source`, from the commands that the pipeline runs."""
    root.mkdir(exist_ok=True)
    shutil.copy(tiny.ROOT / "params.yaml", root / "params.yaml")
    (root / "stages").symlink_to(tiny.ROOT / "stages")

    def change(params: dict[str, Any]) -> None:
        params["ingest"] = {"source": "folder", "path": str(source)}
        params["clean"]["workers"] = workers

    tiny.edit(root / "params.yaml", change)
    for stage in ("ingest", "clean"):
        tiny.run(root, "python", "-m", f"stages.{stage}", check=True, **environment)
    with (root / "data/clean/ledger.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _but_for_names(ledger: list[dict[str, str]]) -> Counter[tuple[str, ...]]:
    """How many files of each content have which verdict; a copy's picture is named by the picture it is of."""
    paths = sorted((row["path"] for row in ledger), key=len, reverse=True)

    def nameless(text: str) -> str:
        for path in paths:
            text = text.replace(path, "PATH")
        return text

    kept = ("sha256", "label", "status", "reason", "duplicate_of")
    return Counter((*(row[key] for key in kept), nameless(row["detail"])) for row in ledger)


def _latin1(folder: Path) -> dict[str, str]:
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", folder / "en_US.ISO-8859-1"],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no Latin-1 locale can be made here")
    return {"LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"}


def _ghostscript(folder: Path, mark: Path) -> dict[str, str]:
    for name in ("gs", "gswin32c", "gswin64c", "convert", "magick", "rsvg-convert", "inkscape", "djpeg"):
        (folder / name).write_text(f"#!/bin/sh\necho $0 >> {mark}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{Path(os.sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # type: ignore[attr-defined]


C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[tuple[str, str, bytes]], Path, list[dict[str, str]]]:
    root = tmp_path_factory.mktemp("usual")
    files = _folder()
    source = _lay_out(root, files, reverse=False)
    return files, source, _run(root / "run", source, 1, LC_ALL="C.UTF-8")


@pytest.mark.slow
def test_the_folder_has_something_of_everything(usual: tuple[Any, Path, list[dict[str, str]]]) -> None:
    files, _, ledger = usual
    assert len(ledger) == len(files) >= 60
    reasons = {row["reason"] for row in ledger}
    assert {"label_conflict", "truncated", "corrupt_data", "not_an_image", "unreadable", "too_small"} <= reasons, (
        reasons
    )
    assert {row["status"] for row in ledger} == {"kept", "duplicate", "quarantined"}
    assert {row["label"] for row in ledger} == set(LABELS)


def _with_ghostscript(folder: Path) -> dict[str, str]:
    return _ghostscript(folder, folder / "mark")


SURROUNDINGS: dict[str, tuple[int, Callable[[Path], dict[str, str]]]] = {
    "2 workers, C": (2, lambda _: C),
    "4 workers, Latin-1": (4, _latin1),
    "1 worker, POSIX, gs": (1, lambda folder: {**C, "LC_ALL": "POSIX", **_with_ghostscript(folder)}),
    "4 workers, UTF-8, gs": (4, lambda folder: {"LC_ALL": "C.UTF-8", **_with_ghostscript(folder)}),
}


@pytest.mark.slow
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_the_same_bytes_in_any_surroundings(
    usual: tuple[Any, Path, list[dict[str, str]]], tmp_path: Path, surroundings: str
) -> None:
    workers, environment = SURROUNDINGS[surroundings]
    (tmp_path / "bin").mkdir()
    _, source, ledger = usual
    assert _run(tmp_path / "run", source, workers, **environment(tmp_path / "bin")) == ledger
    for name in ("ledger.csv", "manifest.csv", "audit.json"):
        theirs = source.parent / "run/data/clean" / name
        assert (tmp_path / "run/data/clean" / name).read_bytes() == theirs.read_bytes()
    assert not (tmp_path / "bin/mark").exists(), "a picture started a program"


@pytest.mark.slow
def test_names_in_reverse_change_names_alone(
    usual: tuple[list[tuple[str, str, bytes]], Path, list[dict[str, str]]], tmp_path: Path
) -> None:
    files, _, ledger = usual
    other = _run(tmp_path / "run", _lay_out(tmp_path, files, reverse=True), 2, LC_ALL="C.UTF-8")
    before, after = _but_for_names(ledger), _but_for_names(other)
    assert before - after == after - before == Counter()
