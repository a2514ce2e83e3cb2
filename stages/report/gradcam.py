"""Where the networks look: Grad-CAM of what each was surest of, and of the same images by every seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report import pictures

if TYPE_CHECKING:
    from stages.report.evidence import Evidence
    from stages.report.pictures import Tile


def build(evidence: Evidence) -> dict[str, Any] | None:
    """A gallery for each variant with a feature map, the reason for each without; None where none was asked for."""
    variants = [_variant(evidence, variant) for variant in evidence.variants]
    return {"variants": variants, "seeds": evidence.study.seeds}


def _variant(evidence: Evidence, variant: str) -> dict[str, Any]:
    seeds = evidence.study.seeds
    found = {seed: pictures.tiles(variant, seed, "gradcam") for seed in seeds}
    head, tiles = found[seeds[0]]
    if head["skipped"]:
        return {"name": variant, "skipped": head["skipped"]}
    own = [_picture(tile) for tile in tiles if tile.about["kind"] != "shared"]
    shared: dict[str, list[dict[str, Any]]] = {}
    for _, members in found.values():
        for tile in members:
            if tile.about["kind"] == "shared":
                shared.setdefault(tile.about["image_id"], []).append(_picture(tile))
    return {"name": variant, "skipped": None, "layer": head["layer"], "own": own, "shared": list(shared.values())}


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
