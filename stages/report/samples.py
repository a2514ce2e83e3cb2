"""Pictures with their predictions: the same test images for every cell, and what each variant was surest of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from stages.core.cells import evaluate_folder
from stages.report import pictures
from stages.report.wording import names, number

if TYPE_CHECKING:
    from stages.report.evidence import Evidence
    from stages.report.pictures import Tile

KINDS = (("surest_right", "Surest and right"), ("surest_wrong", "Surest and wrong"), ("confused", "Commonly confused"))


def build(evidence: Evidence, pairs: dict[str, list[tuple[str, str]]]) -> dict[str, Any] | None:
    """None where the study asks for no pictures; `pairs` are those that each variant confuses most."""
    found = {cell: pictures.tiles(evaluate_folder(*cell), "samples")[1] for cell in evidence.study.cells}
    if not any(found.values()):
        return None
    seed = evidence.study.seeds[0]
    of_split = set(evidence.split["splits"][0]["seeds"])  # seeds with other splits have other test images
    together = {cell: tiles for cell, tiles in found.items() if cell[1] in of_split}
    galleries = []
    for variant in evidence.variants:
        groups = _groups(variant, found[variant, seed])
        own = {s: found[variant, s] for s in evidence.study.seeds}
        galleries.append({"name": variant, "groups": groups + _missing(variant, groups, own, pairs[variant])})
    return {"shared": _shared(together), "whose": _whose(evidence), "galleries": galleries, "seed": seed}


def _whose(evidence: Evidence) -> str:
    """For whom the grid is the same."""
    splits = evidence.split["splits"]
    seeds = [str(seed) for seed in splits[0]["seeds"]]
    if len(splits) == 1:
        return "the same for every variant and seed"
    return f"of the split of {'seed' if len(seeds) == 1 else 'seeds'} {names(seeds)}, the same for every variant"


def anchors(samples: dict[str, Any] | None) -> dict[tuple[str, str, str], str]:
    """(variant, label, predicted) -> the id on the page of a picture of that confusion."""
    if samples is None:
        return {}
    return {
        (gallery["name"], picture["label"], picture["predicted"]): picture["id"]
        for gallery in samples["galleries"]
        for group in gallery["groups"]
        for picture in group["pictures"]
        if not picture["right"]
    }


def _shared(found: dict[tuple[str, int], list[Tile]]) -> list[dict[str, Any]]:
    """The grid that is the same for all cells: how many of them are right, and what the others say."""
    guesses: dict[str, Counter[str]] = {}
    first: dict[str, Tile] = {}
    for cell in found.values():
        for tile in cell:
            if "grid" in tile.about["kinds"]:
                image = tile.about["image_id"]
                first.setdefault(image, tile)
                guesses.setdefault(image, Counter())[tile.about["predicted"]] += 1
    shown = []
    for image, tile in first.items():
        label = tile.about["label"]
        right, total = guesses[image][label], guesses[image].total()
        wrong = [(name, n) for name, n in guesses[image].most_common() if name != label]
        shown.append(
            {"uri": tile.uri, "pixels": tile.pixelated, "label": label, "right": right, "total": total, "wrong": wrong}
        )
    return shown


def _groups(variant: str, tiles: list[Tile]) -> list[dict[str, Any]]:
    """A picture stands once: in the first group that it belongs to."""
    groups, seen = [], set()
    for kind, title in KINDS:
        members = [t for t in tiles if kind in t.about["kinds"] and t.about["image_id"] not in seen]
        seen |= {t.about["image_id"] for t in members}
        if members:
            groups.append({"title": title, "pictures": [_picture(variant, tile) for tile in members]})
    return groups


def _missing(
    variant: str, groups: list[dict[str, Any]], found: dict[int, list[Tile]], pairs: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """A picture by any seed of the commonly confused pairs that the groups have none of."""
    there = {(picture["label"], picture["predicted"]) for group in groups for picture in group["pictures"]}
    more: dict[tuple[str, str], dict[str, Any]] = {}
    for seed, tiles in found.items():
        for tile in tiles:
            pair = (tile.about["label"], tile.about["predicted"])
            if pair in pairs and pair not in there and pair not in more and tile.about["split"] == "test":
                picture = _picture(variant, tile)
                more[pair] = picture | {"id": f"{picture['id']}-{seed}", "seed": seed}
    return [{"title": "More that is commonly confused", "pictures": list(more.values())}] if more else []


def _picture(variant: str, tile: Tile) -> dict[str, Any]:
    about = tile.about
    return {
        "id": f"picture-{variant}-{about['image_id']}",
        "uri": tile.uri,
        "pixels": tile.pixelated,
        "label": about["label"],
        "predicted": about["predicted"],
        "confidence": number(about["confidence"], "top1", 0),
        "right": about["label"] == about["predicted"],
    }
