"""Galleries: test images with predictions, Grad-CAM maps, likely label errors."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.cells import evaluate_folder
from stages.report import audited, classes
from stages.report.evidence import REPORTS, table
from stages.report.figures import sprite_tiles
from stages.report.page import Section
from stages.report.wording import SPLIT_NAMES, names, number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures, SpriteTile

KINDS = (
    ("surest_right", "Most confident and right"),
    ("surest_wrong", "Most confident and wrong"),
    ("confused", "Commonly confused"),
)


def samples(evidence: StudyEvidence, _: Figures) -> dict[str, Any] | None:
    """None where the study asks for no pictures."""
    found = {cell: sprite_tiles(evaluate_folder(*cell), "samples")[1] for cell in evidence.study.cells}
    if not any(found.values()):
        return None
    seed = evidence.study.seeds[0]
    of_split = evidence.splits[0]["seeds"]  # seeds with other splits have other test images
    together = [tiles for cell, tiles in found.items() if cell[0] in evidence.trained and cell[1] in of_split]
    pairs, galleries = classes.confused(evidence), []
    for variant in evidence.variants:
        groups = _groups(variant, found[variant, seed])
        own = {s: found[variant, s] for s in evidence.study.seeds}
        galleries.append({"name": variant, "groups": groups + _missing(variant, groups, own, pairs[variant])})
    return {
        "shared": _shared(itertools.chain.from_iterable(together)),
        "whose": _whose(evidence),
        "galleries": galleries,
        "seed": seed,
        "anchors": _anchors(galleries),
    }


def _whose(evidence: StudyEvidence) -> str:
    """For whom the grid is the same."""
    if not evidence.several:
        return "the same for every variant and seed"
    seeds = evidence.splits[0]["seeds"]
    return f"of the split of {'seed' if len(seeds) == 1 else 'seeds'} {names(seeds)}, the same for every variant"


def _anchors(galleries: list[dict[str, Any]]) -> dict[tuple[str, str, str], str]:
    """(variant, label, predicted) -> the id on the page of a picture of that confusion."""
    return {
        (gallery["name"], picture["label"], picture["predicted"]): picture["id"]
        for gallery in galleries
        for group in gallery["groups"]
        for picture in group["pictures"]
        if not picture["right"]
    }


def _shared(tiles: Iterable[SpriteTile]) -> list[dict[str, Any]]:
    """The grid that is the same for all cells: how many of them are right, and what the others say."""
    grid: dict[str, list[SpriteTile]] = {}
    for tile in tiles:
        if "grid" in tile.about["kinds"]:
            grid.setdefault(tile.about["image_id"], []).append(tile)
    shown = []
    for same in grid.values():
        label, guesses = same[0].about["label"], Counter(tile.about["predicted"] for tile in same)
        wrong = [(name, n) for name, n in guesses.most_common() if name != label]
        shown.append(same[0].shown() | {"right": guesses[label], "total": len(same), "wrong": wrong})
    return shown


def _groups(variant: str, tiles: list[SpriteTile]) -> list[dict[str, Any]]:
    """A picture stands once: in the first group that it belongs to."""
    groups, seen = [], set()
    for kind, title in KINDS:
        members = [t for t in tiles if kind in t.about["kinds"] and t.about["image_id"] not in seen]
        seen |= {t.about["image_id"] for t in members}
        if members:
            groups.append({"title": title, "pictures": [_picture(variant, tile) for tile in members]})
    return groups


def _missing(
    variant: str, groups: list[dict[str, Any]], found: dict[int, list[SpriteTile]], pairs: list[tuple[str, str]]
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
    return [{"title": "More commonly confused pairs", "pictures": list(more.values())}] if more else []


def _picture(variant: str, tile: SpriteTile) -> dict[str, Any]:
    about = tile.about
    return tile.shown() | {
        "id": f"picture-{variant}-{about['image_id']}",
        "confidence": number(about["confidence"], "top1", 0),
    }


def gradcam(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """A gallery for each variant with a feature map, the reason for each without; none at all is an answer too."""
    rows = files.read_rows(REPORTS / "agreement.csv", ["correlation"])
    agreement = {(row["variant"], row["image_id"]): float(row["correlation"]) for row in rows}
    variants = [_variant(evidence, variant, agreement) for variant in evidence.variants]
    return {"variants": variants, "seeds": evidence.study.seeds}


def _variant(evidence: StudyEvidence, variant: str, agreement: dict[tuple[str, str], float]) -> dict[str, Any]:
    seeds = evidence.study.seeds
    found = {seed: sprite_tiles(evaluate_folder(variant, seed), "gradcam") for seed in seeds}
    head, first = found[seeds[0]]
    if head["skipped"]:
        return {"name": variant, "skipped": head["skipped"]}
    own = [tile.shown() for tile in first if tile.about["kind"] != "shared"]
    shared: dict[str, list[dict[str, Any]]] = {}
    for seed, (_, members) in found.items():
        for tile in members:
            if tile.about["kind"] == "shared":
                shared.setdefault(tile.about["image_id"], []).append(tile.shown() | {"seed": seed})
    if evidence.several:  # they test different images; a map that no other seed has shows no agreement
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


def suspects(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """The most suspicious first, with a picture where a cell shows one; then what the audit of all images found."""
    rows = table(REPORTS / "suspects.csv", text=True).to_dict("records")
    paths = dict(zip(evidence.ledger["image_id"], evidence.ledger["path"], strict=True))
    shown = [_describe(row, paths) for row in rows[: evidence.settings.suspects]]
    unseen = {image for parts in evidence.parts for image in parts[parts["split"] != "train"]["image_id"]}
    found = int(rows[0]["found"]) if rows else 0
    rules = evidence.aggregate.suspects
    many = f"more than {100 * rules.share:g} % of the networks that were not trained on the image"
    sure = f"another class than its label, with a mean confidence of at least {100 * rules.confidence:g} %"
    sentence = f"None: there is no validation or test image for which {many} predict {sure}."
    if rules.most == 0:
        sentence = "Not listed, because `aggregate.suspects.most` is 0."
    elif found:
        sentence = (
            f"For {found:,} of {len(unseen):,} validation and test images, {many} predict {sure}. "
            "Look at them: the labels may be wrong or the images hard. "
            f"`reports/suspects.csv` lists {'all' if found == len(rows) else f'the first {len(rows):,}'}."
        )
    return {"sentence": sentence, "shown": shown, "audit": audited.build(evidence, paths)}


def _describe(row: dict[Any, Any], paths: dict[str, str]) -> dict[str, Any]:
    picture = {"uri": "", "pixels": False}
    if row["tile"]:
        _, found = sprite_tiles(evaluate_folder(row["tile_variant"], int(row["tile_seed"])), "samples")
        picture = found[int(row["tile"])].shown()
    return picture | {
        "path": paths.get(row["image_id"], row["image_id"]),
        "label": row["label"],
        "predicted": row["predicted"],
        "split": SPLIT_NAMES[row["split"]],
        "wrong": f"{row['wrong']} of {row['cells']}",
        "confidence": number(float(row["confidence"]), "top1", 0),
    }


SAMPLES = Section("samples", "Pictures", samples)
GRADCAM = Section("gradcam", "Grad-CAM", gradcam)
SUSPECTS = Section("suspects", "Likely label errors", suspects)
