"""A study whose cells are made up: pictures, split and logits with a known skill, as train would have left them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stages.core import cells, files
from stages.core.params import SECTIONS
from stages.evaluate import cell, tables
from stages.evaluate.params import Evaluate

if TYPE_CHECKING:
    from pathlib import Path


def params(variants: list[str], seeds: list[int], **sections: Any) -> dict[str, Any]:
    """A whole params.yaml as a mapping."""
    settings: dict[str, Any] = {name: {} for name in SECTIONS} | sections
    named: dict[str, Any] = {name: {} for name in variants}
    return {"study": "made", "lr": 0.001, "seeds": seeds, "variants": named, **settings}


def study(
    folder: Path,
    skills: dict[str, float],
    seeds: list[int],
    *,
    classes: tuple[str, ...] = ("ant", "bee", "cat"),
    images: int = 60,
    draw: int = 0,
    **sections: Any,
) -> None:
    """Write params.yaml, the data and the trained cells of a study into `folder`.

    A variant's skill is the logit that it adds to the true class; the noise of an image is shared by all cells. `draw`
    numbers the splits of a study that has several; call once for each.
    """
    folder.mkdir(exist_ok=True)
    files.write_json(folder / "params.yaml", params(list(skills), seeds, **sections))  # JSON is YAML
    rng = np.random.default_rng(0)
    labels = [classes[i % len(classes)] for i in range(images)]
    order = rng.permutation(images)
    if draw:
        order = np.random.default_rng(draw).permutation(order)
    splits = ["train" if i % 5 < 3 else "val" if i % 5 == 3 else "test" for i in order]
    ids = [f"{i:012x}" for i in range(images)]
    manifest = []
    for image, label in zip(ids, labels, strict=True):
        path = f"images/{classes.index(label)}_{label}/{image}.png"
        place = folder / "data/clean" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
        row = {"image_id": image, "path": path, "label": label, "width": 8, "height": 8, "group_id": image}
        manifest.append(row)
    files.write_rows(folder / "data/clean/manifest.csv", list(manifest[0]), manifest)
    pairs = [{"image_id": image, "split": split} for image, split in zip(ids, splits, strict=True)]
    for seed in seeds:
        files.write_rows(folder / cells.split_file(seed), ["image_id", "split"], pairs)
    counts = {
        split: {c: sum(x == c and s == split for x, s in zip(labels, splits, strict=True)) for c in classes}
        for split in ("train", "val", "test")
    }
    files.write_json(folder / "data/split/classes.json", list(classes))
    summary = {"seed": 0, "groups": images, "splits": [{"seeds": seeds, "counts": counts, "left_out": 0, "unused": 0}]}
    files.write_json(folder / "data/split/summary.json", summary)
    targets = np.array([classes.index(label) for label in labels])
    shared = rng.normal(size=(images, len(classes)))
    for number, (variant, skill) in enumerate(skills.items()):
        for seed in seeds:
            own = np.random.default_rng([number, seed]).normal(size=shared.shape)
            logits = (shared + own + skill * np.eye(len(classes))[targets]).astype(np.float32)
            write_cell(folder, variant, seed, {s: logits[[x == s for x in splits]] for s in ("train", "val", "test")})


def write_cell(folder: Path, variant: str, seed: int, logits: dict[str, np.ndarray]) -> None:
    """Write what train leaves of one cell, but for the weights."""
    run = folder / cells.run_folder(variant, seed)
    run.mkdir(parents=True, exist_ok=True)
    np.savez(run / "logits.npz", **logits)  # type: ignore[arg-type]
    train = folder / cells.train_folder(variant, seed)
    files.write_json(
        train / "config.json",
        {
            "variant": variant,
            "seed": seed,
            "epochs_run": 4,
            "classes": list(range(next(iter(logits.values())).shape[1])),
        },
    )
    rows = [
        {"epoch": e, "lr": 0.001, "train_loss": 2 / e, "train_top1": 0.2 * e, "val_loss": 2.2 / e, "val_top1": 0.18 * e}
        for e in range(1, 5)
    ]
    files.write_rows(train / "history.csv", list(rows[0]), rows)


def evaluate(variant: str, seed: int) -> None:
    """Write what evaluate leaves of one cell of the study in the working folder, with a Grad-CAM that is made up."""
    folder = cells.evaluate_folder(variant, seed)
    read = cell.read(variant, seed)
    tables.write(read, Evaluate(), folder)
    rng = np.random.default_rng([len(variant), seed])
    shared = np.arange(36).reshape(6, 6) / 36
    tiles = [
        {"image_id": image, "kind": "shared", "map": _lines(shared + rng.random((6, 6)))}
        for image in read.parts["test"].ids[:4]
    ]
    files.write_json(folder / "gradcam.json", {"skipped": None, "tiles": tiles})


def _lines(heat: np.ndarray) -> list[str]:
    return [" ".join(map(str, row)) for row in heat.round(3).tolist()]
