"""What the cells make of single images: likely label errors, and whether the seeds look at the same place."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stages.core import cells, files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.aggregate.collect import CellResults
    from stages.aggregate.params import Suspects

AGREEMENT = ["variant", "image_id", "pairs", "correlation"]  # columns of agreement.csv
SUSPECTS = ["image_id", "split", "label", "predicted", "cells", "wrong", "confidence", "label_probability"]
SUSPECTS += ["tile_variant", "tile_seed", "tile", "found"]


def suspects(found: list[CellResults], rules: Suspects) -> list[dict[str, Any]]:
    """The rows of suspects.csv: images that most cells get wrong with confidence, the most suspicious first.

    Only predictions on validation and test count: a network that has trained on a wrong label has learnt it. An image
    is ordered by the mean probability that the cells give to its own label (self-confidence; Northcutt et al., 2021).

    Each image is judged by the `cells` that it was unseen to. `predicted` is what most of the wrong ones say,
    `confidence` their mean confidence. `tile` is the picture's number in `samples.png` of the cell `tile_variant`,
    `tile_seed`; empty where no cell shows it. `found` is how many images the rule names, of which `most` are listed.
    """
    judges = [cell for cell in found if cell.config.get("cell", {}).get("model", {}).get("name") != "random"]
    if not judges:
        return []
    images = pd.concat([c.predictions[["image_id", "label"]] for c in judges]).drop_duplicates(ignore_index=True)
    # An image that a cell has trained on, or that is in no part of its split, has no row there: empty.
    tables = [c.predictions.set_index("image_id").reindex(images["image_id"]) for c in judges]
    unseen = np.stack([table["label"].notna().to_numpy(bool) for table in tables])
    wrong = unseen & np.stack([(table["label"] != table["predicted"]).to_numpy(bool) for table in tables])
    confidence = np.stack([table["confidence"].fillna(0).to_numpy(float) for table in tables])
    likely = np.stack([np.exp(-table["loss"].to_numpy(float)) for table in tables])
    judged, count = unseen.sum(axis=0), wrong.sum(axis=0)
    own = np.where(unseen, likely, 0).sum(axis=0) / judged
    sure = np.divide((confidence * wrong).sum(axis=0), count, out=np.zeros(len(count)), where=count > 0)
    chosen = np.flatnonzero((count > rules.share * judged) & (sure >= rules.confidence))
    order = chosen[np.argsort(own[chosen], kind="stable")][: rules.most]
    tiles, parts = _tiles(judges), _parts(judges)
    rows = []
    for place in order.tolist():
        image = images["image_id"].iloc[place]
        votes = pd.Series([table["predicted"].iloc[place] for table in tables])[wrong[:, place]].value_counts()
        variant, seed, tile = tiles.get(image, (None, None, None))
        rows.append(
            {
                "image_id": image,
                "split": parts[image],
                "label": images["label"].iloc[place],
                "predicted": min(votes.index[votes == votes.max()]),
                "cells": int(judged[place]),
                "wrong": int(count[place]),
                "confidence": float(sure[place]),
                "label_probability": float(own[place]),
                "tile_variant": variant,
                "tile_seed": seed,
                "tile": tile,
                "found": len(chosen),
            }
        )
    return rows


def _parts(found: list[CellResults]) -> dict[str, str]:
    """Image id -> val, test, or both where it is now in the one and now in the other."""
    parts: dict[str, str] = {}
    for cell in found:
        for image, part in zip(cell.predictions["image_id"], cell.predictions["split"], strict=True):
            parts[image] = part if parts.get(image, part) == part else "both"
    return parts


def _tiles(found: list[CellResults]) -> dict[str, tuple[str, int, int]]:
    """Image id -> the first cell that shows it, and where in its sprite."""
    places: dict[str, tuple[str, int, int]] = {}
    for cell in found:
        path = cells.evaluate_folder(cell.variant, cell.seed) / "samples.json"
        for number, tile in enumerate(files.read_json(path, cells.Sheet)["tiles"]):
            places.setdefault(tile["image_id"], (cell.variant, cell.seed, number))
    return places


def agreement(found: list[CellResults]) -> list[dict[str, Any]]:
    """The rows of agreement.csv: Pearson's r of the Grad-CAM maps of an image, averaged over the pairs of seeds.

    Variants without maps, and maps that are flat (so that r is undefined), are left out.
    """
    maps: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for cell in found:
        path = cells.evaluate_folder(cell.variant, cell.seed) / "gradcam.json"
        for tile in files.read_json(path)["tiles"]:
            if tile["kind"] == "shared":
                maps.setdefault((cell.variant, tile["image_id"]), []).append(np.array(tile["map"], dtype=np.float64))
    rows = []
    for (variant, image), seen in maps.items():
        pairs = [_correlation(a, b) for a, b in itertools.combinations(seen, 2)]
        known = [r for r in pairs if r is not None]
        if known:
            rows.append(dict(zip(AGREEMENT, (variant, image, len(known), float(np.mean(known))), strict=True)))
    return rows


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else None
