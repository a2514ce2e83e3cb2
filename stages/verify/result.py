"""What a check found, in the words of the certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["equal", "within tolerance", "different", "missing", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, or that was judged by tolerance."""

    what: str  # a path, a stage or a cell
    verdict: Verdict
    detail: str


@dataclass
class Check:
    """One part of the verification: what it promises, how much it looked at, what it found."""

    name: str
    promise: str
    compared: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything that was promised was seen to be so."""
        return all(finding.verdict == "within tolerance" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One of the words above, for the whole check."""
        if not self.holds:
            failed = {finding.verdict for finding in self.findings} - {"within tolerance"}
            return "not checked" if failed == {"not checked"} else "different"
        if self.findings:
            return "within tolerance"
        return "equal" if self.compared else "not checked"

    def add(self, what: str, verdict: Verdict, detail: str) -> None:
        """Note one finding."""
        self.findings.append(Finding(what, verdict, detail))

    def as_json(self) -> dict[str, Any]:
        """For the certificate."""
        return {
            "check": self.name,
            "promise": self.promise,
            "verdict": self.verdict,
            "compared": self.compared,
            "findings": [vars(finding) for finding in self.findings],
            "notes": self.notes,
        }
