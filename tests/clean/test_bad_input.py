"""Files as they are found in the wild: each ends in the ledger with its reason, and the stage ends."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.clean import decode, match
from stages.clean.params import Clean
from stages.core.errors import UserError

from .conftest import Raw, photo


def encoded(image: Image.Image, kind: str, **save: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **save)
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
        + chunk(b"IEND", b"")
    )


def pixels(data: bytes, **limits: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(decode.decode(data, Clean(**limits)).image)  # type: ignore[arg-type]


def test_each_kind_of_broken_file_has_its_reason(raw: Raw) -> None:
    whole = encoded(photo(1, 300, 200), "JPEG")
    cases = {
        "one byte.jpg": (b"x", "not_an_image"),
        "empty.png": (b"", "not_an_image"),
        "text.jpg": (b"<html>not found</html>", "not_an_image"),
        "cut.jpg": (whole[: len(whole) // 2], "truncated"),
        "cut.png": (encoded(photo(2), "PNG")[:4000], "truncated"),
        "bomb.png": (bomb(40_000), "too_large"),
        "tiny.png": (encoded(Image.new("RGB", (3, 90)), "PNG"), "too_small"),
    }
    for name, (content, _) in cases.items():
        raw.add(f"a/{name}", content)
    raw.add("a/good.png", photo(3))
    raw.run()
    ledger = raw.ledger()
    assert {name: ledger[f"a/{name}"]["reason"] for name in cases} == {
        name: reason for name, (_, reason) in cases.items()
    }
    assert ledger["a/good.png"]["status"] == "kept"


def test_paths_that_are_no_files(raw: Raw) -> None:
    base = raw.root / "data/raw/files/a"
    raw.add("a/good.png", photo(1))
    (base / "folder.jpg").mkdir()
    (base / "dangling.jpg").symlink_to("nowhere")
    (base / "loop.jpg").symlink_to("loop.jpg")
    for name in ("folder.jpg", "dangling.jpg", "loop.jpg", "gone.jpg"):
        raw.row(f"a/{name}")
    raw.run()
    ledger = raw.ledger()
    assert {ledger[p]["reason"] for p in ledger if p != "a/good.png"} == {"unreadable"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(raw: Raw) -> None:
    raw.add("a/good.png", photo(1))
    raw.add("a/secret.png", photo(2)).chmod(0)
    raw.run()
    assert raw.ledger()["a/secret.png"]["reason"] == "unreadable"


def test_names_of_every_kind(raw: Raw) -> None:
    names = [
        "new\nline.png",
        "quo\"te'.png",
        "🍌.png",
        "x" * 251 + ".png",
        "B.png",
        "b.png",
        "e\u0301.png",
        "\u00e9.png",
        "a,b.png",
    ]
    for seed, name in enumerate(names):
        raw.add(f"c/{name}", photo(seed), "c")
    raw.run()
    assert {f"c/{n}" for n in names} == set(raw.ledger())
    assert len(raw.manifest()) == len(names)


def test_labels_that_fold_alike_get_folders_of_their_own(raw: Raw) -> None:
    for seed, label in enumerate(["10", "2", "1", "Rice", "rice", "a/b", "..", "é", "e\u0301", "²"]):
        raw.add(f"{seed}.png", photo(seed), label)
    raw.run()
    folder = {r["label"]: r["path"].split("/")[1] for r in raw.manifest()}
    assert len({f.casefold() for f in folder.values()}) == 10
    assert sorted(["1", "2", "10"], key=lambda x: folder[x]) == ["1", "2", "10"]


def test_a_file_that_changes_during_the_run_ends_it(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """data/raw is our own output: who changes it meanwhile is told, and nothing is laid out."""
    target = raw.add("a/moving.png", photo(1, 300, 200))
    raw.add("a/good.png", photo(2))
    compare = match.pairs

    def change_now(*args: Any) -> Any:
        photo(5).save(target)
        return compare(*args)

    monkeypatch.setattr(match, "pairs", change_now)
    with pytest.raises(UserError, match=r"moving\.png changed while it was read"):
        raw.run()
    assert not (raw.root / "data/clean/images").exists()


def test_nothing_left_is_said(raw: Raw) -> None:
    raw.add("a/x.png", b"no")
    with pytest.raises(UserError, match=r"ledger\.csv says why"):
        raw.run()


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    upright = np.asarray(photo(1))
    undo = {1: 0, 2: 1, 3: 3, 4: 2, 5: 4, 6: 6, 7: 7, 8: 5}[turn]
    stored = Image.fromarray(_undo(upright, undo))
    assert np.array_equal(pixels(encoded(stored, "PNG", exif=exif)), upright)


def _undo(
    upright: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], turn: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """What a camera stores for `upright`: bit 0 mirrors, bit 1 flips, bit 2 transposes first."""
    turned = np.swapaxes(upright, 0, 1) if turn & 4 else upright
    turned = turned[:, ::-1] if turn & 1 else turned
    return np.ascontiguousarray(turned[::-1] if turn & 2 else turned)


def test_modes_come_out_as_rgb_on_white() -> None:
    clear = Image.new("RGBA", (9, 9), (200, 10, 10, 0))
    assert (pixels(encoded(clear, "PNG")) == 255).all()
    assert (pixels(encoded(clear.quantize(4), "PNG")) == 255).all()
    assert (pixels(encoded(Image.new("LA", (9, 9), (7, 0)), "PNG")) == 255).all()
    deep = Image.fromarray(np.full((9, 9), 0x8040, np.uint16))
    assert (pixels(encoded(deep, "PNG")) == 0x80).all()
    assert (pixels(encoded(Image.new("F", (9, 9), 0.5), "TIFF")) == 127).all()
    ink = Image.new("CMYK", (9, 9), (0, 0, 0, 0))
    assert (pixels(encoded(ink, "JPEG", quality=100)) >= 254).all()
    assert pixels(encoded(Image.new("1", (9, 9), 1), "PNG")).shape == (9, 9, 3)


@pytest.mark.parametrize(
    ("kind", "name"), [("WEBP", "x.jpg"), ("GIF", "x.png"), ("JPEG", "x.png"), ("TIFF", "x.jpeg"), ("AVIF", "x")]
)
def test_the_content_counts_not_the_extension(kind: str, name: str, raw: Raw) -> None:
    raw.add(f"a/{name}", encoded(photo(1), kind))
    raw.run()
    assert raw.ledger()[f"a/{name}"]["status"] == "kept"


def test_heic(raw: Raw) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    raw.add("a/phone.heic", encoded(photo(1), "HEIF"))
    raw.run()
    assert raw.ledger()["a/phone.heic"]["status"] == "kept"


def test_an_animation_gives_its_first_frame_and_says_so(raw: Raw) -> None:
    first, second = photo(1), photo(2)
    raw.add("a/x.png", encoded(first, "PNG", save_all=True, append_images=[second]))
    raw.run()
    row = raw.ledger()["a/x.png"]
    assert (row["status"], row["reason"], row["detail"]) == ("kept", "animated", "first of 2 frames")
    with Image.open(raw.root / "data/clean" / raw.manifest()[0]["path"]) as kept:
        assert np.array_equal(np.asarray(kept), np.asarray(first))


def test_a_truncated_picture_is_kept_when_enough_is_there(raw: Raw) -> None:
    whole = encoded(photo(1, 200, 400), "JPEG", quality=90)
    raw.add("a/most.jpg", whole[: int(len(whole) * 0.93)])
    raw.add("a/little.jpg", whole[: int(len(whole) * 0.3)])
    raw.run(truncated_min_visible=0.8)
    ledger = raw.ledger()
    assert (ledger["a/most.jpg"]["status"], ledger["a/most.jpg"]["reason"]) == ("kept", "truncated")
    assert ledger["a/little.jpg"]["status"] == "quarantined"


def test_a_box_outside_the_picture(raw: Raw) -> None:
    raw.add("a/1.png", photo(1), box="500 500 600 600")
    raw.row("a/1.png", box="10 10 900 900")
    raw.run()
    with (raw.root / "data/clean/ledger.csv").open(encoding="utf-8") as file:
        text = file.read()
    assert "bad_box" in text
    assert [(r["width"], r["height"]) for r in raw.manifest()] == [("110", "80")]


ENDLESS = {
    "one long comment": b"P6 #" + b"a" * 1_000_000 + b"\n40 40 255\n" + b"0" * 4800,
    "no space before it": b"P6#" + b"a" * 1_000_000 + b"\n40 40 255\n" + b"0" * 4800,
    "spaces": b"P5" + b" " * 1_000_000 + b"40 40 255\n" + b"0" * 1600,
    "of floats": b"Pf #" + b"a" * 1_000_000 + b"\n40 40\n-1.0\n" + b"0" * 6400,
    "many comments": b"P3 40 40 255\n" + b"#a\n" * 300_000 + b"1 " * 4800,
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_comments_of_a_ppm_cost_no_time(kind: str) -> None:
    began = time.process_time()
    with pytest.raises(decode.Refused, match="a PPM"):
        decode.decode(ENDLESS[kind], Clean())
    assert time.process_time() - began < 1


def test_a_ppm_with_a_word_of_its_maker_is_kept() -> None:
    maker = b"# made by a program\n"
    for data in (
        b"P6\n" + maker + b"40 40\n255\n" + bytes(range(240)) * 20,
        b"P3 " + maker + b"40 40 255\n" + b"7 " * 4800,
    ):
        assert decode.decode(data, Clean()).image.size == (40, 40)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("cut", [0.25, 0.8])
def test_rows_of_a_cut_picture_are_counted_before_it_is_turned(turn: int, cut: float) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    whole = encoded(photo(1, 300, 200), "JPEG", quality=95, exif=exif)
    data = whole[: int(len(whole) * cut)]
    found = decode.decode(data, Clean(truncated_min_visible=cut - 0.1))
    visible = int(found.detail.split(":")[1].split("%")[0]) / 100
    assert abs(visible - cut) < 0.1
    with pytest.raises(decode.Refused, match="truncated"):
        decode.decode(data, Clean(truncated_min_visible=cut + 0.15))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(whole)))).astype(int)
    same = np.abs(np.asarray(found.image).astype(int) - upright).max(axis=2) < 3
    assert abs(same.mean() - cut) < 0.15


def test_a_file_above_the_limit_is_never_in_memory(raw: Raw) -> None:
    raw.add("a/good.png", photo(1))
    large = raw.add("a/film.mp4", b"")
    with large.open("wb") as file:
        file.truncate(300_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    raw.run(max_bytes=250_000_000, gigabytes=0.2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kilobytes
    row = raw.ledger()["a/film.mp4"]
    assert row["reason"] == "too_large"
    assert row["detail"] == "300000000 bytes, more than clean.max_bytes = 250000000"
    with large.open("rb") as file:
        assert row["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
