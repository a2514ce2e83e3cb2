"""The data: what came in, what cleaning kept, how it was split, and the pictures that the networks receive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from stages.core import files
from stages.core.cells import PARTS
from stages.report import findings, training
from stages.report.evidence import PICTURES, REPORTS
from stages.report.figures import COLOURS, MUTED, data_uri, name_rows, sprite_tiles
from stages.report.page import SPLIT_NAMES, Section, names, plural, short, span

if TYPE_CHECKING:
    from pathlib import Path

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures, SpriteTile

STATUSES = ("kept", "duplicate", "quarantined")
SHEETS = {  # by the name of the file, without its number
    "borderline": "The similar pairs nearest to a threshold and the pairs that just missed one. "
    "Another threshold would change these pairs first.",
    "duplicates": "Groups of copies and of similar pictures; the groups with the weakest evidence come first.",
    "quarantined": "Files in quarantine, each with its reason.",
}


def build(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """Counts of files by decision, reason and class, the contact sheets of `clean`, the split, batches of pictures."""
    ledger = evidence.ledger
    counts = {status: int((ledger["status"] == status).sum()) for status in STATUSES}
    dropped = ledger[ledger["status"] != "kept"]
    reasons = dropped.groupby(["status", "reason"], sort=True).size().reset_index(name="files")
    classes = _classes(evidence)
    return {
        "total": len(ledger),
        "counts": counts,
        "sentence": (
            f"{plural(len(ledger), 'file')} in = {counts['kept']:,} kept + {plural(counts['duplicate'], 'duplicate')} "
            f"+ {counts['quarantined']:,} quarantined."
        ),
        "by_hand": findings.changes(evidence.audit),
        "reasons": reasons.to_dict("records"),
        "planted": findings.planted(evidence),
        "classes": classes,
        "many": len(classes) > 40,
        "chart": _chart(classes, figures),
        "sizes": _sizes(evidence, figures),
        "sheets": _sheets(REPORTS / "clean"),
        "split": _split(evidence),
        "cut": findings.listed(evidence),
        "fed": _fed(evidence),
    }


def _classes(evidence: StudyEvidence) -> list[dict[str, Any]]:
    """Files by label and status: the classes of the study in their order, then other labels."""
    ledger = evidence.ledger
    order = [*evidence.classes, *sorted(set(ledger["label"]) - set(evidence.classes))]
    table = pd.crosstab(ledger["label"], ledger["status"]).reindex(index=order, columns=list(STATUSES), fill_value=0)
    rows: list[Any] = table.to_dict("records")
    return [
        {"label": label or "(no label)", "before": sum(row.values()), **row}
        for label, row in zip(order, rows, strict=True)
    ]


def _chart(classes: list[dict[str, Any]], figures: Figures) -> Figure:
    """Files per class, kept and dropped; with more than 40 classes the bars are sorted by size and have no names."""
    many = len(classes) > 40
    shown = sorted(classes, key=lambda row: -row["kept"]) if many else classes
    canvas = figures.canvas(4.6, 2.4 if many else 0.8 + 0.22 * len(shown))
    axes = canvas.subplots()
    left = [0] * len(shown)
    for status, colour, hatch in zip(STATUSES, (COLOURS[0], COLOURS[1], COLOURS[4]), ("", "///", "xxx"), strict=True):
        values = [row[status] for row in shown]
        if not any(values):
            continue
        if many:
            axes.bar(range(len(shown)), values, bottom=left, color=colour, width=1, label=status)
        else:
            axes.barh(
                range(len(shown)), values, left=left, color=colour, label=status, hatch=hatch, edgecolor="#fefefe", lw=0
            )
        left = [a + b for a, b in zip(left, values, strict=True)]
    if many:
        axes.set(xlabel="classes, largest first", ylabel="files", xticks=[])
    else:
        name_rows(axes, [short(row["label"], 24) for row in shown], colour=MUTED)
        axes.set_xlabel("files")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    largest, smallest = max(r["kept"] for r in classes), min(r["kept"] for r in classes)
    kept = f"{largest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    alt = f"Files per class, kept and dropped: {len(classes)} classes of {kept} kept images."
    return figures.add("classes", canvas, alt)


def _sizes(evidence: StudyEvidence, figures: Figures) -> Figure | str:
    """A chart of the widths and heights, or a sentence if all images have one size."""
    sides = evidence.manifest[["width", "height"]].astype(int)
    if len(sides.drop_duplicates()) == 1:
        return f"All kept images are {sides['width'].iloc[0]} x {sides['height'].iloc[0]} px."
    canvas = figures.canvas(4.6, 3.0)
    axes = canvas.subplots()
    axes.plot(sides["width"], sides["height"], ".", color=COLOURS[0], ms=5, alpha=0.5, mew=0, rasterized=True)
    axes.set(xlabel="width, px", ylabel="height, px")
    small, large = sides.min(axis=1).min(), sides.max(axis=1).max()
    return figures.add("sizes", canvas, f"Width and height of the kept images: sides of {small} to {large} px.")


def _sheets(folder: Path) -> list[dict[str, Any]]:
    """The contact sheets that `clean` wrote, unchanged."""
    return [
        {
            "name": path.stem,
            "title": path.stem.replace("_", " ").replace("-", " ").capitalize(),
            "about": SHEETS.get(path.stem.split("-")[0], ""),
            "uri": data_uri(path),
            "path": f"clean/{path.name}",
        }
        for path in sorted(folder.glob("*.png"))
    ]


def _split(evidence: StudyEvidence) -> dict[str, Any]:
    counts = [split["counts"] for split in evidence.splits]
    return {
        "by_label": {
            label: {part: _mean([count[part][label] for count in counts]) for part in PARTS}
            for label in evidence.classes
        },
        "totals": {split: _mean(evidence.sizes(split)) for split in PARTS},
        "names": [(split, SPLIT_NAMES[split]) for split in PARTS],
        "sentence": f"{_how(evidence)}{_named(evidence)}{_outside(evidence)}{_per_seed(evidence)}",
    }


def _mean(counts: list[int]) -> int | float:
    """The mean over the splits; a whole number if all splits have the same count."""
    return counts[0] if len(set(counts)) == 1 else round(sum(counts) / len(counts), 1)


def _how(evidence: StudyEvidence) -> str:
    """How the parts of the split were drawn, by the settings in params.yaml."""
    knobs = evidence.study.raw["split"]
    given = {SPLIT_NAMES[part]: share for part, share in evidence.given.items()}
    published = [name for name, share in given.items() if "folder" in share]
    sites = [f"{name} {names(share['groups'])}" for name, share in given.items() if "groups" in share]
    if len(published) == 2:
        return f"The {names(published)} sets are the published ones; nothing was drawn."
    if published:
        text = f"The {published[0]} set is the published one; the rest was drawn with seed {knobs['seed']}"
    else:
        drawn, own = ("splits were drawn", "their own") if evidence.several else ("split was drawn", "its own")
        text = f"The {drawn} with {own} seed ({knobs['seed']})"
    if sites:
        text += f"; whole groups are held out ({'; '.join(sites)})"
    if knobs.get("folds"):
        text += f": {knobs['folds']} folds, each tested once in {knobs['folds']} splits"
    text += ", stratified by class" if knobs.get("stratify", True) else ", not stratified"
    if evidence.grouped:
        return f"{text}. Images of one duplicate group are always in the same part of a split."
    return f"{text}. Duplicates were not kept together, so copies may be in several parts."


def _named(evidence: StudyEvidence) -> str:
    """How many groups that were named with the source are in each part, and the notes that `split` left."""
    text = ""
    if counts := [split["named_groups"] for split in evidence.splits if "named_groups" in split]:
        each = names([f"{_mean([count[part] for count in counts])} in {SPLIT_NAMES[part]}" for part in PARTS])
        whole = ", each whole in one part" if evidence.study.raw["split"].get("grouped", True) else ""
        text = f" Groups named by ingest.group or its table{whole}: {each}."
    return " ".join([text, *evidence.split.get("notes", [])])


def _outside(evidence: StudyEvidence) -> str:
    """How many images are in no part of the split, and the reason."""
    text = ""
    sites = any("groups" in share for share in evidence.given.values())
    group = "that is held out" if sites else "of a published part (a copy or a similar picture)"
    for key, why in (
        ("left_out", f"{{each}} is in one group with an image {group}"),
        ("unused", "split.train asks for fewer images than were left"),
    ):
        counts = [split[key] for split in evidence.splits]
        verb, each = ("is", "it") if max(counts) == 1 else ("are", "each")
        text += f" {span(counts, 'image')} {verb} in no part, because {why.format(each=each)}." if any(counts) else ""
    return text


def _per_seed(evidence: StudyEvidence) -> str:
    """Which seeds share a split, and the mean sizes of the splits; empty if all seeds share one."""
    if not evidence.several:
        return ""
    splits = [names(split["seeds"]) for split in evidence.splits]
    each = len(evidence.splits[0]["seeds"])
    whose = f"Each split serves {each} seeds ({'; '.join(splits)})" if each > 1 else "Every seed has a split of its own"
    means = names([f"{_mean(evidence.sizes(part))} in {SPLIT_NAMES[part]}" for part in PARTS])
    return f" {whose}: {len(splits)} splits, with these images on average: {means}."


def _fed(evidence: StudyEvidence) -> list[dict[str, Any]]:
    """A gallery for each distinct input, of the first variant that is fed with it."""
    shown = [variant for variant in evidence.trained if (PICTURES / f"inputs_{variant}.json").exists()]
    if evidence.trained and not shown:
        raise files.missing(PICTURES / f"inputs_{next(iter(evidence.trained))}.json")
    return [_gallery(evidence, variant) for variant in shown]


def _gallery(evidence: StudyEvidence, variant: str) -> dict[str, Any]:
    cell = evidence.recipes[variant]
    head, tiles = sprite_tiles(PICTURES, f"inputs_{variant}")
    start = next((i for i, tile in enumerate(tiles) if not tile.about["epoch"]), len(tiles))
    batch, later = tiles[:start], tiles[start:]
    rows: dict[str, list[SpriteTile]] = {}
    for tile in later:
        rows.setdefault(tile.about["image_id"], []).append(tile)
    first = {tile.about["image_id"]: tile for tile in batch}
    return {
        "augment": _augmentation(cell.get("augment")),
        "size": cell["size"],
        "reduced": head["px"] < cell["size"],
        "views": cell.get("views"),
        "variants": head["variants"],
        "batch": [_picture(tile) for tile in batch],
        "rows": [
            [_picture(tile) for tile in (members[0], first[image], *members[1:])] for image, members in rows.items()
        ],
    }


def _augmentation(augment: Any) -> str:
    """The name of a preset, or the augmentations that are switched on."""
    if not isinstance(augment, dict):
        return training.text(augment)
    return ", ".join(f"{key} {_setting(value)}" for key, value in training.flat(augment) if value)


def _setting(value: Any) -> str:
    """A number with four digits; a range as `0.75 to 1.333`."""
    if isinstance(value, list):
        return " to ".join(map(_setting, value))
    return f"{value:.4g}" if isinstance(value, float) else training.text(value)


def _picture(tile: SpriteTile) -> dict[str, Any]:
    epoch, mixed = tile.about["epoch"], tile.about.get("mixed_with")
    return tile.shown() | {
        "mixed": f"+ {100 * (1 - tile.about['share']):.0f} % {mixed}" if mixed else "",
        "epoch": f"epoch {epoch}" if epoch else "original",
    }


SECTION = Section("data", "Data", build)
