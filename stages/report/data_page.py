"""The data: what came in, what cleaning kept, how it was split, and the pictures that the networks receive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from stages.core.cells import evaluate_folder
from stages.report import findings, planted, training
from stages.report.evidence import REPORTS, SPLITS
from stages.report.figures import COLOURS, MUTED, data_uri, name_rows, sprite_tiles
from stages.report.section import Section
from stages.report.wording import SPLIT_NAMES, names, plural, short, span

if TYPE_CHECKING:
    from pathlib import Path

    from stages.report.evidence import StudyEvidence
    from stages.report.figures import Figure, Figures, SpriteTile

STATUSES = ("kept", "duplicate", "quarantined")
SHEETS = {  # by the name of the file, less its number
    "borderline": "The similar pairs nearest to a threshold and the pairs that just missed one. "
    "Another threshold would change these pairs first.",
    "duplicates": "Groups of copies and of similar pictures; the groups with the weakest evidence come first.",
    "quarantined": "Files in quarantine, each with its reason.",
}
KEYS = ("augment", "size", "resize", "views")  # what a picture goes through before it is normalised


def build(evidence: StudyEvidence, figures: Figures) -> dict[str, Any]:
    """Ledger sums, reasons, classes before and after, contact sheets, the split table."""
    ledger = evidence.ledger
    counts = {status: int((ledger["status"] == status).sum()) for status in STATUSES}
    dropped = ledger[ledger["status"] != "kept"]
    reasons = dropped.groupby(["status", "reason"], sort=True).size().reset_index(name="files")
    classes = _classes(evidence)
    return {
        "total": len(ledger),
        "counts": counts,
        "sentence": _sentence(len(ledger), counts),
        "by_hand": findings.changes(evidence.audit),
        "reasons": reasons.to_dict("records"),
        "planted": planted.build(evidence),
        "classes": classes,
        "many": len(classes) > 40,
        "chart": _chart(classes, figures),
        "sizes": _sizes(evidence, figures),
        "sheets": _sheets(REPORTS / "clean"),
        "split": _split(evidence),
        "cut": findings.listed(evidence),
        "fed": _fed(evidence),
    }


def _sentence(total: int, counts: dict[str, int]) -> str:
    return (
        f"{plural(total, 'file')} in = {counts['kept']:,} kept + {plural(counts['duplicate'], 'duplicate')} "
        f"+ {counts['quarantined']:,} quarantined."
    )


def _classes(evidence: StudyEvidence) -> list[dict[str, Any]]:
    table = pd.crosstab(evidence.ledger["label"], evidence.ledger["status"]).reindex(
        columns=list(STATUSES), fill_value=0
    )
    rows = []
    order = [*evidence.classes, *sorted(set(table.index) - set(evidence.classes))]
    for label in order:
        found = {status: int(table.loc[label, status]) if label in table.index else 0 for status in STATUSES}
        rows.append({"label": label or "(no label)", "before": sum(found.values()), **found})
    return rows


def _chart(classes: list[dict[str, Any]], figures: Figures) -> Figure:
    """Files per class, kept and dropped; above 40 classes only their sorted sizes, which is what can be seen."""
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
        axes.set_xlabel("classes, largest first")
        axes.set_ylabel("files")
        axes.set_xticks([])
    else:
        name_rows(axes, [short(row["label"], 24) for row in shown], colour=MUTED)
        axes.set_xlabel("files")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    largest, smallest = max(r["kept"] for r in classes), min(r["kept"] for r in classes)
    kept = f"{largest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    alt = f"Files per class, kept and dropped: {len(classes)} classes of {kept} kept images."
    return figures.add("classes", canvas, alt)


def _sizes(evidence: StudyEvidence, figures: Figures) -> Figure | str:
    """A sentence where all images are of one size."""
    sides = evidence.manifest[["width", "height"]].astype(int)
    if len(sides.drop_duplicates()) == 1:
        return f"All kept images are {sides['width'].iloc[0]} x {sides['height'].iloc[0]} px."
    canvas = figures.canvas(4.6, 3.0)
    axes = canvas.subplots()
    axes.plot(sides["width"], sides["height"], ".", color=COLOURS[0], ms=5, alpha=0.5, mew=0, rasterized=True)
    axes.set_xlabel("width, px")
    axes.set_ylabel("height, px")
    small, large = sides.min(axis=1).min(), sides.max(axis=1).max()
    return figures.add("sizes", canvas, f"Width and height of the kept images: sides of {small} to {large} px.")


def _sheets(folder: Path) -> list[dict[str, Any]]:
    """The contact sheets that clean left, as they are."""
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
    splits = evidence.split["splits"]
    by_label = {
        label: {part: _mean([split["counts"][part][label] for split in splits]) for part in SPLITS}
        for label in evidence.classes
    }
    return {
        "by_label": by_label,
        "totals": {split: _mean(evidence.sizes(split)) for split in SPLITS},
        "names": [(split, SPLIT_NAMES[split]) for split in SPLITS],
        "sentence": _how(evidence),
    }


def _mean(counts: list[int]) -> int | float:
    """A whole number where all splits agree."""
    return counts[0] if len(set(counts)) == 1 else round(sum(counts) / len(counts), 1)


def _how(evidence: StudyEvidence) -> str:
    """How the parts were drawn, as params.yaml asked for it."""
    knobs = evidence.study.raw["split"]
    fixed = {part: knobs[part] for part in ("val", "test") if isinstance(knobs.get(part), dict)}
    published = [SPLIT_NAMES[part] for part, share in fixed.items() if "folder" in share]
    sites = [f"{SPLIT_NAMES[part]} {names(share['groups'])}" for part, share in fixed.items() if "groups" in share]
    own = len(evidence.split["splits"]) > 1
    drawn = "splits were drawn" if own else "split was drawn"
    text = f"The {drawn} with {'their' if own else 'its'} own seed ({knobs['seed']})"
    if published:
        whose = f"The {names(published)} {'set is' if len(published) == 1 else 'sets are'} the published "
        if len(published) == 2:
            return f"{whose}ones; nothing was drawn.{_named(evidence)}{_outside(evidence)}{_per_seed(evidence)}"
        text = f"{whose}one; the rest was drawn with seed {knobs['seed']}"
    if sites:
        text += f"; whole groups are held out ({'; '.join(sites)})"
    if knobs.get("folds"):
        text += f": {knobs['folds']} folds, each tested once in {knobs['folds']} splits"
    text += ", stratified by class" if knobs.get("stratify", True) else ", not stratified"
    text += (
        ". Images of one duplicate group are always in the same part of a split."
        if evidence.grouped
        else ". Duplicates were not kept together, so copies may be in several parts."
    )
    return f"{text}{_named(evidence)}{_outside(evidence)}{_per_seed(evidence)}"


def _named(evidence: StudyEvidence) -> str:
    """How many of the groups that the user named stand in each part, and what else the user should look at."""
    text = ""
    if counts := [split["named_groups"] for split in evidence.split["splits"] if "named_groups" in split]:
        each = names([f"{_mean([count[part] for count in counts])} in {SPLIT_NAMES[part]}" for part in SPLITS])
        whole = ", each whole in one part" if evidence.study.raw["split"].get("grouped", True) else ""
        text = f" Groups named by ingest.group or its table{whole}: {each}."
    return " ".join([text, *evidence.split.get("notes", [])])


def _outside(evidence: StudyEvidence) -> str:
    """Images that are in no part, and why."""
    text = ""
    sites = any(isinstance(share, dict) and "groups" in share for share in evidence.study.raw["split"].values())
    group = "that is held out" if sites else "of a published part (a copy or a similar picture)"
    for key, why in (
        ("left_out", f"{{each}} is in one group with an image {group}"),
        ("unused", "split.train asks for fewer images than were left"),
    ):
        counts = [split[key] for split in evidence.split["splits"]]
        verb, each = ("is", "it") if max(counts) == 1 else ("are", "each")
        text += f" {span(counts, 'image')} {verb} in no part, because {why.format(each=each)}." if any(counts) else ""
    return text


def _per_seed(evidence: StudyEvidence) -> str:
    """Where seeds have splits of their own: which, and their mean sizes."""
    splits = [names([str(seed) for seed in split["seeds"]]) for split in evidence.split["splits"]]
    if len(splits) == 1:
        return ""
    each = len(evidence.split["splits"][0]["seeds"])
    whose = f"Each split serves {each} seeds ({'; '.join(splits)})" if each > 1 else "Every seed has a split of its own"
    means = names([f"{_mean(evidence.sizes(part))} in {SPLIT_NAMES[part]}" for part in SPLITS])
    return f" {whose}: {len(splits)} splits, with these images on average: {means}."


def _fed(evidence: StudyEvidence) -> list[dict[str, Any]]:
    """A gallery for each distinct setting, from its first variant's first cell, in the order of params.yaml."""
    seed = evidence.study.seeds[0]
    alike: dict[tuple[str, ...], list[str]] = {}
    for variant in training.trained(evidence):
        cell = evidence.configs[variant, seed]["cell"]
        alike.setdefault(tuple(training.text(cell.get(key)) for key in KEYS), []).append(variant)
    return [_gallery(evidence, variants, seed) for variants in alike.values()]


def _gallery(evidence: StudyEvidence, variants: list[str], seed: int) -> dict[str, Any]:
    cell = evidence.configs[variants[0], seed]["cell"]
    head, tiles = sprite_tiles(evaluate_folder(variants[0], seed), "inputs")
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
        "variants": variants,
        "batch": [_picture(tile) for tile in batch],
        "rows": [
            [_picture(tile) for tile in (members[0], first[image], *members[1:])] for image, members in rows.items()
        ],
    }


def _augmentation(augment: Any) -> str:
    """A preset's name, or the settings that are not off."""
    if not isinstance(augment, dict):
        return training.text(augment)
    return ", ".join(f"{key} {_setting(value)}" for key, value in training.flat(augment) if value)


def _setting(value: Any) -> str:
    """A number to four digits, a range as `0.75 to 1.333`."""
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
