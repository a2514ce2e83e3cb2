"""The files of the stage: what `clean` left, and the split of every seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import cells, console, files
from stages.core.errors import UserError
from stages.core.folders import listed
from stages.core.folders import notes as notes_on
from stages.split import OUTSIDE, Images, TooFewError, assign
from stages.split.params import Published

if TYPE_CHECKING:
    from stages.core.params import Study
    from stages.split.params import Split

    Rows = list[dict[str, str]]

CLEAN = Path("data/clean")


def run(study: Study, split: Split) -> None:
    """Write the split of every seed, classes.json and summary.json.

    Raises:
        UserError: the images cannot be split as params.yaml asks for.
    """
    manifest, ledger = files.read_rows(CLEAN / "manifest.csv"), files.read_rows(CLEAN / "ledger.csv")
    audit = files.read_json(CLEAN / "audit.json", dict[str, Any])
    images = _images(manifest, ledger, ignored=audit.get("duplicates") == "ignore")
    classes = list(dict.fromkeys(images.labels))  # the manifest has class after class, in the natural order of labels
    _name_lost_classes(ledger, classes)
    published = any(isinstance(chosen, Published) for chosen in split.held_out.values())
    notes = notes_on(list(zip(images.paths, images.labels, strict=True)), published=published)
    splits: list[dict[str, Any]] = []
    with files.fresh_folder(cells.SPLIT / "seeds") as folder:
        for drawing in split.plan(study.seeds):
            try:
                parts = assign(images, split, drawing.draw, drawing.fold)
            except TooFewError as error:
                raise UserError(f"{error}{_by_hand(error.label, audit)}") from None
            rows = [
                {"image_id": row["image_id"], "split": part}
                for row, part in zip(manifest, parts, strict=True)
                if part not in OUTSIDE
            ]
            for seed in drawing.seeds:
                files.write_rows(folder / f"{seed}.csv", ["image_id", "split"], rows)
            splits.append({"seeds": drawing.seeds, **_counts(parts, images, classes)})
            notes += _left_out(parts, images)
            console.say(", ".join(f"{part} {parts.count(part)}" for part in (*cells.PARTS, *OUTSIDE)))
    files.write_json(cells.SPLIT / "classes.json", classes)
    notes = list(dict.fromkeys(notes))
    for note in notes:
        console.say(note)
    summary = {"seed": split.seed, "groups": len(set(images.groups)), "splits": splits}
    files.write_json(cells.SPLIT / "summary.json", summary | ({"notes": notes} if notes else {}))


def _images(manifest: Rows, ledger: Rows, *, ignored: bool) -> Images:
    """The kept images. If copies are `ignored` (`clean.duplicates: ignore`), only groups of `ingest.group` stay whole.

    The manifest names the groups of copies in any case, so that the report can count them.
    """
    origin = {row["image_id"]: row for row in ledger if row["status"] == "kept"}
    ids = [row["image_id"] for row in manifest]
    named = [origin[image].get("group", "") for image in ids]  # no such column where no image has a group
    groups = [row["group_id"] for row in manifest]
    if ignored:
        groups = [f"group {name}" if name else image for name, image in zip(named, ids, strict=True)]
    return Images([row["label"] for row in manifest], groups, [origin[image]["path"] for image in ids], named)


def _name_lost_classes(ledger: Rows, classes: list[str]) -> None:
    in_source = Counter(row.get("label", "") for row in ledger)
    for label in sorted(in_source.keys() - {"", *classes}):
        console.say(f"no class {label!r}: none of its {in_source[label]} files was kept; data/clean/ledger.csv has why")


def _counts(parts: list[str], images: Images, classes: list[str]) -> dict[str, Any]:
    """Images of each part and class, images outside of all parts, and named groups of each part if there are any."""
    counts = Counter(zip(parts, images.labels, strict=True))
    found: dict[str, Any] = {
        "counts": {part: {label: counts[part, label] for label in classes} for part in cells.PARTS},
        **{part: parts.count(part) for part in OUTSIDE},
    }
    if any(images.named):
        groups = Counter(part for name, part in set(zip(images.named, parts, strict=True)) if name)
        found["named_groups"] = {part: groups[part] for part in cells.PARTS}
    return found


def _left_out(parts: list[str], images: Images) -> list[str]:
    """A note on the named groups that are left out, because they share a picture with one that is held out."""
    lost = sorted({name for name, part in zip(images.named, parts, strict=True) if name and part == "left_out"})
    why = "Left out, since copies or look-alikes join them with images that are held out: the groups"
    return [f"{why} {listed(lost, 5)}."] if lost else []


def _by_hand(label: str, audit: dict[str, Any]) -> str:
    """The images that decisions by hand gave a label, and how many lost it; empty where there are none."""
    decided = audit.get("by_hand", {})
    gained = decided.get("gained", {}).get(label, [])
    lost = decided.get("lost", {}).get(label, 0)
    told = [f"{listed(gained, 3)} got this label by hand"] if gained else []
    told += [f"decisions by hand took the label from {lost} image{'s' * (lost > 1)}, or left them out"] if lost else []
    return f"; {', and '.join(told)} (data/curation.csv), which `make curate` takes back" if told else ""
