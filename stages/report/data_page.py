"""What the data was, what cleaning did to it, how it was split, and what the networks got of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from stages.report import fed, pictures
from stages.report.evidence import REPORTS, SPLITS
from stages.report.figures import COLOURS
from stages.report.wording import SPLIT_NAMES, names, plural

if TYPE_CHECKING:
    from pathlib import Path

    from stages.report.evidence import Evidence
    from stages.report.figures import Figure, Figures

STATUSES = ("kept", "duplicate", "quarantined")
SHEETS = {  # by the name of the file, less its number
    "borderline": "The similar pairs nearest to a threshold, and pairs that just missed one: what another "
    "threshold would change first.",
    "duplicates": "Groups of one picture or of similar ones, held together by the weakest evidence first.",
    "quarantined": "Files that were set aside, with the reason.",
    "overview": "Images per class before and after cleaning, and the sizes of what was kept.",
}


def build(evidence: Evidence, figures: Figures) -> dict[str, Any]:
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
        "reasons": reasons.to_dict("records"),
        "classes": classes,
        "many": len(classes) > 40,
        "chart": _chart(classes, figures),
        "sizes": _sizes(evidence, figures),
        "sheets": _sheets(REPORTS / "clean"),
        "split": _split(evidence),
        "fed": fed.build(evidence),
    }


def _sentence(total: int, counts: dict[str, int]) -> str:
    return (
        f"{plural(total, 'file')} in = {counts['kept']:,} kept + {plural(counts['duplicate'], 'duplicate')} "
        f"+ {counts['quarantined']:,} quarantined."
    )


def _classes(evidence: Evidence) -> list[dict[str, Any]]:
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
        axes.set_yticks(range(len(shown)), [_short(row["label"]) for row in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel("files")
        axes.grid(visible=False, axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    largest, smallest = max(r["kept"] for r in classes), min(r["kept"] for r in classes)
    alt = f"Files per class, kept and dropped: {len(classes)} classes of {smallest:,} to {largest:,} kept images."
    return figures.add("classes", canvas, alt)


def _sizes(evidence: Evidence, figures: Figures) -> Figure | str:
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
            "uri": pictures.data_uri(path),
            "path": f"clean/{path.name}",
        }
        for path in sorted(folder.glob("*.png"))
    ]


def _split(evidence: Evidence) -> dict[str, Any]:
    splits = evidence.split["splits"]
    rows = [
        {"label": label, **{part: _mean([split["counts"][part][label] for split in splits]) for part in SPLITS}}
        for label in evidence.classes
    ]
    return {
        "rows": rows,
        "totals": {split: evidence.images(split) for split in SPLITS},
        "names": [(split, SPLIT_NAMES[split]) for split in SPLITS],
        "sentence": _how(evidence),
    }


def _mean(counts: list[int]) -> int | float:
    """A whole number where all splits agree."""
    return counts[0] if len(set(counts)) == 1 else round(sum(counts) / len(counts), 1)


def _how(evidence: Evidence) -> str:
    """How the parts were drawn, as params.yaml asked for it."""
    knobs = evidence.study.raw["split"]
    fixed = {part: knobs[part] for part in ("val", "test") if isinstance(knobs.get(part), dict)}
    published = [SPLIT_NAMES[part] for part, share in fixed.items() if "folder" in share]
    sites = [f"{SPLIT_NAMES[part]} {names(share['groups'])}" for part, share in fixed.items() if "groups" in share]
    own = len(evidence.split["splits"]) > 1
    drawn = "splits were drawn" if own else "split was drawn"
    text = f"The {drawn} with {'their' if own else 'its'} own seed ({knobs['seed']})"
    if published:
        text = f"The {names(published)} set is the published one; the rest was drawn with seed {knobs['seed']}"
    if sites:
        text += f"; whole groups are held out ({'; '.join(sites)})"
    if knobs.get("folds"):
        text += f": {knobs['folds']} folds, each tested once in {knobs['folds']} splits"
    text += ", stratified by class" if knobs.get("stratify", True) else ", not stratified"
    text += (
        "; images of one duplicate group never stand in two parts of a split."
        if knobs.get("grouped", True) and evidence.audit.get("duplicates") != "ignore"
        else "; duplicates were not kept together, so that copies may stand in several parts."
    )
    return f"{text}{_named(evidence)}{_outside(evidence)}{_per_seed(evidence)}"


def _named(evidence: Evidence) -> str:
    """How many of the groups that the user named stand in each part, and what else the user should look at."""
    text = ""
    if counts := [split["named_groups"] for split in evidence.split["splits"] if "named_groups" in split]:
        each = names([f"{_mean([count[part] for count in counts])} in {SPLIT_NAMES[part]}" for part in SPLITS])
        text = f" Groups named by ingest.group or its table, each whole in one part: {each}."
    return " ".join([text, *evidence.split.get("notes", [])])


def _outside(evidence: Evidence) -> str:
    """Images that stand in no part, and why."""
    text = ""
    sites = any(isinstance(share, dict) and "groups" in share for share in evidence.study.raw["split"].values())
    for key, why in (
        ("left_out", "they belong to images that are held out" if sites else "copies of images of a published one"),
        ("unused", "split.train asks for fewer than were left"),
    ):
        count = round(_mean([split[key] for split in evidence.split["splits"]]))
        text += f" {plural(count, 'image')} in no part: {why}." if count else ""
    return text


def _per_seed(evidence: Evidence) -> str:
    """Where seeds have splits of their own: which, and that the table holds means."""
    splits = [names([str(seed) for seed in split["seeds"]]) for split in evidence.split["splits"]]
    if len(splits) == 1:
        return ""
    each = len(evidence.split["splits"][0]["seeds"])
    whose = f"Each split serves {each} seeds ({'; '.join(splits)})" if each > 1 else "Every seed has a split of its own"
    return f" {whose}: {len(splits)} splits, and the counts in the table are their means."


def _short(label: str, limit: int = 24) -> str:
    return label if len(label) <= limit else f"{label[: limit - 1]}…"
