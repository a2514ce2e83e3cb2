"""`python -m stages.split`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from stages.core import cells, console, errors, files, params
from stages.core.errors import UserError
from stages.split import NAMES, OUTSIDE, assign
from stages.split.params import Split


def main() -> None:
    """Read the manifest, write the split of every seed, classes.json and summary.json."""
    study = params.read()
    split = params.section(Split, study.raw["split"], "split")
    manifest = files.read_rows("data/clean/manifest.csv")
    labels = [row["label"] for row in manifest]
    # As published: the groups stay known, so that the report can count them, but nothing is kept together.
    ignored = files.read_json("data/clean/audit.json", dict[str, Any]).get("duplicates") == "ignore"
    groups = [row["image_id" if ignored else "group_id"] for row in manifest]
    ledger = files.read_rows("data/clean/ledger.csv")
    origin = {row["image_id"]: row["path"] for row in ledger if row["status"] == "kept"}
    in_source = Counter(row.get("label", "") for row in ledger)
    for label in sorted(in_source.keys() - {"", *labels}):
        console.say(f"no class {label!r}: none of its {in_source[label]} files was kept; data/clean/ledger.csv has why")
    lost = [row["image_id"] for row in manifest if row["image_id"] not in origin]
    if lost:
        raise UserError(f"data/clean/ledger.csv keeps no {lost[0]!r}, which manifest.csv has; run `dvc repro clean`")
    paths = [origin[row["image_id"]] for row in manifest]
    # Folders are numbered in the natural order of the labels, so their order is the order of the class indices.
    folders = {Path(row["path"]).parent.name: row["label"] for row in manifest}
    classes = [folders[folder] for folder in sorted(folders)]
    splits: list[dict[str, Any]] = []
    with files.fresh_folder(cells.SPLIT / "seeds") as folder:
        drawn = split.seeds_of(study.seeds)
        for number, seeds in enumerate(drawn):
            # The first of its seeds names a split: a seed that is added at the end of the list changes no other's.
            draw = drawn[split.first_of(number)][:1] if split.own else ()
            parts = assign(labels, groups, split, paths, draw, split.fold_of(number))
            rows = [
                {"image_id": row["image_id"], "split": part}
                for row, part in zip(manifest, parts, strict=True)
                if part not in OUTSIDE
            ]
            for seed in seeds:
                files.write_rows(folder / f"{seed}.csv", ["image_id", "split"], rows)
            counts = Counter(zip(parts, labels, strict=True))
            splits.append(
                {
                    "seeds": seeds,
                    "counts": {part: {label: counts[part, label] for label in classes} for part in reversed(NAMES)},
                    **{part: parts.count(part) for part in OUTSIDE},
                }
            )
            console.say(", ".join(f"{part} {parts.count(part)}" for part in (*reversed(NAMES), *OUTSIDE)))
    files.write_json(cells.SPLIT / "classes.json", classes)
    files.write_json(cells.SPLIT / "summary.json", {"seed": split.seed, "groups": len(set(groups)), "splits": splits})


if __name__ == "__main__":
    errors.run(main)
