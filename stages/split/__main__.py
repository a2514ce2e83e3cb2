"""`python -m stages.split`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from stages.core import cells, console, errors, files, params
from stages.core.errors import UserError
from stages.core.folders import listed
from stages.core.folders import notes as notes_on
from stages.split import NAMES, OUTSIDE, TooFewError, assign
from stages.split.params import Published, Split

_RELABELLED = re.compile("(?:^|; )by hand, relabel to ")  # what clean writes into the ledger


def main() -> None:
    """Read the manifest, write the split of every seed, classes.json and summary.json."""
    study = params.read()
    split = params.section(Split, study.raw["split"], "split")
    manifest = files.read_rows("data/clean/manifest.csv")
    labels = [row["label"] for row in manifest]
    ledger = files.read_rows("data/clean/ledger.csv")
    origin = {row["image_id"]: row for row in ledger if row["status"] == "kept"}
    in_source = Counter(row.get("label", "") for row in ledger)
    for label in sorted(in_source.keys() - {"", *labels}):
        console.say(f"no class {label!r}: none of its {in_source[label]} files was kept; data/clean/ledger.csv has why")
    paths = [origin[row["image_id"]]["path"] for row in manifest]
    named = [origin[row["image_id"]].get("group", "") for row in manifest]  # no such column where none is named
    # As published: copies stay known, so that the report can count them, and are not kept together. What the user says
    # belongs together is.
    audit = files.read_json("data/clean/audit.json", dict[str, Any])
    ignored = audit.get("duplicates") == "ignore"
    groups = [(f"group {name}" if name else row["image_id"]) if ignored else row["group_id"]
              for row, name in zip(manifest, named, strict=True)]  # fmt: skip
    notes = notes_on(
        list(zip(paths, labels, strict=True)),
        published=isinstance(split.test, Published) or isinstance(split.val, Published),
    )
    # Folders are numbered in the natural order of the labels, so their order is the order of the class indices.
    folders = {Path(row["path"]).parent.name: row["label"] for row in manifest}
    classes = [folders[folder] for folder in sorted(folders)]
    splits: list[dict[str, Any]] = []
    with files.fresh_folder(cells.SPLIT / "seeds") as folder:
        drawn = split.seeds_of(study.seeds)
        for number, seeds in enumerate(drawn):
            # The first of its seeds names a split: a seed that is added at the end of the list changes no other's.
            draw = drawn[split.first_of(number)][:1] if split.own else ()
            try:
                parts = assign(labels, groups, split, paths, draw, split.fold_of(number), named)
            except TooFewError as error:
                raise UserError(f"{error}{_by_hand(error.label, ledger, audit)}") from None
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
            if any(named):
                where = {(name, part) for name, part in zip(named, parts, strict=True) if name}
                splits[-1]["named_groups"] = {part: sum(p == part for _, p in where) for part in reversed(NAMES)}
                notes += _lost(where)
            console.say(", ".join(f"{part} {parts.count(part)}" for part in (*reversed(NAMES), *OUTSIDE)))
    files.write_json(cells.SPLIT / "classes.json", classes)
    notes = list(dict.fromkeys(notes))
    for note in notes:
        console.say(note)
    summary = {"seed": split.seed, "groups": len(set(groups)), "splits": splits}
    files.write_json(cells.SPLIT / "summary.json", summary | ({"notes": notes} if notes else {}))


def _by_hand(label: str, ledger: list[dict[str, str]], audit: dict[str, Any]) -> str:
    """Which images a person gave a label, and how many lost it by decisions; empty where there are none."""
    found = [
        row["path"]
        for row in ledger
        if row["status"] == "kept" and row.get("label") == label and _RELABELLED.search(row.get("detail", ""))
    ]
    lost = audit.get("by_hand", {}).get("lost", {}).get(label, 0)
    told = [f"{listed(found, 3)} got this label by hand"] if found else []
    told += [f"decisions by hand took the label from {lost} image{'s' * (lost > 1)}, or left them out"] if lost else []
    return f"; {', and '.join(told)} (data/curation.csv), which `make curate` takes back" if told else ""


def _lost(where: set[tuple[str, str]]) -> list[str]:
    """Groups that were left out, since they share a picture with one that is held out."""
    lost = sorted(name for name, part in where if part == "left_out")
    why = "Left out, since copies or look-alikes join them with images that are held out: the groups"
    return [f"{why} {listed(lost, 5)}."] if lost else []


if __name__ == "__main__":
    errors.run(main)
