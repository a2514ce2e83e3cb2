"""Copies and similar pictures in different parts of a split: by their groups, and pairs that cleaning did not group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report.wording import SPLIT_NAMES, names, plural, span

if TYPE_CHECKING:
    import pandas as pd

    from stages.report.evidence import StudyEvidence

CUT = 40  # rows in the table of pairs that were not joined
TRAINED = {"train", "val"}


def copies(evidence: StudyEvidence) -> list[str]:
    """Test images with a copy or a similar picture in the training or validation set, in the mean over the splits."""
    if evidence.audit.get("duplicates") == "ignore" and "links_cut" not in evidence.audit:
        return ["Copies were left as published. The number of test images with a copy in another part was not counted."]
    counts = [_across(evidence, parts) for parts in evidence.parts]
    train, val = (sum(column) / len(counts) for column in zip(*counts, strict=True))
    several, digits = len(counts) > 1, 1 if len(counts) > 1 else 0
    test = span([int((parts["split"] == "test").sum()) for parts in evidence.parts], "image")
    alike = (
        "a copy, a similar picture or a picture of its named group" if evidence.named else "a copy or a similar picture"
    )
    cut = _not_grouped(evidence)
    if train + val:
        mean = f", on average over {len(counts)} splits" if several else ""
        text = (
            f"{train + val:,.{digits}f} of {test} of the test set have {alike} outside it{mean}: {train:,.{digits}f} "
            f"in the training set, {val:,.{digits}f} only in the validation set. This can make the test results too "
            "good."
        )
        return [f"{'Not counting the pairs below, ' if cut else ''}{text}", *cut]
    text = f"s far as cleaning can find them, no test image has {alike} in the training or the validation set."
    return [f"{'Except for the pairs below, a' if cut else 'A'}{text}", *cut]


def _across(evidence: StudyEvidence, split: pd.DataFrame) -> tuple[int, int]:
    """Test images with a member of their group in train; in validation alone."""
    where = dict(zip(split["image_id"], split["split"], strict=True))
    groups: dict[str, list[str]] = {}
    for image, group in zip(evidence.manifest["image_id"], evidence.manifest["group_id"], strict=True):
        groups.setdefault(group, []).append(where.get(image, ""))
    train = sum(parts.count("test") for parts in groups.values() if "train" in parts)
    val = sum(parts.count("test") for parts in groups.values() if "val" in parts and "train" not in parts)
    return train, val


def _not_grouped(evidence: StudyEvidence) -> list[str]:
    """How many pairs that cleaning did not group leave the test set, of how many test images; [] where none does."""
    found, tests = set(), set()
    for split in evidence.parts:
        where = dict(zip(split["image_id"], split["split"], strict=True))
        for pair in pairs(evidence):
            sides = {where.get(image): image for image in pair}
            if "test" in sides and TRAINED & sides.keys():
                found.add(pair)
                tests.add(sides["test"])
    if not found:
        return []
    return [
        (
            f"Cleaning found {plural(len(found), 'pair')} of similar pictures that it did not group "
            "(`clean.match.max_group`) and of which one is in the test set and the other in the training or validation "
            f"set{' of at least one split' if len(evidence.parts) > 1 else ''}. They hold "
            f"{plural(len(tests), 'different test image')}."
        )
    ]


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
            f"{'a split' if len(evidence.parts) > 1 else 'the split'}."
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
