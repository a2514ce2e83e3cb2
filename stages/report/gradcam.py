"""Where the networks look: Grad-CAM of what each was surest of, and of the same images by every seed."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.cells import evaluate_folder
from stages.report import pictures, variance
from stages.report.evidence import REPORTS
from stages.report.wording import number

if TYPE_CHECKING:
    from stages.report.evidence import Evidence
    from stages.report.pictures import Tile


def build(evidence: Evidence) -> dict[str, Any]:
    """A gallery for each variant with a feature map, the reason for each without; none at all is an answer too."""
    rows = files.read_rows(REPORTS / "agreement.csv", ["correlation"])
    agreement = {(row["variant"], row["image_id"]): float(row["correlation"]) for row in rows}
    variants = [_variant(evidence, variant, agreement) for variant in evidence.variants]
    return {"variants": variants, "seeds": evidence.study.seeds}


def _variant(evidence: Evidence, variant: str, agreement: dict[tuple[str, str], float]) -> dict[str, Any]:
    seeds = evidence.study.seeds
    found = {seed: pictures.tiles(evaluate_folder(variant, seed), "gradcam") for seed in seeds}
    head, tiles = found[seeds[0]]
    if head["skipped"]:
        return {"name": variant, "skipped": head["skipped"]}
    own = [_picture(tile) for tile in tiles if tile.about["kind"] != "shared"]
    shared: dict[str, list[dict[str, Any]]] = {}
    for seed, (_, members) in found.items():
        for tile in members:
            if tile.about["kind"] == "shared":
                shared.setdefault(tile.about["image_id"], []).append(_picture(tile) | {"seed": seed})
    if variance.several(evidence):  # they test different images; a map that no other seed has shows no agreement
        shared = {image: row for image, row in shared.items() if len(row) > 1}
    known = [r for (name, _), r in agreement.items() if name == variant]
    return {
        "name": variant,
        "skipped": None,
        "layer": head["layer"],
        "own": own,
        "shared": [
            {"pictures": row, "correlation": number(agreement.get((variant, image)), digits=0)}
            for image, row in shared.items()
        ],
        "agreement": number(statistics.mean(known), digits=0) if known else "",
    }


def _picture(tile: Tile) -> dict[str, Any]:
    about = tile.about
    return {
        "uri": tile.uri,
        "pixels": tile.pixelated,
        "label": about["label"],
        "predicted": about["predicted"],
        "target": about["target"],
        "right": about["label"] == about["predicted"],
    }
