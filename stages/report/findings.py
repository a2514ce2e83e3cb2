"""What cleaning found (copies, pairs that it did not group, planted files) and what a person decided about files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.core import files
from stages.core.planted import KINDS, of_the_digits
from stages.report import galleries
from stages.report.evidence import CLEAN, REPORTS, table
from stages.report.page import SPLIT_NAMES, belonging, names, plural, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from stages.core.planted import Planted
    from stages.report.evidence import StudyEvidence

CUT = 40  # rows in the table of pairs that were not grouped
DECIDED = {
    "drop": "dropped", "keep": "kept", "relabel": "relabelled", "not_same": "marked as different",
    "together": "marked as belonging together",
}  # fmt: skip
SHOWN = 3  # decisions without effect that are named
PLANTED = {
    "recompressed": "saved again as JPEG, under another name",
    "renamed": "the same bytes under another name",
    "turned": "a copy turned by 90 degrees",
    "two_labels": "a copy under another label",
    "cut_short": "a file that was cut short",
    "wrong_label": "the only file of a digit, under a wrong label",
    "stray": "not a picture (`Thumbs.db`)",
}
DROPPED, GROUPED, QUARANTINED = "one of the two dropped", "kept in one group", "quarantined"
LISTED, UNASKED, MISSED = "listed as a likely label error", "trained on, so not judged", "not found"


def copies(evidence: StudyEvidence) -> list[str]:
    """Test images with a copy or a similar picture in the training or validation set, in the mean over the splits."""
    counts = [_across(evidence, places) for places in evidence.places]
    train, val = (sum(column) / len(counts) for column in zip(*counts, strict=True))
    several = len(counts) > 1
    digits = 0 if not several else 1 if min(one for one in (train, val, 1.0) if one) >= 0.1 else 2  # not "0.0"
    test = span([list(places.values()).count("test") for places in evidence.places], "image")
    named, plain = "a copy, a similar picture or a picture of its named group", "a copy or a similar picture"
    alike = named if evidence.named else plain
    cut = _not_grouped(evidence)
    if not train + val:
        start = "Except for the pairs below, cleaning" if cut else "Cleaning"
        text = f"{start} found no test image that has {alike} in the training or the validation set."
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
    """Test images of a split with a member of their group in training, and those with one in validation only."""
    groups: dict[str, list[str]] = {}
    for image, group in evidence.group_of.items():
        groups.setdefault(group, []).append(places.get(image, ""))
    train = sum(parts.count("test") for parts in groups.values() if "train" in parts)
    val = sum(parts.count("test") for parts in groups.values() if "val" in parts and "train" not in parts)
    return train, val


def _not_grouped(evidence: StudyEvidence) -> str:
    """How many pairs that cleaning did not group join the test set with training or validation; empty if none does."""
    found, tests = set(), set()
    for places in evidence.places:
        for pair in pairs(evidence):
            sides = {places.get(image): image for image in pair}
            if "test" in sides and sides.keys() & {"train", "val"}:
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
    """Pairs of similar pictures that `clean.match.max_group` kept out of one group, each pair once."""
    found = dict.fromkeys(tuple(sorted(set(link))) for link in evidence.audit.get("links_cut") or [])
    return [(pair[0], pair[1]) for pair in found if len(pair) == 2]


def listed(evidence: StudyEvidence) -> dict[str, Any] | None:
    """A table of `pairs`, those in two parts of a split first; None where there are none."""
    links = pairs(evidence)
    if not links:
        return None
    path = evidence.path_of
    rows = [{"paths": [path.get(image, image) for image in link], "parts": _parts(evidence, link)} for link in links]
    return {
        "rows": sorted(rows, key=lambda row: not row["parts"])[:CUT],
        "sentence": (
            f"Cleaning found {plural(len(links), 'pair')} of similar pictures that it did not put into one group, "
            "because the group would be larger than `clean.match.max_group`. In "
            f"{sum(bool(row['parts']) for row in rows):,} of them, the two pictures are in different parts of "
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
    """What cleaning found in the data of a published study, a sentence each."""
    audit = evidence.audit
    dropped = f"Copies of another file, left out: {audit['duplicate']:,} of {plural(audit['files'], 'file')}."
    kept = "each kept in one part of the split" if evidence.grouped else "which were not kept in one part of the split"
    return [
        dropped
        if audit["duplicates"] == "drop"
        else "Copies were not dropped (`clean.duplicates`), as in the publication.",
        f"Groups of {belonging(evidence.named)}, {kept}: {audit['groups']:,}.",
        f"Pictures that appear under several labels: {audit['label_conflicts']:,}.",
        f"Files in quarantine (damaged, without a label or with several labels): {audit['quarantined']:,}.",
        *across(evidence),
    ]


def across(evidence: StudyEvidence) -> list[str]:
    """Copies on both sides of a split that was published as folders; no sentence where no part is such a folder."""
    folders = {part: share["folder"].rstrip("/") for part, share in evidence.given.items() if "folder" in share}
    ledger = evidence.ledger
    ids = ledger["image_id"].where(ledger["image_id"] != "", ledger["duplicate_of"])
    groups, kept = ids.map(evidence.group_of), ledger["status"] == "kept"
    found = []
    for part, folder in folders.items():
        inside = ledger["path"].str.startswith(f"{folder}/")
        copies = int(groups[inside].isin(set(groups[~inside].dropna())).sum())
        theirs = ledger["image_id"][kept & ~inside & groups.isin(set(groups[inside].dropna()))]
        names_inside = set(ids[inside]) | set(ledger["path"][inside])
        cut = sum(len(names_inside & set(pair)) == 1 for pair in pairs(evidence))
        used = sum(any(image in places for places in evidence.places) for image in theirs)
        text = (
            f"Files in the published {part} folder that have a copy or a similar picture"
            f"{' (or one of the same named group)' if evidence.named else ''} outside it: {copies:,} of "
            f"{plural(int(inside.sum()), 'file')}. Of these pictures outside the folder, {used or 'none'} "
            f"{'is' if used < 2 else 'are'} in another part of this study's split."
        )
        if cut:
            text += f" Not counted: {plural(cut, 'pair')} of similar pictures that cleaning did not group "
            text += "(`clean.match.max_group`), one inside the folder and the other outside it."
        found += [text, *_dropped(ledger[inside], part, evidence.places[0])]
    return found


def _dropped(inside: pd.DataFrame, part: str, places: dict[str, str]) -> list[str]:
    """How many files of a published folder are not in that part here, and the reasons; no sentence if all are."""
    here = (inside["status"] == "kept") & (inside["image_id"].map(places) == part)
    gone = inside[~here]
    if gone.empty:
        return []
    counts = sorted(Counter(zip(gone["status"], gone["reason"], strict=True)).items())
    why = [f"{count:,} {status} ({reason.replace('_', ' ')})" for (status, reason), count in counts if status != "kept"]
    if left := int((gone["status"] == "kept").sum()):
        why.append(f"{left:,} that {'belongs' if left == 1 else 'belong'} with pictures of another published part")
    used = f"{int(here.sum()):,} of {len(inside):,}"
    return [f"Files in the published {part} folder that are used here: {used}. Not used: {names(why)}."]


def changes(audit: Mapping[str, Any]) -> str:
    """The decisions of `data/curation.csv` and what they changed; empty where there are none."""
    found = audit.get("by_hand")
    if not found:
        return ""
    text = f"{plural(found['decisions'], 'decision')} by hand on files (`data/curation.csv`)"
    if found["applied"]:
        applied = names([f"{count:,} {DECIDED[kind]}" for kind, count in found["applied"].items()])
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
    """The caveat that decisions were made after test results were known; empty where none were."""
    found = audit.get("by_hand") or {}
    count, applied = found.get("after_test_figures", 0), sum(found.get("applied", {}).values())
    if not count:
        return ""
    return (
        f"Of {plural(applied, 'decision')} by hand on files, {count:,} {'was' if count == 1 else 'were'} made after "
        "test results of this study had been reported. Those who decided could know these results, so the test results "
        "are not independent of the decisions."
    )


class Cleaned(NamedTuple):
    """What the committed files say of the files of the source; images go by their ids."""

    ledger: dict[str, dict[str, str]]  # path -> its row
    groups: dict[str, str]  # image -> group
    listed: set[str]  # likely label errors
    judged: set[str]  # images in validation or test of some split, or judged by the audit of all images


def planted(evidence: StudyEvidence) -> dict[str, Any] | None:
    """What was found of the files that the source `digits` plants: their truth is known; None if it plants none."""
    section = evidence.study.raw["ingest"] or {}
    if section.get("source") != "digits" or not section.get("planted"):
        return None
    ledger = {row["path"]: row for row in files.read_rows(CLEAN / "ledger.csv")}
    judged = {image for split in evidence.places for image, part in split.items() if part != "train"}
    listed = set(table(REPORTS / "suspects.csv", text=True)["image_id"])
    more, audit = galleries.audited(evidence)
    return counted(of_the_digits(), Cleaned(ledger, evidence.group_of, listed | more, judged | audit))


def counted(found: Sequence[Planted], study: Cleaned) -> dict[str, Any]:
    """The table of the planted files, and the sentence under it about all other files."""
    fates = {kind: Counter(fate(one, study) for one in found if one.kind == kind) for kind in KINDS}
    rows = [
        {
            "kind": PLANTED[kind],
            "planted": count.total(),
            "found": sum(count[fate] for fate in (DROPPED, GROUPED, QUARANTINED, LISTED)),
            "fates": ", ".join(f"{number:,} {fate}" for fate, number in count.most_common()),
        }
        for kind, count in fates.items()
        if count
    ]
    wrong, others = unexplained(found, study), len(study.ledger) - len(found)
    dropped = f"{len(wrong) or 'none'} {'was' if len(wrong) < 2 else 'were'}"
    named = f": {names([f'`{path}`' for path in wrong[:5]])}{' and others' if len(wrong) > 5 else ''}" if wrong else ""
    sentence = (
        f"{len(found):,} files of the kinds that a scrape brings in were planted beside {others:,} digits; "
        f"`data/planted.csv` lists them. Of the other files, {dropped} dropped or quarantined without a planted file "
        f"as the reason{named}."
    )
    return {"rows": rows, "sentence": sentence}


def fate(one: Planted, study: Cleaned) -> str:
    """What cleaning and the audits did with a planted file and with the file that it is a copy of."""
    row = study.ledger[one.path]
    if one.kind == "wrong_label":
        if row["status"] != "kept":
            return MISSED
        image = row["image_id"]
        return LISTED if image in study.listed else MISSED if image in study.judged else UNASKED
    if one.kind in ("two_labels", "cut_short", "stray"):
        return QUARANTINED if row["status"] == "quarantined" else MISSED
    original = study.ledger[one.original]
    for copy, kept in ((row, original), (original, row)):
        if copy["status"] == "duplicate" and copy["duplicate_of"] == kept["image_id"]:
            return DROPPED
    together = row["status"] == original["status"] == "kept"
    return GROUPED if together and study.groups[row["image_id"]] == study.groups[original["image_id"]] else MISSED


def unexplained(found: Sequence[Planted], study: Cleaned) -> list[str]:
    """Files that were dropped or quarantined although nothing was planted that explains it."""
    path_of = {row["image_id"]: path for path, row in study.ledger.items() if row["image_id"]}
    family = {one.path: one.original or one.path for one in found}
    bad = {one.path for one in found if one.kind in ("two_labels", "cut_short", "stray")}
    bad |= {one.original for one in found if one.kind == "two_labels"}

    def explained(path: str, row: dict[str, str]) -> bool:
        kept = path_of.get(row["duplicate_of"], "")
        copied = row["status"] == "duplicate" and family.get(path, path) == family.get(kept, kept)
        return row["status"] == "kept" or copied or path in bad

    return sorted(path for path, row in study.ledger.items() if not explained(path, row))
