"""What both cards say of labels that are in doubt, and of decisions by hand about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.core import files
from stages.report import findings, galleries
from stages.report.evidence import REPORTS
from stages.report.wording import plural

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence

_BY_HAND = r"(?:^|; )by hand, (?:keep|relabel to)"  # what clean writes into the ledger


def sentences(evidence: StudyEvidence) -> list[str]:
    """How many labels are in doubt, where they are listed, how many were decided; then all decisions by hand."""
    rows = files.read_rows(REPORTS / "suspects.csv")
    audit, judged = galleries.audited(evidence)
    found = []
    if rows:
        wrong = int(rows[0]["found"])
        count, where = plural(wrong, "validation or test image"), _listed(len(rows), wrong, "reports/suspects.csv")
        found.append(f"Most networks contradict the label of {count} ({where}).")
    if judged:
        wrong = int(files.read_json(galleries.AUDIT / "summary.json")["found"])
        where = _listed(len(audit), wrong, "reports/audit/suspects.csv")
        calls = f"{plural(wrong, 'label')} {'a likely error' if wrong == 1 else 'likely errors'} ({where})"
        found += [f"An audit of {plural(len(judged), 'image')} calls {calls}."] if wrong else []
    listed = {row["image_id"] for row in rows} | audit
    if listed:
        ledger = evidence.ledger[evidence.ledger["image_id"].isin(listed)]
        decided = int(ledger[ledger["detail"].str.contains(_BY_HAND)]["image_id"].nunique())
        were = "were" if decided > 1 else "was"
        found.append(f"Of the {plural(len(listed), 'image')} listed, {decided or 'none'} {were} decided by hand.")
    return [*found, *filter(None, [findings.changes(evidence.audit)])]


def _listed(listed: int, found: int, table: str) -> str:
    if not listed:
        return "none is listed"
    return f"listed in `{table}`" if listed == found else f"`{table}` lists the first {listed:,}"
