"""Images that most cells get wrong with confidence: label errors to look at by hand.

Only predictions on validation and test count: a network that has trained on a wrong label has learnt it. An image is
ordered by the mean probability that the cells give to its own label (self-confidence; Northcutt et al., 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stages.core import cells, files

if TYPE_CHECKING:
    from stages.aggregate.collect import Cell
    from stages.aggregate.params import Suspects

COLUMNS = ["image_id", "split", "label", "predicted", "cells", "wrong", "confidence", "label_probability"]
COLUMNS += ["tile_variant", "tile_seed", "tile"]


def suspects(found: list[Cell], rules: Suspects) -> list[dict[str, Any]]:
    """The rows of suspects.csv, the most suspicious first.

    `predicted` is what most of the wrong cells say, `confidence` their mean confidence. `tile` is the picture's number
    in `samples.png` of the cell `tile_variant`, `tile_seed`; empty where no cell shows it.
    """
    judges = [cell for cell in found if cell.config.get("cell", {}).get("model", {}).get("name") != "random"]
    if not judges:
        return []
    first = judges[0].predictions
    wrong = np.stack([(c.predictions["label"] != c.predictions["predicted"]).to_numpy(bool) for c in judges])
    confidence = np.stack([c.predictions["confidence"].to_numpy(float) for c in judges])
    own = np.stack([np.exp(-c.predictions["loss"].to_numpy(float)) for c in judges]).mean(axis=0)
    count = wrong.sum(axis=0)
    sure = np.divide((confidence * wrong).sum(axis=0), count, out=np.zeros(len(count)), where=count > 0)
    chosen = np.flatnonzero((count > rules.share * len(judges)) & (sure >= rules.confidence))
    order = chosen[np.argsort(own[chosen], kind="stable")][: rules.most]
    tiles = _tiles(judges)
    rows = []
    for place in order.tolist():
        image = first["image_id"].iloc[place]
        votes = pd.Series([c.predictions["predicted"].iloc[place] for c in judges])[wrong[:, place]].value_counts()
        variant, seed, tile = tiles.get(image, (None, None, None))
        rows.append(
            {
                "image_id": image,
                "split": first["split"].iloc[place],
                "label": first["label"].iloc[place],
                "predicted": min(votes.index[votes == votes.max()]),
                "cells": len(judges),
                "wrong": int(count[place]),
                "confidence": float(sure[place]),
                "label_probability": float(own[place]),
                "tile_variant": variant,
                "tile_seed": seed,
                "tile": tile,
            }
        )
    return rows


def _tiles(found: list[Cell]) -> dict[str, tuple[str, int, int]]:
    """Image id -> the first cell that shows it, and where in its sprite."""
    places: dict[str, tuple[str, int, int]] = {}
    for cell in found:
        path = cells.evaluate_folder(cell.variant, cell.seed) / "samples.json"
        for number, tile in enumerate(files.read_json(path)["tiles"]):
            places.setdefault(tile["image_id"], (cell.variant, cell.seed, number))
    return places
