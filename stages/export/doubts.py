"""What both cards say of labels that are in doubt, and of decisions by hand about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.core import files
from stages.report import audited, findings
from stages.report.evidence import REPORTS
from stages.report.wording import plural

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence

_BY_HAND = r"(?:^|; )by hand, (?:keep|relabel to)"  # what clean writes into the ledger


def sentences(evidence: StudyEvidence) -> list[str]:
    """How many labels are in doubt, where they are listed, how many were decided; then all decisions by hand."""
    rows = files.read_rows(REPORTS / "suspects.csv")
    audit, _ = audited.seen(evidence)
    found = []
    if rows:
        count = plural(int(rows[0]["found"]), "validation or test image")
        found.append(f"Most networks contradict the label of {count} (listed in `reports/suspects.csv`).")
    if audit:
        wrong = int(files.read_json(audited.FOLDER / "summary.json")["found"])
        what = "label of all images is a likely error" if wrong == 1 else "labels of all images are likely errors"
        found.append(f"By an audit, {wrong:,} {what} (listed in `reports/audit/suspects.csv`).")
    if found:
        listed = {row["image_id"] for row in rows} | audit
        ledger = evidence.ledger[evidence.ledger["image_id"].isin(listed)]
        decided = int(ledger[ledger["detail"].str.contains(_BY_HAND)]["image_id"].nunique())
        found.append(f"Of the {plural(len(listed), 'image')} listed, {decided or 'none'} {_were(decided)} by hand.")
    return [*found, *filter(None, [findings.changes(evidence.audit)])]


def _were(count: int) -> str:
    return "were decided" if count > 1 else "was decided"
