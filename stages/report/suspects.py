"""Unseen images that most networks get wrong with confidence: label errors to look at by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core.cells import evaluate_folder
from stages.report import pictures
from stages.report.evidence import REPORTS, table
from stages.report.wording import SPLIT_NAMES, number

if TYPE_CHECKING:
    from stages.report.evidence import Evidence


def build(evidence: Evidence) -> dict[str, Any]:
    """The most suspicious first, with a picture where a cell shows one."""
    rows = table(REPORTS / "suspects.csv", text=True).to_dict("records")
    paths = dict(zip(evidence.ledger["image_id"], evidence.ledger["path"], strict=True))
    shown = [_describe(row, paths) for row in rows[: evidence.settings.suspects]]
    unseen = {image for parts in evidence.parts for image in parts[parts["split"] != "train"]["image_id"]}
    found = int(rows[0]["found"]) if rows else 0
    return {"total": found, "listed": len(rows), "unseen": len(unseen), "shown": shown}


def _describe(row: dict[Any, Any], paths: dict[str, str]) -> dict[str, Any]:
    picture = None
    if row["tile"]:
        _, tiles = pictures.tiles(evaluate_folder(row["tile_variant"], int(row["tile_seed"])), "samples")
        picture = tiles[int(row["tile"])]
    return {
        "uri": picture.uri if picture else "",
        "pixels": bool(picture and picture.pixelated),
        "path": paths.get(row["image_id"], row["image_id"]),
        "label": row["label"],
        "predicted": row["predicted"],
        "split": SPLIT_NAMES[row["split"]],
        "wrong": f"{row['wrong']} of {row['cells']}",
        "confidence": number(float(row["confidence"]), "top1", 0),
    }
