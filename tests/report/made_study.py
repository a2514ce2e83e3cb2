"""A whole made-up study in the contracted format, from made logits: every committed file that the report reads."""

from __future__ import annotations

import contextlib
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from stages.aggregate import __main__ as aggregate
from stages.core import params, sprite
from stages.evaluate import tables
from stages.evaluate.cell import Part, Trained
from stages.evaluate.params import Evaluate
from stages.pictures import samples
from stages.report.evidence import StudyEvidence
from stages.report.params import ReportParams

SPLITS = ("train", "val", "test")
_Images = dict[str, tuple[list[str], np.ndarray[Any, Any]]]
STRENGTHS = {
    "rotation": (0, 15, 45, 90, 180), "shift": (0, 0.1, 0.3, 0.4), "scale": (1, 0.5, 0.8, 1.25, 2),
    "horizontal_flip": (0, 1), "vertical_flip": (0, 1), "brightness": (1, 0.5, 1.5), "blur": (0, 0.02, 0.05, 0.1),
    "noise": (0, 0.05, 0.1, 0.2), "jpeg": (50, 20, 10),
}  # fmt: skip
WEIGHTS = {"file": "w-0a1b.pth", "sha256": 64 * "c", "source": "package lite 0.1.0"}


class Known(StudyEvidence):
    """Evidence of a study of which these facts are known; whatever else is asked follows from them."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)

    __setattr__ = object.__setattr__  # a test may change its mind


@dataclass(frozen=True)
class Made:
    """How large the study is."""

    variants: int = 3
    seeds: int = 3
    classes: int = 4
    train: int = 120
    val: int = 40
    test: int = 60
    epochs: int = 6
    px: int = 32
    transforms: int = 2
    seeds_per_split: int | None = None  # None: all share one split

    @property
    def splits(self) -> list[list[int]]:
        """The seeds of each split."""
        each = self.seeds_per_split or self.seeds
        return [list(range(start, start + each)) for start in range(0, self.seeds, each)]

    @property
    def labels(self) -> list[str]:
        return [f"{i} <class & {i}>" if i == 1 else f"class {i}" for i in range(self.classes)]

    @property
    def names(self) -> list[str]:
        return [f"variant_{i}" for i in range(self.variants)]


def make(root: Path, made: Made) -> None:
    """Write the study into `root`."""
    rng = np.random.default_rng(0)
    images = _data(root, made, rng)
    _others(root, made)
    (root / "params.yaml").write_text(json.dumps(_params(made), indent=1))
    for index, variant in enumerate(made.names):
        for seed in range(made.seeds):
            split = next(number for number, seeds in enumerate(made.splits) if seed in seeds)
            _cell(root, made, (variant, index, seed), images[split])
    with contextlib.chdir(root):
        aggregate.main()
        _pictures(Path(), made, images[0]["train"])


def _others(root: Path, made: Made) -> None:
    """What a publication says of the system `variant`, whose twins the variants are, and of one that is not run."""
    columns = "system study epochs top1 top1_sd top5 loss loss_sd runs test_images epoch_seconds hardware note"
    published = [
        ("variant", "theirs", 30, 0.9, 0.01, 0.95, 0.5, "", 3, 100, 5.5, "Tesla T4", "validated on the test set"),
        ("absent", "theirs", 10, 0.7, "", "", "", "", 1, 100, "", "", ""),
        ("foreign", "others", 10, 0.7, "", "", "", "", "", 100, "", "", ""),
    ]
    _write(root / "published.csv", columns, published)
    kinds = ("raw", "all", "copies", "apart", "others")
    names = ["variant", "splits", "train_images", "published_images", "clean_images", "copies", "families"]
    names += ["class", "class_published", "class_clean"]
    names += [f"{kind}_{what}" for kind in kinds for what in ("share", "published", "clean", "leak", "low", "high")]
    leak = [
        (name, 10, 190, 60, 50, 7.5, 40, "cat", 100, 80)
        + (1, 0.9, 0.85 + i / 50, 0.05 - i / 50, 0.01, 0.09 - i / 50) * 5
        for i, name in enumerate(made.names[:2])
    ]
    _write(root / "leak.csv", " ".join(names), leak)


def _settings(made: Made, index: int) -> dict[str, Any]:
    """Variants 0, 1, 3, 4 ... differ in the learning rate alone, every third in the model too."""
    model = {"name": "cnn", "filters": [16]} if index % 3 == 2 else {"name": "mlp", "hidden": [128, 64]}
    return {
        "model": model, "size": 8, "epochs": made.epochs, "batch": 32, "lr": round(0.001 * 2**index, 6),
        "optimizer": {"name": "adam"}, "loss": {"label_smoothing": 0.0}, "checkpoint": "best_val_loss",
    }  # fmt: skip


def _params(made: Made) -> dict[str, Any]:
    variants = {
        name: {key: value for key, value in _settings(made, i).items() if key in ("model", "lr")}
        for i, name in enumerate(made.names)
    }
    train = {key: value for key, value in _settings(made, 0).items() if key not in ("model", "lr")}
    return {
        "study": "made", "lr": 0.001, "seeds": list(range(made.seeds)),
        "ingest": {"source": "folder", "path": "pictures"}, "clean": {"duplicates": "drop"},
        "split": {"seed": 0, "val": 0.2, "test": 0.2, "per_seed": made.seeds_per_split is not None},
        "train": train, "variants": variants,
        "evaluate": {}, "aggregate": {}, "report": {"published": "published.csv", "leak": "leak.csv"},
    }  # fmt: skip


def _write(path: Path, header: str, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split())
        writer.writerows(rows)


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


def _data(root: Path, made: Made, rng: np.random.Generator) -> list[_Images]:
    """The images of every split, by part."""
    ids: list[str] = []
    ledger, manifest = [], []
    counter = 0
    for count in (made.train, made.val, made.test):
        for label in np.arange(count) % made.classes:
            key = f"{counter:012x}"
            counter += 1
            ids.append(key)
            text = made.labels[label]
            ledger.append((f"{text}/{key}.jpg", key * 5, text, "kept", "", "", key, ""))
            manifest.append((key, f"images/{label:03d}/{key}.png", text, 200 + counter % 90, 180, key))
    for i in range(counter // 10):
        copy = f"{made.labels[0]}/copy {i}.jpg"
        ledger += [(copy, "0", made.labels[0], "duplicate", "same_bytes", "", "", f"{i:012x}")]
    ledger.append(("class 2/broken.jpg", "0", made.labels[-1], "quarantined", "truncated", "ends after 1 byte", "", ""))
    # A file without a label and a class of which no picture is left: neither has a row among the splits.
    ledger.append(("Thumbs.db", "0", "", "quarantined", "hidden", "", "", ""))
    ledger.append(("gone/broken.jpg", "0", "gone", "quarantined", "truncated", "ends after 1 byte", "", ""))
    clean = root / "data/clean"
    _write(clean / "ledger.csv", "path sha256 label status reason detail image_id duplicate_of", ledger)
    _write(clean / "manifest.csv", "image_id path label width height group_id", manifest)
    _json(clean / "audit.json", {"files": len(ledger), "kept": counter, "duplicate": counter // 10, "quarantined": 3,
                                 "groups": 2, "label_conflicts": 1, "duplicates": "drop",
                                 "libraries": {"pillow": "1.2"}})  # fmt: skip
    every = _splits(root, made, ids)
    _json(root / "data/split/classes.json", made.labels)
    (root / "reports/clean").mkdir(parents=True)
    pixels = rng.integers(0, 255, (60, 90, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(pixels).save(root / "reports/clean/duplicates.png")
    return every


def _splits(root: Path, made: Made, ids: list[str]) -> list[_Images]:
    """The first split has the images in order; each further one begins later in the circle."""
    summary, every = [], []
    for number, seeds in enumerate(made.splits):
        turned = np.roll(ids, -7 * made.classes * number).tolist()
        images, rows, start = {}, [], 0
        for name, count in zip(SPLITS, (made.train, made.val, made.test), strict=True):
            images[name] = (turned[start : start + count], np.arange(count) % made.classes)
            rows += [(image, name) for image in images[name][0]]
            start += count
        for seed in seeds:
            _write(root / f"data/split/seeds/{seed}.csv", "image_id split", rows)
        counts = {
            name: {made.labels[c]: int((truth == c).sum()) for c in range(made.classes)}
            for name, (_, truth) in images.items()
        }
        summary.append({"seeds": seeds, "counts": counts, "left_out": 0, "unused": 0})
        every.append(images)
    _json(root / "data/split/summary.json", {"seed": 0, "groups": len(ids), "splits": summary})
    return every


def _logits(made: Made, index: int, seed: int, split: str, truth: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng([index, seed, SPLITS.index(split)])
    strength = 2.0 + 2.5 * (index + 1) / made.variants + (1.0 if split == "train" else 0.0)
    logits = rng.normal(size=(len(truth), made.classes)).astype(np.float32)
    logits[np.arange(len(truth)), truth] += strength
    return logits


def _cell(root: Path, made: Made, cell: tuple[str, int, int], images: dict[str, Any]) -> None:
    variant, index, seed = cell
    folder = root / "results" / variant / str(seed)
    config = {
        "variant": variant, "seed": seed, "classes": made.labels, "epochs_run": made.epochs,
        "params_total": 1000 * 3 ** (index % 6), "params_trainable": 1000 * 2 ** (index % 6),
        "best_epoch": made.epochs, "normalisation": [{"name": "featurewise", "mean": [0.5], "std": [0.25]}],
        "machine": {"device": "cpu", "instruction_set": "AVX512", "torch": "2.11.0", "threads": 1, "autocast": None},
        "weights": WEIGHTS if index == 1 else None, "cell": _settings(made, index),
    }  # fmt: skip
    _json(folder / "train/config.json", config)
    columns = "epoch lr train_loss train_top1 val_loss val_top1"
    _write(folder / "train/history.csv", columns, _history(made, index, seed))
    parts = {name: Part(ids, truth, _logits(made, index, seed, name, truth)) for name, (ids, truth) in images.items()}
    out = folder / "evaluate"
    tables.write(Trained(variant, seed, made.labels, config, parts), Evaluate(), out)
    right = (parts["test"].logits.argmax(axis=1) == parts["test"].targets).mean()
    rows: list[tuple[Any, ...]] = [("none", "", made.test, 0, right, right)]
    for name, strengths in list(STRENGTHS.items())[-made.transforms :]:
        for i, strength in enumerate(strengths, start=name == "jpeg"):
            value = max(right - 0.05 * i * (1 + index % 3) + 0.002 * seed * i, 0.0)
            rows.append((name, strength, made.test, min(i, 1), value, value))
    _write(out / "robustness.csv", "transform strength n changed top1 macro_f1", rows)
    cost = {"params_total": 1000 * 3 ** (index % 6), "params_trainable": 1000 * 2 ** (index % 6)}
    _json(out / "cost.json", cost | {"macs": 10**6 * 2 ** (index % 9), "bytes": 4000 * 3 ** (index % 6)})
    if index % 3 == 0:
        _json(out / "gradcam.json", {"skipped": "the network has no feature map", "tiles": []})
    else:
        _gradcam(out, made, parts["test"])


def _gradcam(out: Path, made: Made, test: Part) -> None:
    kinds = ["surest_right", "surest_wrong"] * min(made.classes, 10) + ["shared"] * 8
    tiles = []
    for place, kind in enumerate(kinds):
        label, guess = made.labels[test.targets[place]], made.labels[int(test.logits[place].argmax())]
        tile = {"image_id": test.ids[place], "label": label, "predicted": guess, "target": guess, "kind": kind}
        tiles.append(tile | ({"map": [f"0.5 {place / 99}", "0.25 0.0"]} if kind == "shared" else {}))
    head = {"skipped": None, "layer": "features.6", "px": made.px, "columns": sprite.COLUMNS}
    _json(out / "gradcam.json", head | {"tiles": tiles})
    sprite.write(out / "gradcam.jpg", [_tile(made, tile["image_id"]) for tile in tiles])


def _pictures(root: Path, made: Made, train: tuple[list[str], np.ndarray[Any, Any]]) -> None:
    """The chosen images, and a batch of 6 of which two stand there again as they were and in epochs 2 and 3."""
    out, settings = root / "reports/pictures", ReportParams(published="", leak="")

    def made_up(ids: list[str], most: int) -> tuple[int, list[np.ndarray[Any, Any]]]:
        px = min(most, made.px)
        return px, [sprite.tile(Image.fromarray(_tile(made, image)), px) for image in ids]

    with patch.object(samples, "_tiles", made_up):
        samples.write(params.read(), made.names, settings, out)
    ids, truth = train
    places = [(i, 1) for i in range(6)] + [(i, epoch) for i in (0, 1) for epoch in (0, 2, 3)]
    tiles = [{"image_id": ids[i], "label": made.labels[truth[i]], "epoch": epoch} for i, epoch in places]
    about = {"variants": made.names, "px": made.px, "columns": sprite.COLUMNS, "tiles": tiles}
    _json(out / f"inputs_{made.names[0]}.json", about)
    pictures = [np.roll(_tile(made, ids[i]), 4 * epoch, axis=1) for i, epoch in places]
    sprite.write(out / f"inputs_{made.names[0]}.jpg", pictures)


def _tile(made: Made, image: str) -> np.ndarray[Any, Any]:
    """A smooth coloured picture, as compressible as a photograph, the same for every cell."""
    rng = np.random.default_rng(int(image, 16))
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((made.px, made.px), Image.Resampling.BICUBIC), dtype=np.int16)
    noise = rng.integers(-12, 13, smooth.shape, dtype=np.int16)
    return np.asarray(np.clip(smooth + noise, 0, 255), dtype=np.uint8)


def _history(made: Made, index: int, seed: int) -> list[tuple[float, ...]]:
    rng = np.random.default_rng([index, seed, 9])
    rows: list[tuple[float, ...]] = []
    for epoch in range(1, made.epochs + 1):
        base, noise = np.exp(-epoch / (3 + index % 5)), float(rng.normal() * 0.02)
        rows.append((epoch, 0.001, 0.3 + 2 * base, 0.9 - 0.7 * base, 0.4 + 2 * base + noise, 0.85 - 0.7 * base - noise))
    return rows
