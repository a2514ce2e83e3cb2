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
SUSPECTS += ["found"]


def suspects(found: list[CellResults], rules: Suspects) -> list[dict[str, Any]]:
    """The rows of suspects.csv: images that most cells get wrong with confidence, the most suspicious first.

    Only predictions on validation and test count: a network that has trained on a wrong label has learnt it. An image
    is ordered by the mean probability that the cells give to its own label (self-confidence; Northcutt et al., 2021).

    Each image is judged by the `cells` that it was unseen to. `predicted` is what most of the wrong ones say (of names
    that are said as often the first), `confidence` their mean confidence. `split` is val, test, or both where it is now
    in the one and now in the other. `found` is how many images the rule names, of which `most` are listed.
    """
    judges = [cell for cell in found if cell.config.get("cell", {}).get("model", {}).get("name") != "random"]
    if not judges:
        return []
    # An image that a cell has trained on, or that is in no part of its split, has no row.
    table = pd.concat([cell.predictions for cell in judges], ignore_index=True)
    table["wrong"] = table["label"] != table["predicted"]
    place, _ = pd.factorize(table["image_id"])
    judged = table[["image_id", "label"]].drop_duplicates("image_id").set_index("image_id")
    judged["cells"], judged["wrong"] = np.bincount(place), np.bincount(place, table["wrong"]).astype(int)
    # Sums in the order of the cells: those of pandas are compensated, and would differ in the last digit.
    judged["label_probability"] = np.bincount(place, np.exp(-table["loss"])) / judged["cells"]
    judged["confidence"] = np.bincount(place, table["confidence"] * table["wrong"]) / judged["wrong"].clip(lower=1)
    suspicious = judged[(judged["wrong"] > rules.share * judged["cells"]) & (judged["confidence"] >= rules.confidence)]
    listed = suspicious.sort_values("label_probability", kind="stable").head(rules.most)
    seen = table[table["image_id"].isin(listed.index)]
    parts = seen.groupby("image_id")["split"].agg(lambda parts: "both" if len(set(parts)) > 1 else parts.iloc[0])
    guesses = seen[seen["wrong"]].groupby("image_id")["predicted"].agg(lambda said: said.mode()[0])
    shown = listed.assign(image_id=listed.index, split=parts, predicted=guesses, found=len(suspicious))
    rows: list[dict[str, Any]] = shown[SUSPECTS].to_dict("records")  # type: ignore[assignment]
    return rows


def agreement(found: list[CellResults]) -> list[dict[str, Any]]:
    """The rows of agreement.csv: Pearson's r of the Grad-CAM maps of an image, averaged over the pairs of seeds.

    Variants without maps, and maps that are flat (so that r is undefined), are left out.
    """
    maps: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for cell in found:
        path = cells.evaluate_folder(cell.variant, cell.seed) / "gradcam.json"
        for tile in files.read_json(path)["tiles"]:
            if tile["kind"] == "shared":
                heat = np.array([row.split() for row in tile["map"]], dtype=np.float64)
                maps.setdefault((cell.variant, tile["image_id"]), []).append(heat)
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
