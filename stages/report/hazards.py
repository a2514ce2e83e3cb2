"""What cleaning found in the data of a published study, and what became of a part that was published as a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.report import overlap
from stages.report.wording import belonging, names, plural

if TYPE_CHECKING:
    import pandas as pd

    from stages.report.evidence import StudyEvidence


def hazards(evidence: StudyEvidence) -> list[str]:
    """What cleaning found, in words."""
    audit, alike = evidence.audit, belonging(evidence.named)
    found = [
        f"Copies of another file, left out: {audit['duplicate']:,} of {plural(audit['files'], 'file')}.",
        f"Groups of {alike}, each kept in one part of the split: {audit['groups']:,}.",
        f"Pictures that appear under several labels: {audit['label_conflicts']:,}.",
        f"Files in quarantine (damaged, without a label or with several labels): {audit['quarantined']:,}.",
    ]
    if audit["duplicates"] != "drop":
        found[0] = "Copies were not dropped (`clean.duplicates`), as in the publication."
    if not evidence.grouped:
        found[1] = f"Groups of {alike}, which were not kept in one part of the split: {audit['groups']:,}."
    return found + across(evidence)


def across(evidence: StudyEvidence) -> list[str]:
    """Copies on both sides of the split that was published as folders; nothing where there is none."""
    knobs = evidence.study.raw["split"]
    shares = {part: knobs[part] for part in ("val", "test") if isinstance(knobs.get(part), dict)}
    folders = {part: share["folder"].rstrip("/") for part, share in shares.items() if "folder" in share}
    group = dict(zip(evidence.manifest["image_id"], evidence.manifest["group_id"], strict=True))
    ledger = evidence.ledger
    ids = ledger["image_id"].where(ledger["image_id"] != "", ledger["duplicate_of"])
    groups, kept = ids.map(group), ledger["status"] == "kept"
    found = []
    for part, folder in folders.items():
        inside = ledger["path"].str.startswith(f"{folder}/")
        outside = set(groups[~inside].dropna())
        copies = int(groups[inside].isin(outside).sum())
        theirs = ledger["image_id"][kept & ~inside & groups.isin(set(groups[inside].dropna()))]
        names_inside = set(ids[inside]) | set(ledger["path"][inside])
        cut = sum(len(names_inside & set(pair)) == 1 for pair in overlap.pairs(evidence))
        used = sum(
            any(places.get(image, "") in ("train", "val", "test") for places in evidence.places) for image in theirs
        )
        found.append(
            f"Files in the published {part} folder that have a copy or a similar picture"
            f"{' (or one of the same named group)' if evidence.named else ''} outside it: {copies:,} of "
            f"{plural(int(inside.sum()), 'file')}. Of those pictures outside it, {used or 'none'} "
            f"{'is' if used < 2 else 'are'} in another part here."
            + (
                f" Not counted: {plural(cut, 'pair')} of similar pictures that cleaning did not group "
                "(`clean.match.max_group`), one inside the folder and the other outside it."
                if cut
                else ""
            )
        )
        found += _dropped(ledger[inside], part, evidence.places[0])
    return found


def _dropped(inside: pd.DataFrame, part: str, places: dict[str, str]) -> list[str]:
    """How many pictures of a published part are not in it here, and why; nothing where all are."""
    here = (inside["status"] == "kept") & (inside["image_id"].map(places) == part)
    gone = inside[~here]
    if gone.empty:
        return []
    left = int((gone["status"] == "kept").sum())
    counts = gone[gone["status"] != "kept"].groupby(["status", "reason"], sort=True).size()
    rows = counts.reset_index(name="files").to_dict("records")
    why = [f"{row['files']:,} {row['status']} ({str(row['reason']).replace('_', ' ')})" for row in rows]
    why += [f"{left:,} that belong with pictures of another published part"] if left else []
    used = f"{int(here.sum()):,} of {len(inside):,}"
    return [f"Files in the published {part} folder that are used here: {used}. Not used: {names(why)}."]
