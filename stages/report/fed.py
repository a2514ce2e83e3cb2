"""What the networks were fed with: a batch, and pictures before and after augmentation, for each distinct setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core.cells import evaluate_folder
from stages.report import pictures, settings

if TYPE_CHECKING:
    from stages.report.evidence import Evidence
    from stages.report.pictures import Tile

KEYS = ("augment", "size", "resize", "views")  # what a picture goes through before it is normalised


def build(evidence: Evidence) -> list[dict[str, Any]]:
    """A gallery for each distinct setting, from its first variant's first cell, in the order of params.yaml."""
    seed = evidence.study.seeds[0]
    alike: dict[tuple[str, ...], list[str]] = {}
    for variant in evidence.variants:
        cell = evidence.configs[variant, seed]["cell"]
        alike.setdefault(tuple(settings.text(cell.get(key)) for key in KEYS), []).append(variant)
    return [_gallery(evidence, variants, seed) for variants in alike.values()]


def _gallery(evidence: Evidence, variants: list[str], seed: int) -> dict[str, Any]:
    cell = evidence.configs[variants[0], seed]["cell"]
    head, tiles = pictures.tiles(evaluate_folder(variants[0], seed), "inputs")
    start = next((i for i, tile in enumerate(tiles) if not tile.about["epoch"]), len(tiles))
    batch, later = tiles[:start], tiles[start:]
    rows: dict[str, list[Tile]] = {}
    for tile in later:
        rows.setdefault(tile.about["image_id"], []).append(tile)
    first = {tile.about["image_id"]: tile for tile in batch}
    return {
        "augment": _short(cell.get("augment")),
        "size": cell["size"],
        "reduced": head["px"] < cell["size"],
        "views": cell.get("views"),
        "variants": variants,
        "batch": [_picture(tile) for tile in batch],
        "rows": [
            [_picture(tile) for tile in (members[0], first[image], *members[1:])] for image, members in rows.items()
        ],
    }


def _short(augment: Any) -> str:
    """A preset's name, or the settings that are not off."""
    if not isinstance(augment, dict):
        return settings.text(augment)
    return ", ".join(f"{key} {settings.text(value)}" for key, value in augment.items() if value)


def _picture(tile: Tile) -> dict[str, Any]:
    epoch, mixed = tile.about["epoch"], tile.about.get("mixed_with")
    return {
        "uri": tile.uri,
        "pixels": tile.pixelated,
        "label": tile.about["label"],
        "mixed": f"+ {100 * (1 - tile.about['share']):.0f} % {mixed}" if mixed else "",
        "epoch": f"epoch {epoch}" if epoch else "as it was",
    }
