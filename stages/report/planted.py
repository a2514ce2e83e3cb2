"""What cleaning found of what the source `digits` planted: the truth is known, so the page can count."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.core import files, planted
from stages.report import audited
from stages.report.evidence import CLEAN, REPORTS, table
from stages.report.wording import names, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.core.planted import Planted
    from stages.report.evidence import StudyEvidence

WORDS = {
    "recompressed": "saved again as JPEG, under another name",
    "renamed": "the same bytes under another name",
    "turned": "a copy turned by 90 degrees",
    "two_labels": "a copy under another label",
    "cut_short": "a file that was cut short",
    "wrong_label": "the only file of a digit, under a wrong label",
    "stray": "no picture (`Thumbs.db`)",
}
DROPPED, GROUPED, QUARANTINED = "one of the two dropped", "kept in one group", "quarantined"
LISTED, UNASKED, MISSED = "listed as a likely label error", "trained on, so not judged", "not found"
FOUND = (DROPPED, GROUPED, QUARANTINED, LISTED)


class Study(NamedTuple):
    """What the committed files say of each file of the source.

    Attributes:
        ledger: path -> its row.
        groups: image id -> group.
        listed: ids of likely label errors.
        judged: ids of images that are in validation or test of some split, or that the audit of all images judged.
    """

    ledger: dict[str, dict[str, str]]
    groups: dict[str, str]
    listed: set[str]
    judged: set[str]


def build(evidence: StudyEvidence) -> dict[str, Any] | None:
    """A row for each kind, and a sentence on what was dropped without a reason; None where nothing was planted."""
    section = evidence.study.raw["ingest"] or {}
    if section.get("source") != "digits" or not section.get("planted"):
        return None
    ledger = {row["path"]: row for row in files.read_rows(CLEAN / "ledger.csv")}
    groups = dict(zip(evidence.manifest["image_id"], evidence.manifest["group_id"], strict=True))
    judged = {image for split in evidence.places for image, part in split.items() if part != "train"}
    listed = set(table(REPORTS / "suspects.csv", text=True)["image_id"])
    more, audit = audited.seen(evidence)
    return counted(planted.of_the_digits(), Study(ledger, groups, listed | more, judged | audit))


def counted(found: Sequence[Planted], study: Study) -> dict[str, Any]:
    """The table and the sentence under it."""
    fates = {kind: Counter(fate(one, study) for one in found if one.kind == kind) for kind in planted.KINDS}
    rows = [
        {
            "kind": WORDS[kind],
            "planted": count.total(),
            "found": sum(count[fate] for fate in FOUND),
            "fates": ", ".join(f"{number:,} {fate}" for fate, number in count.most_common()),
        }
        for kind, count in fates.items()
        if count
    ]
    return {"rows": rows, "sentence": _sentence(unexplained(found, study), found, study)}


def fate(one: Planted, study: Study) -> str:
    """What became of a planted file, and of the file that it is a copy of."""
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


def unexplained(found: Sequence[Planted], study: Study) -> list[str]:
    """Files that were dropped or quarantined although nothing was planted that explains it."""
    path_of = {row["image_id"]: path for path, row in study.ledger.items() if row["image_id"]}
    family = {one.path: one.original or one.path for one in found}
    bad = {one.path for one in found if one.kind in ("two_labels", "cut_short", "stray")}
    bad |= {one.original for one in found if one.kind == "two_labels"}
    wrong = []
    for path, row in study.ledger.items():
        kept = path_of.get(row["duplicate_of"], "")
        copied = row["status"] == "duplicate" and family.get(path, path) == family.get(kept, kept)
        if row["status"] != "kept" and not copied and path not in bad:
            wrong.append(path)
    return sorted(wrong)


def _sentence(wrong: Sequence[str], found: Sequence[Planted], study: Study) -> str:
    others = len(study.ledger) - len(found)
    dropped = "none was" if not wrong else f"{plural(len(wrong), 'file')} {'was' if len(wrong) == 1 else 'were'}"
    named = f": {names([f'`{path}`' for path in wrong[:5]])}{' and others' if len(wrong) > 5 else ''}" if wrong else ""
    return (
        f"{len(found):,} files were planted beside {others:,} digits, as a scrape would leave them; "
        f"`data/planted.csv` lists them. Of the others, {dropped} dropped or quarantined without such a reason{named}."
    )
