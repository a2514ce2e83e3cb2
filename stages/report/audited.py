"""Likely label errors among all kept images, from reports/audit; those of training are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.report.evidence import REPORTS
from stages.report.figures import sprite_tiles
from stages.report.wording import SPLIT_NAMES, belonging, names, number, plural

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence
    from stages.report.figures import SpriteTile

FOLDER = REPORTS / "audit"
_NUMBERS = ("label_probability", "predicted_probability", "found", "judged")
_NAMED = 5  # classes that were not judged


def build(evidence: StudyEvidence, paths: dict[str, str]) -> dict[str, Any] | None:
    """Sentences and pictures; None where the study asks for no audit.

    Args:
        evidence: of the study.
        paths: image id -> path in the source.
    """
    if not _asked(evidence):
        return None
    told = files.read_json(FOLDER / "summary.json")
    rows = files.read_rows(FOLDER / "suspects.csv", _NUMBERS)
    _, tiles = sprite_tiles(FOLDER, "pictures")
    return {"sentences": _sentences(evidence, told, rows), "shown": _shown(evidence, paths, rows, tiles)}


def seen(evidence: StudyEvidence) -> tuple[set[str], set[str]]:
    """The ids of the images that the audit lists, and of those that it judged; none where there is no audit."""
    if not _asked(evidence):
        return set(), set()
    listed = {row["image_id"] for row in files.read_rows(FOLDER / "suspects.csv")}
    small = files.read_json(FOLDER / "summary.json")["left_out"]
    manifest = evidence.manifest
    return listed, set(manifest[~manifest["label"].isin(list(small))]["image_id"])


def _asked(evidence: StudyEvidence) -> bool:
    return evidence.aggregate.audit.folds > 0


def _shown(
    evidence: StudyEvidence, paths: dict[str, str], rows: list[dict[str, str]], tiles: list[SpriteTile]
) -> list[dict[str, Any]]:
    """The most suspicious first, as many as have a picture."""
    return [
        tile.shown()
        | {
            "path": paths.get(row["image_id"], row["image_id"]),
            "part": names([SPLIT_NAMES[part] for part in _parts(evidence, row["image_id"])] or ["no part"]),
            "own": number(float(row["label_probability"]), "top1", 0),
            "other": number(float(row["predicted_probability"]), "top1", 0),
        }
        for row, tile in zip(rows[: evidence.settings.suspects], tiles, strict=False)
    ]


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
    """How many images are unlike all others, and where they are named; empty where none could be compared."""
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
    return [part for part in ("train", "val", "test") if part in found]


def _left_out(told: dict[str, Any]) -> str:
    """The classes that were not judged, with their groups of images."""
    small = told["left_out"]
    if not small:
        return ""
    named = [f"“{label}” ({count:,})" for label, count in list(small.items())[:_NAMED]]
    more = len(small) - len(named)
    which = "One class was" if len(small) == 1 else f"{len(small):,} classes were"
    it_has = "it has" if len(small) == 1 else "they have"
    return (
        f"{which} left out of the audit, since {it_has} too few groups of images for {told['folds']} folds: "
        f"{', '.join(named) if more else names(named)}{f' and {more:,} more' if more else ''}."
    )
