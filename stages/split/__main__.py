"""`python -m stages.split`."""

from __future__ import annotations

from collections import Counter

from stages.core import console, errors, files, params
from stages.split import NAMES, assign
from stages.split.params import Split


def main() -> None:
    """Read the manifest, write split.csv and summary.json."""
    split = params.section(Split, params.read().raw["split"], "split")
    manifest = files.read_rows("data/clean/manifest.csv")
    labels, groups = [row["label"] for row in manifest], [row["group_id"] for row in manifest]
    origin = {
        row["image_id"]: row["path"] for row in files.read_rows("data/clean/ledger.csv") if row["status"] == "kept"
    }
    parts = assign(labels, groups, split, [origin[row["image_id"]] for row in manifest])
    # Folders are numbered in the natural order of the labels, so their order is the order of the class indices.
    folders = {row["path"].split("/")[1]: row["label"] for row in manifest}
    classes = [folders[folder] for folder in sorted(folders)]
    counts = Counter(zip(parts, labels, strict=True))
    summary = {
        "classes": classes,
        "counts": {part: {label: counts[part, label] for label in classes} for part in reversed(NAMES)},
        "groups": len(set(groups)),
        "left_out": parts.count("left_out"),
        "seed": split.seed,
    }
    rows = [
        {"image_id": row["image_id"], "split": part}
        for row, part in zip(manifest, parts, strict=True)
        if part != "left_out"
    ]
    files.write_rows("data/split/split.csv", ["image_id", "split"], rows)
    files.write_json("data/split/summary.json", summary)
    console.say(", ".join(f"{part} {parts.count(part)}" for part in (*reversed(NAMES), "left_out")))


if __name__ == "__main__":
    errors.run(main)
