"""Do the seeds of a variant look at the same place? Their Grad-CAM maps of the same images and classes, correlated."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core import cells, files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.aggregate.collect import CellResults

COLUMNS = ["variant", "image_id", "pairs", "correlation"]


def agreement(found: list[CellResults]) -> list[dict[str, Any]]:
    """The rows of agreement.csv: for each variant and shared image, Pearson's r, averaged over the pairs of seeds.

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
            row = {"variant": variant, "image_id": image, "pairs": len(known), "correlation": float(np.mean(known))}
            rows.append(row)
    return rows


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else None
