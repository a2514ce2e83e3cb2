"""Galleries: test images with predictions, Grad-CAM maps, likely label errors."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.cells import PARTS, evaluate_folder
from stages.core.errors import UserError
from stages.report.evidence import PICTURES, REPORTS, table
from stages.report.figures import sprite_tiles
from stages.report.page import SPLIT_NAMES, Section, belonging, names, number, plural

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figures, SpriteTile

AUDIT = REPORTS / "audit"
KINDS = (
    ("surest_right", "Most confident and right"),
    ("surest_wrong", "Most confident and wrong"),
    ("confused", "Commonly confused"),
)
NAMED = 5  # classes too small for the audit that are named


def samples(evidence: StudyEvidence, _: Figures) -> dict[str, Any] | None:
    """Test images that all networks judge, and the most confident predictions; None if no pictures are asked for."""
    sheet, tiles = _sheet()
    if not sheet["grid"] and not any(sheet["variants"].values()):
        return None
    galleries = [{"name": v, "groups": _groups(v, sheet["variants"][v], tiles)} for v in evidence.variants]
    return {
        "shared": [tiles[about["image_id"]].shown() | about for about in sheet["grid"]],
        "whose": _whose(evidence),
        "galleries": galleries,
        "seed": evidence.study.seeds[0],
        "anchors": _anchors(galleries),
    }


def _sheet() -> tuple[dict[str, Any], dict[str, SpriteTile]]:
    """`reports/pictures/samples.json`, and the tile of each image in it."""
    sheet, tiles = sprite_tiles(PICTURES, "samples")
    return sheet, {tile.about["image_id"]: tile for tile in tiles}


def _whose(evidence: StudyEvidence) -> str:
    """Which variants and seeds share the grid of test images."""
    if not evidence.several:
        return "the same for every variant and seed"
    seeds = evidence.splits[0]["seeds"]
    return f"of the split of {'seed' if len(seeds) == 1 else 'seeds'} {names(seeds)}, the same for every variant"


def _anchors(galleries: list[dict[str, Any]]) -> dict[tuple[str, str, str], str]:
    """(variant, label, predicted) -> the HTML id of a picture with that confusion."""
    return {
        (gallery["name"], picture["label"], picture["predicted"]): picture["id"]
        for gallery in galleries
        for group in gallery["groups"]
        for picture in group["pictures"]
        if not picture["right"]
    }


def _groups(variant: str, chosen: list[dict[str, Any]], tiles: dict[str, SpriteTile]) -> list[dict[str, Any]]:
    """The pictures of a variant by kind."""
    found = []
    for kind, title in KINDS:
        pictures = [
            _marked(tiles[about["image_id"]].shown() | about)
            | {
                "id": f"picture-{variant}-{about['seed']}-{about['image_id']}",
                "confidence": number(about["confidence"], "top1", 0),
            }
            for about in chosen
            if about["kind"] == kind
        ]
        if pictures:
            found.append({"title": title, "pictures": pictures})
    return found


def _marked(picture: dict[str, Any]) -> dict[str, Any]:
    """With `right`: whether the prediction is the label."""
    return picture | {"right": picture["label"] == picture["predicted"]}


def gradcam(evidence: StudyEvidence, _: Figures) -> dict[str, Any]:
    """A gallery for each variant with a feature map, and the reason for each variant without one."""
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
    own = [_marked(tile.shown()) for tile in first if tile.about["kind"] != "shared"]
    shared: dict[str, list[dict[str, Any]]] = {}
    for seed, (_, members) in found.items():
        for tile in members:
            if tile.about["kind"] == "shared":
                shared.setdefault(tile.about["image_id"], []).append(_marked(tile.shown()) | {"seed": seed})
    if evidence.several:  # seeds test different images; a single map shows no agreement
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
    """Images that most networks contradict, the most suspicious first; then what the audit of all images found."""
    rows = table(REPORTS / "suspects.csv", text=True).to_dict("records")
    tiles = _sheet()[1]
    wanted = rows[: evidence.settings.suspects]
    if absent := [row["image_id"] for row in wanted if row["image_id"] not in tiles]:
        raise UserError(
            f"{PICTURES} has no picture of {absent[0]}, a likely label error; `dvc repro pictures` makes it"
        )
    shown = [_describe(row, tiles[row["image_id"]], evidence.path_of) for row in wanted]
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
    return {"sentence": sentence, "shown": shown, "audit": _audit(evidence)}


def _describe(row: dict[Any, Any], tile: SpriteTile, paths: dict[str, str]) -> dict[str, Any]:
    return tile.shown() | {
        "path": paths.get(row["image_id"], row["image_id"]),
        "label": row["label"],
        "predicted": row["predicted"],
        "split": SPLIT_NAMES[row["split"]],
        "wrong": f"{row['wrong']} of {row['cells']}",
        "confidence": number(float(row["confidence"]), "top1", 0),
    }


def _audit(evidence: StudyEvidence) -> dict[str, Any] | None:
    """Sentences and pictures, the most suspicious first; None where the study asks for no audit."""
    if not evidence.aggregate.audit.folds:
        return None
    told = files.read_json(AUDIT / "summary.json")
    rows = files.read_rows(AUDIT / "suspects.csv", ("label_probability", "predicted_probability", "found", "judged"))
    _, tiles = sprite_tiles(AUDIT, "pictures")
    shown = [
        tile.shown()
        | {
            "path": evidence.path_of.get(row["image_id"], row["image_id"]),
            "part": names([SPLIT_NAMES[part] for part in _parts(evidence, row["image_id"])] or ["no part"]),
            "own": number(float(row["label_probability"]), "top1", 0),
            "other": number(float(row["predicted_probability"]), "top1", 0),
        }
        for row, tile in zip(rows[: evidence.settings.suspects], tiles, strict=False)  # as many as have a picture
    ]
    return {"sentences": _sentences(evidence, told, rows), "shown": shown}


def audited(evidence: StudyEvidence) -> tuple[set[str], set[str]]:
    """The ids of the images that the audit lists, and of those that it judged; no ids if there is no audit."""
    if not evidence.aggregate.audit.folds:
        return set(), set()
    listed = {row["image_id"] for row in files.read_rows(AUDIT / "suspects.csv")}
    small = files.read_json(AUDIT / "summary.json")["left_out"]
    manifest = evidence.manifest
    return listed, set(manifest[~manifest["label"].isin(list(small))]["image_id"])


def _sentences(evidence: StudyEvidence, told: dict[str, Any], rows: list[dict[str, str]]) -> list[str]:
    folds, kept, judged = told["folds"], told["kept"], told["judged"]
    last = [line for line in (_left_out(told), _outliers(told)) if line]
    if not judged:
        none = f"None of the {plural(kept, 'kept image')} was audited, since fewer than two classes can be."
        return [f"{none} {last[0]}", *last[1:]]
    together = evidence.audit.get("duplicates") != "ignore"
    one_fold = f" {belonging(evidence.named).capitalize()} are in one fold, so none judges another." if together else ""
    how = (
        f"The labels of {f'all {kept:,}' if judged == kept else f'{judged:,} of {kept:,}'} kept images were audited, "
        f"whether they are in training, validation or test. A logistic regression on features of "
        f"`{told['architecture']}` with ImageNet weights was fitted to {folds - 1} of {folds} folds and judged the "
        f"images of the other one, in turn.{one_fold} Its most probable class is the label for "
        f"{number(told['top1'], 'top1')} % of the images that it was not fitted to."
    )
    rule = "by confident learning (Northcutt et al. 2021, library `cleanlab`)"
    if not told["found"]:
        return [f"{how} No label is a likely error {rule}.", *last]
    are = "is a likely error" if told["found"] == 1 else "are likely errors"
    found = f"{plural(told['found'], 'label')} of these {judged:,} {are} {rule}. "
    found += "Look at them: the labels may be wrong or the images hard. "
    if rows:
        tested = sum("test" in _parts(evidence, row["image_id"]) for row in rows)
        where = "in the test part of at least one split" if len(evidence.parts) > 1 else "in the test part"
        which = "all" if told["found"] == len(rows) else f"the first {len(rows):,}"
        count = f"{tested:,} of those listed are" if tested > 1 else f"{tested or 'none'} of those listed is"
        found += f"`reports/audit/suspects.csv` lists {which}; {count} {where}. "
        found += "Decisions about them that are made after test results are known are counted among the caveats."
    else:
        found += "None is listed, because `aggregate.audit.most` is 0."
    return [how, found, *last]


def _outliers(told: dict[str, Any]) -> str:
    """How many images are unlike all others, and which file lists them; empty if the audit compared none."""
    unlike = told.get("outliers")
    if not unlike:
        return ""
    found, listed = unlike["found"], unlike["listed"]
    rule = f"{unlike['limit']:.2f} times as far from its {unlike['neighbours']} nearest as the median image"
    if not found:
        return f"No image is unlike all others: by cosine distance of the same features, none is {rule}."
    are = f"{plural(found, 'image')} {'is' if found == 1 else 'are'} unlike all others"
    which = "lists all" if found == listed else f"lists the first {listed}"
    how = f"by cosine distance of the same features, each is more than {rule}"
    return f"{are}: {how}. `reports/audit/outliers.csv` {which}; `make curate` shows these."


def _parts(evidence: StudyEvidence, image: str) -> list[str]:
    """The parts that an image is in, over all splits of the study."""
    found = {places[image] for places in evidence.places if image in places}
    return [part for part in PARTS if part in found]


def _left_out(told: dict[str, Any]) -> str:
    """The classes that are too small for the audit, with their numbers of groups."""
    small = told["left_out"]
    if not small:
        return ""
    named = [f"“{label}” ({count:,})" for label, count in list(small.items())[:NAMED]]
    more = len(small) - len(named)
    which = "One class was" if len(small) == 1 else f"{len(small):,} classes were"
    it_has = "it has" if len(small) == 1 else "they have"
    return (
        f"{which} left out of the audit, since {it_has} too few groups of images for {told['folds']} folds: "
        f"{', '.join(named) if more else names(named)}{f' and {more:,} more' if more else ''}."
    )


SAMPLES = Section("samples", "Pictures", samples)
GRADCAM = Section("gradcam", "Grad-CAM", gradcam)
SUSPECTS = Section("suspects", "Likely label errors", suspects)
