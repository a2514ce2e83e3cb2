"""What cleaning found and what a person decided: copies across the parts of a split, pairs that were not grouped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report.wording import SPLIT_NAMES, belonging, names, plural, span

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from stages.report.evidence import StudyEvidence

CUT = 40  # rows in the table of pairs that were not joined
TRAINED = {"train", "val"}
WORDS = {
    "drop": "dropped", "keep": "kept", "relabel": "relabelled", "not_same": "told apart", "together": "put together",
}  # fmt: skip
SHOWN = 3  # decisions without effect that are named


def copies(evidence: StudyEvidence) -> list[str]:
    """Test images with a copy or a similar picture in the training or validation set, in the mean over the splits."""
    if evidence.audit.get("duplicates") == "ignore" and "links_cut" not in evidence.audit:
        return ["Copies were left as published. The number of test images with a copy in another part was not counted."]
    counts = [_across(evidence, places) for places in evidence.places]
    train, val = (sum(column) / len(counts) for column in zip(*counts, strict=True))
    several = len(counts) > 1
    digits = 0 if not several else 1 if min(one for one in (train, val, 1.0) if one) >= 0.1 else 2  # not "0.0"
    test = span([list(places.values()).count("test") for places in evidence.places], "image")
    named, plain = "a copy, a similar picture or a picture of its named group", "a copy or a similar picture"
    alike = named if evidence.named else plain
    cut = _not_grouped(evidence)
    if not train + val:
        start = "Except for the pairs below, as" if cut else "As"
        where = "in the training or the validation set"
        text = f"{start} far as cleaning can find them, no test image has {alike} {where}."
    else:
        mean = f", on average over {len(counts)} splits" if several else ""
        text = (
            f"{'Not counting the pairs below, ' if cut else ''}{train + val:,.{digits}f} of {test} of the test set "
            f"{'has' if train + val == 1 else 'have'} {alike} outside it{mean}: {train:,.{digits}f} in the training "
            f"set, {val:,.{digits}f} only in the validation set. This can make the test results too good."
        )
    return [text, cut] if cut else [text]


def leaking(evidence: StudyEvidence) -> bool:
    """Whether a test image of a split has a copy or a similar picture in another part."""
    return any(sum(_across(evidence, places)) for places in evidence.places)


def _across(evidence: StudyEvidence, places: dict[str, str]) -> tuple[int, int]:
    """Test images with a member of their group in train; in validation alone."""
    groups: dict[str, list[str]] = {}
    for image, group in zip(evidence.manifest["image_id"], evidence.manifest["group_id"], strict=True):
        groups.setdefault(group, []).append(places.get(image, ""))
    train = sum(parts.count("test") for parts in groups.values() if "train" in parts)
    val = sum(parts.count("test") for parts in groups.values() if "val" in parts and "train" not in parts)
    return train, val


def _not_grouped(evidence: StudyEvidence) -> str:
    """How many pairs that cleaning did not group leave the test set, of how many test images; empty if none does."""
    found, tests = set(), set()
    for places in evidence.places:
        for pair in pairs(evidence):
            sides = {places.get(image): image for image in pair}
            if "test" in sides and TRAINED & sides.keys():
                found.add(pair)
                tests.add(sides["test"])
    if not found:
        return ""
    return (
        f"Cleaning found {plural(len(found), 'pair')} of similar pictures that it did not group "
        "(`clean.match.max_group`) and of which one is in the test set and the other in the training or validation set"
        f"{' of at least one split' if len(evidence.places) > 1 else ''}. They hold "
        f"{plural(len(tests), 'different test image')}."
    )


def pairs(evidence: StudyEvidence) -> list[tuple[str, str]]:
    """Similar pictures that the limit on groups kept apart, each pair once: several links may join the same two."""
    found = dict.fromkeys(tuple(sorted(set(link))) for link in evidence.audit.get("links_cut") or [])
    return [(pair[0], pair[1]) for pair in found if len(pair) == 2]


def listed(evidence: StudyEvidence) -> dict[str, Any] | None:
    """A table of `pairs`, those in two parts of a split first; None where there are none."""
    links = pairs(evidence)
    if not links:
        return None
    path = dict(zip(evidence.ledger["image_id"], evidence.ledger["path"], strict=True))
    rows = [{"paths": [path.get(image, image) for image in link], "parts": _parts(evidence, link)} for link in links]
    crossing = [row for row in rows if row["parts"]]
    shown = (crossing + [row for row in rows if not row["parts"]])[:CUT]
    return {
        "rows": shown,
        "sentence": (
            f"Cleaning found {plural(len(links), 'pair')} of similar pictures that it did not put into one group, "
            "because the group would be larger than `clean.match.max_group`. In "
            f"{len(crossing):,} of them, the two pictures are in different parts of "
            f"{'a split' if len(evidence.places) > 1 else 'the split'}."
            + (f" The first {CUT} are listed." if len(links) > CUT else "")
        ),
    }


def _parts(evidence: StudyEvidence, link: tuple[str, str]) -> str:
    """The different parts that two pictures are in, of the first split that separates them; empty if none does."""
    for split in evidence.places:
        parts = [split[image] for image in link if image in split]
        if len(set(parts)) == 2:
            return names([SPLIT_NAMES[part] for part in parts])
    return ""


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
    folders = {part: share["folder"].rstrip("/") for part, share in evidence.given.items() if "folder" in share}
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
        cut = sum(len(names_inside & set(pair)) == 1 for pair in pairs(evidence))
        used = sum(any(image in places for places in evidence.places) for image in theirs)
        text = (
            f"Files in the published {part} folder that have a copy or a similar picture"
            f"{' (or one of the same named group)' if evidence.named else ''} outside it: {copies:,} of "
            f"{plural(int(inside.sum()), 'file')}. Of those pictures outside it, {used or 'none'} "
            f"{'is' if used < 2 else 'are'} in another part here."
        )
        if cut:
            text += f" Not counted: {plural(cut, 'pair')} of similar pictures that cleaning did not group "
            text += "(`clean.match.max_group`), one inside the folder and the other outside it."
        found += [text, *_dropped(ledger[inside], part, evidence.places[0])]
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


def changes(audit: Mapping[str, Any]) -> str:
    """What was decided and what it changed; empty where nobody decided anything."""
    found = audit.get("by_hand")
    if not found:
        return ""
    text = f"{plural(found['decisions'], 'decision')} by hand on files (`data/curation.csv`)"
    if found["applied"]:
        applied = names([f"{count:,} {WORDS[kind]}" for kind, count in found["applied"].items()])
        text += f"; applied: {applied}"
    counts = {
        "kept that would be left out": found["kept"],
        "left out that would be kept": found["left_out"],
        "kept under another label": found["relabelled"],
    }
    changed = names([f"{plural(count, 'file')} {what}" for what, count in counts.items() if count])
    text += f". The effect: {changed or 'no file was kept, left out or relabelled because of them'}."
    if without := found["not_applied"]:
        first = "; ".join(f"`{' and '.join(paths)}`: {why}" for *paths, _, why in without[:SHOWN])
        text += f" Not applied: {len(without):,} ({first}{'; ...' if len(without) > SHOWN else ''})."
    return text


def late(audit: Mapping[str, Any]) -> str:
    """A caveat where decisions were made with test figures in sight; empty where none was."""
    found = audit.get("by_hand") or {}
    count, applied = found.get("after_test_figures", 0), sum(found.get("applied", {}).values())
    if not count:
        return ""
    return (
        f"Of {plural(applied, 'decision')} by hand on files, {count:,} {'was' if count == 1 else 'were'} made after "
        "test results of this study had been reported. Those who decided could know these results, so the test results "
        "are not independent of the decisions."
    )
