"""Photographs that are known to differ, drawn by a seed from every source that is there."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps

from benchmarks.made import draw
from stages.core import files

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent.parent
LONGEST = 640  # px; larger photographs are made smaller, as they would be for training


@dataclass(frozen=True)
class Photograph:
    """A picture, and what it shows: two shots of one thing are two photographs, and rightly called similar."""

    name: str
    image: Image.Image
    shows: str


def drawn(shared: Path, sources: list[str], count: int, seed: int) -> dict[str, list[Photograph]]:
    """At most `count` photographs of each source; a source that is not there is left out, and that is said."""
    found = {}
    for name in sources:
        rng = np.random.default_rng([seed, list(SOURCES).index(name)])
        try:
            found[name] = SOURCES[name](shared, count, rng)
        except FileNotFoundError as error:
            print(f"{name}: left out, {error.filename} is not there")
    return found


def opened(content: bytes | Path) -> Image.Image:
    """RGB, upright, of at most LONGEST pixels a side."""
    with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
        picture = ImageOps.exif_transpose(image).convert("RGB")
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return picture


def _chosen(paths: list[Path], source: str, count: int, rng: np.random.Generator) -> list[Photograph]:
    some = [paths[k] for k in rng.permutation(len(paths))[:count]]
    return [Photograph(f"{source}-{k:03d}", opened(path), f"{source}-{k}") for k, path in enumerate(some)]


def bananas(shared: Path, count: int, rng: np.random.Generator) -> list[Photograph]:
    """One file of each of `count` photographs of the hand-judged reference; files that it does not name are left out.

    The reference names only photographs that stand in several files; no two of them were judged to be the same.
    """
    folder = _folder(shared / "bananas")
    names = {row["sha256"]: row["photograph"] for row in files.read_rows(HERE / "bananas-photographs.csv")}
    first: dict[str, Path] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        photograph = names.get(files.sha256(path)[:16])
        if photograph is not None:
            first.setdefault(photograph, path)
    return _chosen(list(first.values()), "bananas", count, rng)


def garments(shared: Path, count: int, rng: np.random.Generator) -> list[Photograph]:
    """Garments, one by one, each on a floor or a wall: no two files show the same photograph."""
    folder = _folder(shared / "clothes")
    return _chosen(sorted(p for p in folder.rglob("*") if p.is_file()), "garments", count, rng)


def cifar(shared: Path, count: int, rng: np.random.Generator) -> list[Photograph]:
    """Test pictures of CIFAR-10 at 32 px, none of which was found twice in the whole collection."""
    twice = HERE.parent / "studies/cifar10_full/reports/clean/pairs.csv"
    known = {row[side] for row in files.read_rows(twice) for side in "ab"}
    found: dict[str, bytes] = {}
    with tarfile.open(shared / "cifar10-jpeg.tar.gz") as archive:
        for member in archive:
            if member.name.startswith("test/") and member.isfile() and member.name not in known:
                file = archive.extractfile(member)
                found[member.name] = file.read() if file else b""
    names = sorted(found)
    some = [names[k] for k in rng.permutation(len(names))[:count]]
    return [Photograph(f"cifar-{k:03d}", opened(found[name]), name) for k, name in enumerate(some)]


def packages(_shared: Path, count: int, rng: np.random.Generator) -> list[Photograph]:
    """The photographs that installed packages bring: a temple, a flower, two portraits, stairs, an aeroplane's view."""
    import matplotlib as mpl
    import pywt  # type: ignore[import-untyped]
    from sklearn.datasets import load_sample_images

    pictures = {Path(n).stem: Image.fromarray(i) for n, i in zip(*_sample(load_sample_images()), strict=True)}
    pictures["hopper"] = Image.open(Path(mpl.get_data_path()) / "sample_data/grace_hopper.jpg").convert("RGB")
    for name in ("ascent", "camera", "aero"):
        values = getattr(pywt.data, name)()
        pictures[name] = Image.fromarray(values.astype(np.uint8)).convert("RGB")
    names = [sorted(pictures)[k] for k in rng.permutation(len(pictures))[:count]]
    return [Photograph(f"packages-{k:03d}", _small(pictures[name]), name) for k, name in enumerate(names)]


def _sample(bunch: object) -> tuple[list[str], list[np.ndarray]]:
    return bunch.filenames, bunch.images  # type: ignore[attr-defined]


def _small(image: Image.Image) -> Image.Image:
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return image


