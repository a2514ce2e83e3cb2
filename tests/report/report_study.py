"""A whole made-up study in the contracted format, from made logits: every committed file that the report reads."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy import stats
from sklearn import metrics

if TYPE_CHECKING:
    from pathlib import Path

SPLITS = ("train", "val", "test")
TRANSFORMS = {
    "rotation": (0, 15, 45, 180), "shift_x": (0, 0.1, 0.3, 0.4), "horizontal_flip": (0, 1), "brightness": (1, 0.6, 1.6),
    "blur": (0, 1, 2), "noise": (0, 0.05, 0.1), "jpeg": (100, 50, 10),
}  # fmt: skip


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
    gradcam: bool = True

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
    (root / "params.yaml").write_text(json.dumps(_params(made), indent=1))
    runs: list[tuple[str, int, str, str, float]] = []
    curves: list[tuple[Any, ...]] = []
    for index, variant in enumerate(made.names):
        for seed in range(made.seeds):
            runs += _cell(root, made, (variant, index, seed), images)
            curves += _curves(made, variant, index, seed)
    _aggregate(root, made, runs, curves)


def _params(made: Made) -> dict[str, Any]:
    variants: dict[str, Any] = {}
    for i, name in enumerate(made.names):
        variants[name] = {"model": {"name": "mlp", "widths": [2 ** (i % 6 + 3)]}}
    if made.variants > 2:
        variants[made.names[2]]["lr"] = 0.01
    return {
        "study": "made", "root": ".", "lr": 0.001, "seeds": list(range(made.seeds)),
        "ingest": {"source": "folder", "path": "pictures"}, "clean": {}, "split": {"seed": 0, "val": 0.2, "test": 0.2},
        "train": {"epochs": made.epochs, "batch_size": 32, "optimizer": {"name": "adam"}}, "variants": variants,
        "evaluate": {}, "aggregate": {}, "report": {},
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


def _data(root: Path, made: Made, rng: np.random.Generator) -> dict[str, tuple[list[str], np.ndarray[Any, Any]]]:
    images, ledger, manifest, split = {}, [], [], []
    counter = 0
    for name, count in zip(SPLITS, (made.train, made.val, made.test), strict=True):
        truth = np.arange(count) % made.classes
        ids = []
        for label in truth:
            key = f"{counter:012x}"
            counter += 1
            ids.append(key)
            text = made.labels[label]
            ledger.append((f"{text}/{key}.jpg", key * 5, text, "kept", "", "", key, ""))
            manifest.append((key, f"images/{label:03d}/{key}.png", text, 200 + counter % 90, 180, key))
            split.append((key, name))
        images[name] = (ids, truth)
    for i in range(counter // 10):
        copy = f"{made.labels[0]}/copy {i}.jpg"
        ledger += [(copy, "0", made.labels[0], "duplicate", "same_bytes", "", "", f"{i:012x}")]
    ledger.append(("class 2/broken.jpg", "0", made.labels[-1], "quarantined", "truncated", "ends after 1 byte", "", ""))
    clean = root / "data/clean"
    _write(clean / "ledger.csv", "path sha256 label status reason detail image_id duplicate_of", ledger)
    _write(clean / "manifest.csv", "image_id path label width height group_id", manifest)
    _json(clean / "audit.json", {"files": len(ledger), "kept": counter, "duplicate": counter // 10, "quarantined": 1})
    _write(root / "data/split/split.csv", "image_id split", split)
    counts = {
        name: {made.labels[c]: int((truth == c).sum()) for c in range(made.classes)}
        for name, (_, truth) in images.items()
    }
    _json(root / "data/split/summary.json", {"classes": made.labels, "counts": counts, "groups": counter, "seed": 0})
    (root / "reports/clean").mkdir(parents=True)
    pixels = rng.integers(0, 255, (60, 90, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(pixels).save(root / "reports/clean/duplicates.png")
    return images


def _logits(made: Made, index: int, seed: int, split: str, truth: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng([index, seed, SPLITS.index(split)])
    strength = 2.0 + 2.5 * (index + 1) / made.variants + (1.0 if split == "train" else 0.0)
    logits = rng.normal(size=(len(truth), made.classes)).astype(np.float32)
    logits[np.arange(len(truth)), truth] += strength
    return logits


def _cell(
    root: Path, made: Made, cell: tuple[str, int, int], images: dict[str, Any]
) -> list[tuple[str, int, str, str, float]]:
    variant, index, seed = cell
    folder = root / "results" / variant / str(seed)
    _json(
        folder / "train/config.json",
        {
            "variant": variant, "seed": seed, "classes": made.labels, "epochs_run": made.epochs,
            "params_total": 1000 * 3 ** (index % 6), "params_trainable": 1000 * 2 ** (index % 6),
            "best_epoch": made.epochs, "normalisation": {"mean": [0.5], "std": [0.25]}, "checkpoint": "best_val_loss",
            "machine": {"device": "cpu", "instruction_set": "avx512"}, "fingerprint": f"{index:032x}",
            "versions": {"torch": "2.11.0"},
        },
    )  # fmt: skip
    rows, per_class, confusion, predictions, calibration = [], [], [], [], []
    values: dict[str, float] = {}
    edges = np.linspace(0, 1, 16)
    for split, (ids, truth) in images.items():
        logits = _logits(made, index, seed, split, truth)
        exp = np.exp(logits - logits.max(1, keepdims=True))
        proba = exp / exp.sum(1, keepdims=True)
        predicted, confidence = proba.argmax(1), proba.max(1)
        loss = -np.log(proba[np.arange(len(truth)), truth])
        p, r, f, s = metrics.precision_recall_fscore_support(
            truth, predicted, labels=range(made.classes), zero_division=0
        )
        values = {
            "top1": float((predicted == truth).mean()), "loss": float(loss.mean()), "nll": float(loss.mean()),
            "balanced_accuracy": float(r.mean()), "macro_f1": float(f.mean()), "macro_precision": float(p.mean()),
            "mcc": float(metrics.matthews_corrcoef(truth, predicted)), "auroc": 0.9, "brier": 0.1, "ece": 0.03,
        }  # fmt: skip
        rows += [(split, metric, value) for metric, value in values.items()]
        per_class += [(split, made.labels[c], p[c], r[c], f[c], s[c]) for c in range(made.classes)]
        counts = metrics.confusion_matrix(truth, predicted, labels=range(made.classes))
        confusion += [
            (split, made.labels[i], made.labels[j], counts[i, j]) for i, j in zip(*counts.nonzero(), strict=True)
        ]
        if split != "train":
            predictions += [
                (split, ids[i], made.labels[truth[i]], made.labels[predicted[i]], confidence[i], loss[i])
                for i in range(len(ids))
            ]
            where = np.clip(np.digitize(confidence, edges) - 1, 0, 14)
            for b in range(15):
                inside = where == b
                if inside.any():
                    right = (predicted == truth)[inside].mean()
                    calibration.append((split, edges[b], edges[b + 1], inside.sum(), confidence[inside].mean(), right))
    out = folder / "evaluate"
    _write(out / "metrics.csv", "split metric value", rows)
    _write(out / "per_class.csv", "split label precision recall f1 support", per_class)
    _write(out / "confusion.csv", "split label predicted count", confusion)
    _write(out / "predictions.csv", "split image_id label predicted confidence loss", predictions)
    _write(out / "calibration.csv", "split bin_low bin_high n confidence accuracy", calibration)
    top1 = values["top1"]
    robust = [
        (name, s, top1 - 0.04 * i + 0.001 * seed, top1 - 0.05 * i)
        for name, steps in TRANSFORMS.items()
        for i, s in enumerate(steps)
    ]
    _write(out / "robustness.csv", "transform strength top1 macro_f1", robust)
    _json(out / "cost.json", {"params": 1000 * 3 ** (index % 6), "macs": 10**6 * 2 ** (index % 9), "bytes": 4000})
    return [(variant, seed, split, metric, value) for split, metric, value in rows]


def _curves(made: Made, variant: str, index: int, seed: int) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng([index, seed, 9])
    rows = []
    for epoch in range(1, made.epochs + 1):
        base = np.exp(-epoch / (3 + index % 5))
        for split, gap in (("train", 0.0), ("val", 0.05)):
            noise = float(rng.normal() * 0.02)
            rows.append((variant, seed, epoch, split, 0.3 + 2 * base + gap + noise, 0.9 - 0.7 * base - gap + noise))
    return rows


def _aggregate(root: Path, made: Made, runs: Any, curves: Any) -> None:
    reports = root / "reports"
    _write(reports / "runs.csv", "variant seed split metric value", runs)
    _write(reports / "curves.csv", "variant seed epoch split loss top1", curves)
    cells: dict[tuple[str, str, str], list[float]] = {}
    for variant, _, split, metric, value in runs:
        cells.setdefault((variant, split, metric), []).append(value)
    summary = []
    for key, found in cells.items():
        n, mean = len(found), float(np.mean(found))
        sd = float(np.std(found, ddof=1)) if n > 1 else None
        half = stats.t.ppf(0.975, n - 1) * sd / n**0.5 if sd is not None else None
        low, high = (None, None) if half is None else (mean - half, mean + half)
        summary.append((*key, n, mean, sd, low, high))
    _write(reports / "summary.csv", "variant split metric n mean sd ci_low ci_high", summary)
    pairs: list[tuple[Any, ...]] = []
    for i, a in enumerate(made.names):
        for b in made.names[i + 1 :]:
            d = float(np.mean(cells[a, "test", "top1"]) - np.mean(cells[b, "test", "top1"]))
            verdict = "undecided" if abs(d) < 0.03 else "a better" if d > 0 else "b better"
            needed = (900, 4) if verdict == "undecided" else (None, None)
            p = 0.2 if verdict == "undecided" else 0.0001
            limits = (d - 0.03, d + 0.03)
            pairs.append((a, b, d, *limits, p, min(1, 3 * p), 2 * d, *limits, "images and seeds", verdict, *needed))
    columns = "variant_a variant_b difference ci_low ci_high p p_holm effect_size image_ci_low image_ci_high"
    _write(reports / "comparisons.csv", columns + " covers verdict images_needed seeds_needed", pairs)
