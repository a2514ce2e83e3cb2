"""As published, and here: what was reported of a system, what this run of it gives, and what was wrong with the data.

The rows come from the file that `report.published` names; `studies/published.csv` holds those of the four studies. The
section stands where a variant is one of its systems: `B1` is, and so is `B1_corrected`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.errors import UserError
from stages.report.wording import MISSING, interval, metric_name, names, number, plural, plus_minus, signed, within

if TYPE_CHECKING:
    import pandas as pd

    from stages.report.evidence import Evidence, Summary

NOTE = (
    "The published figures come from another split, and often from other test images: no interval of ours covers that. "
    "Where our runs do not differ, or there is one, no verdict is given."
)
METRICS = ("top1", "top5", "loss")
COLUMNS = (
    "system", "study", "epochs", *METRICS, "top1_sd", "loss_sd", "test_images", "epoch_seconds", "hardware", "note",
)  # fmt: skip


def build(evidence: Evidence, digits: int) -> dict[str, Any] | None:
    """None where no variant is a published system."""
    reported, mine = rows(evidence), systems(evidence)
    if not mine:
        return None
    studies = {reported[system]["study"] for system in mine.values()}
    here = [
        _figure(evidence, variant, reported[system], metric, digits)
        for variant, system in mine.items()
        for metric in METRICS
        if reported[system][metric]
    ]
    absent = [row for name, row in reported.items() if row["study"] in studies and name not in mine.values()]
    return {
        "source": evidence.settings.published,
        "rows": here,
        "absent": [_absent(row, digits) for row in absent],
        "conditions": [_conditions(evidence, variant, reported[system]) for variant, system in mine.items()],
        "hazards": hazards(evidence),
        "note": NOTE,
    }


def rows(evidence: Evidence) -> dict[str, dict[str, str]]:
    """System -> its row of the file.

    Raises:
        UserError: the file is missing or lacks a column.
    """
    name = evidence.settings.published
    found = files.read_rows(name, by_hand=True)
    missing = [column for column in COLUMNS if found and column not in found[0]]
    if missing:
        raise UserError(f"{name} has no column `{missing[0]}`; it needs {', '.join(COLUMNS)}")
    return {row["system"]: row for row in found}


def systems(evidence: Evidence) -> dict[str, str]:
    """Variant -> the published system that it is, or is a twin of, for the variants that are one."""
    known = rows(evidence)
    named = {variant: variant if variant in known else variant.split("_")[0] for variant in evidence.variants}
    return {variant: system for variant, system in named.items() if system in known}


def hazards(evidence: Evidence) -> list[str]:
    """What cleaning found, in words."""
    audit = evidence.audit
    found = [
        f"Copies of another file, not used: {audit['duplicate']:,} of {plural(audit['files'], 'file')}.",
        f"Groups of similar pictures, each kept in one part of the split: {audit['groups']:,}.",
        f"Pictures under several labels: {audit['label_conflicts']:,}.",
        f"Files in quarantine, damaged, without a label or with several: {audit['quarantined']:,}.",
    ]
    if audit["duplicates"] != "drop":
        found[0] = "Copies were not dropped (`clean.duplicates`), as in the publication."
    if audit["duplicates"] == "ignore":
        found[1] = f"Groups of similar pictures, which were not kept in one part of the split: {audit['groups']:,}."
    return found + across(evidence)


def across(evidence: Evidence) -> list[str]:
    """Copies on both sides of the split that was published as folders; nothing where there is none."""
    knobs = evidence.study.raw["split"]
    folders = {part: knobs[part]["folder"].rstrip("/") for part in ("val", "test") if isinstance(knobs.get(part), dict)}
    group = dict(zip(evidence.manifest["image_id"], evidence.manifest["group_id"], strict=True))
    ledger = evidence.ledger
    ids = ledger["image_id"].where(ledger["image_id"] != "", ledger["duplicate_of"])
    groups = ids.map(group)
    found = []
    for part, folder in folders.items():
        inside = ledger["path"].str.startswith(f"{folder}/")
        outside = set(groups[~inside].dropna())
        copies = int(groups[inside].isin(outside).sum())
        found.append(
            f"In the published {part} folder, with a copy or a similar picture outside of it: {copies:,} of "
            f"{plural(int(inside.sum()), 'file')}. What lies outside was left out of all other parts."
        )
        found += _dropped(ledger[inside], part)
    return found


def _dropped(inside: pd.DataFrame, part: str) -> list[str]:
    """How many pictures of a published part are not in it here, and why; nothing where all are."""
    gone = inside[inside["status"] != "kept"]
    if gone.empty:
        return []
    counts = gone.groupby(["status", "reason"], sort=True).size()
    rows = counts.reset_index(name="files").to_dict("records")
    why = names([f"{row['files']:,} {row['status']} ({str(row['reason']).replace('_', ' ')})" for row in rows])
    kept = len(inside) - len(gone)
    return [f"Of {plural(len(inside), 'file')} in the published {part} folder {kept:,} are used here; not used: {why}."]


def _figure(evidence: Evidence, variant: str, row: dict[str, str], metric: str, digits: int) -> dict[str, Any]:
    theirs, sd = float(row[metric]), row.get(f"{metric}_sd", "")
    ours = evidence.summary.get((variant, "test", metric))
    about: dict[str, Any] = {
        "variant": variant,
        "metric": metric_name(metric),
        "published": plus_minus(theirs, float(sd) if sd else None, metric, digits),
    }
    if ours is None:
        return about | dict.fromkeys(("here", "difference", "run"), MISSING) | {"n": 0}
    low, high = expected(ours, float(sd) if sd else None, int(row.get("runs") or 1), evidence.alpha)
    return about | {
        "here": plus_minus(ours.mean, ours.sd, metric, digits),
        "n": ours.n,
        "difference": signed(ours.mean - theirs, metric, digits),
        "run": _inside(theirs, low, high, metric, digits),
    }


def expected(ours: Summary, sd: float | None, runs: int, alpha: float) -> tuple[float | None, float | None]:
    """Where a published figure of the same recipe is to be expected, on our split: our mean is an estimate, too.

    The published figure is the mean of `runs` runs, with their SD where it is stated and ours where it is not. None
    where our runs do not differ: nothing is then known of how much one does.
    """
    from scipy.special import stdtrit

    if ours.n < 2 or not ours.sd:
        return None, None
    mine, other = ours.sd**2 / ours.n, (sd**2 if sd and runs > 1 else ours.sd**2) / runs
    freedom = float(ours.n - 1)
    if sd and runs > 1:  # Welch: two samples, each with its own spread
        freedom = (mine + other) ** 2 / (mine**2 / (ours.n - 1) + other**2 / (runs - 1))
    half = float(stdtrit(freedom, 1 - alpha / 2)) * math.sqrt(mine + other)
    return ours.mean - half, ours.mean + half


def _inside(value: float, low: float | None, high: float | None, metric: str, digits: int) -> str:
    if low is None or high is None:
        return MISSING
    where = "inside" if low <= value <= high else "outside"
    return f"{where}: {interval(*within(low, high, metric), metric, digits)}"


def _absent(row: dict[str, str], digits: int) -> dict[str, str]:
    return {"system": row["system"]} | {
        metric: number(float(row[metric]) if row[metric] else None, metric, digits) for metric in METRICS
    }


def _conditions(evidence: Evidence, variant: str, row: dict[str, str]) -> dict[str, str]:
    runs = [evidence.configs[variant, seed]["epochs_run"] for seed in evidence.study.seeds]
    epochs = sorted({int(count) for count in runs})
    return {
        "variant": variant,
        "system": row["system"],
        "epochs": row["epochs"] or MISSING,
        "epochs_here": "-".join(str(count) for count in {epochs[0]: 0, epochs[-1]: 0}),
        "images": f"{int(row['test_images']):,}" if row["test_images"] else MISSING,
        "images_here": f"{evidence.images('test'):,}",
        "seconds": seconds(row),
        "hardware": row["hardware"] or MISSING,
        "note": row["note"],
    }


def seconds(row: dict[str, str]) -> str:
    """Seconds per epoch as published."""
    return f"{float(row['epoch_seconds']):.4g} s" if row["epoch_seconds"] else MISSING