def objects(_shared: Path, count: int, rng: np.random.Generator) -> list[Photograph]:
    """Drawn bottles, cans, boxes, lids and crumpled sheets on a white board, three shots of each thing.

    The shots differ in place, angle and light. Things of one sort come in few colours, so that strangers look alike.
    """
    shots: list[Photograph] = []
    for thing in range(-(-count // 3)):
        sort, seed = thing % 5, int(rng.integers(2**31))
        shots += [
            Photograph(f"objects-{len(shots) + k:03d}", _shot(sort, seed, rng), f"thing-{thing}") for k in range(3)
        ]
    return shots[:count]


def _shot(sort: int, seed: int, rng: np.random.Generator) -> Image.Image:
    """A thing, which `seed` makes, laid on the board anew."""
    width, height = 512, 384
    thing = _thing(sort, np.random.default_rng(seed))
    turn = rng.uniform(-60, 60)
    scale = rng.uniform(0.75, 1.1)
    at = np.array([width / 2, height / 2]) + rng.uniform(-50, 50, 2)
    matrix = cv2.getRotationMatrix2D((thing.shape[1] / 2, thing.shape[0] / 2), turn, scale)
    matrix[:, 2] += at - np.array([thing.shape[1] / 2, thing.shape[0] / 2])
    laid = cv2.warpAffine(thing, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
    board = np.full((height, width, 3), rng.integers(215, 240), np.float32) + rng.normal(0, 3, 3)
    shade = cv2.GaussianBlur(np.roll(laid[..., 3], (8, 10), (0, 1)), (0, 0), 8)[..., None] / 255
    alpha = laid[..., 3:] / 255.0
    mixed = board * (1 - 0.35 * shade) * (1 - alpha) + laid[..., :3] * alpha
    return draw.noisy(rng, draw.lit(rng, Image.fromarray(mixed.clip(0, 255).astype(np.uint8)), 0.3), 3)


def _thing(sort: int, rng: np.random.Generator) -> np.ndarray:
    """RGBA: bottle, can, box, lid or sheet, with light along it and a label of its own."""
    canvas = np.zeros((320, 320), np.uint8)
    tint = np.array([(60, 110, 70), (120, 80, 50), (190, 190, 195), (200, 60, 50), (60, 90, 170)][rng.integers(5)])
    half, tall = int(rng.integers(35, 55)), int(rng.integers(90, 130))
    if sort == 0:
        neck = half // 3
        cv2.rectangle(canvas, (160 - half, 160 - tall // 3), (160 + half, 160 + tall), 255, -1)
        cv2.ellipse(canvas, (160, 160 - tall // 3), (half, half), 0, 180, 360, 255, -1)
        cv2.rectangle(canvas, (160 - neck, 160 - tall), (160 + neck, 160 - tall // 3), 255, -1)
    elif sort == 1:
        cv2.rectangle(canvas, (160 - half, 160 - tall // 2), (160 + half, 160 + tall // 2), 255, -1)
        for y in (-tall // 2, tall // 2):
            cv2.ellipse(canvas, (160, 160 + y), (half, half // 4), 0, 0, 360, 255, -1)
    elif sort == 2:
        cv2.rectangle(canvas, (160 - tall, 160 - tall * 2 // 3), (160 + tall, 160 + tall * 2 // 3), 255, -1)
    elif sort == 3:
        cv2.circle(canvas, (160, 160), half + 20, 255, -1)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 24))
        reach = tall * rng.uniform(0.7, 1.1, 24)
        points = 160 + np.stack([reach * np.cos(angles), reach * np.sin(angles)], 1)
        cv2.fillPoly(canvas, [points.astype(np.int32)], 255)
    folds = np.asarray(draw.leaves(rng, 320, 320, 60)).astype(np.float32).mean(-1, keepdims=True)
    across = 1 - 0.45 * np.abs(np.linspace(-2.2, 2.2, 320))[None, :, None] ** 2 / 4
    skin = tint * across + (folds - 128) * (0.5 if sort in (2, 4) else 0.12)
    picture = Image.fromarray(np.broadcast_to(skin, (320, 320, 3)).clip(0, 255).astype(np.uint8))
    if sort in (0, 1, 2):
        word = "".join(chr(65 + k) for k in rng.integers(0, 26, 5))
        patch = Image.new("RGB", (2 * half, half), draw.colour(rng, 120))
        draw.write(patch, word, (half, half / 2), half // 2, draw.colour(rng, 0, 90), int(rng.integers(4)))
        picture.paste(patch, (160 - half, 160))
    return np.dstack([np.asarray(picture), canvas])


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(2, "no such folder", str(path))
    return path


SOURCES: dict[str, Callable[[Path, int, np.random.Generator], list[Photograph]]] = {
    "bananas": bananas, "garments": garments, "cifar": cifar, "objects": objects, "packages": packages,
}  # fmt: skip
