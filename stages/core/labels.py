"""What a label is, whether a source, a table or a person gives it."""

from __future__ import annotations

import unicodedata

LONGEST = 500  # letters, also of a reason or a name beside a decision
_JOINERS = "\u200c\u200d"  # between letters of Persian, Hindi and other scripts; not printed themselves


def tidy(label: str) -> str:
    """The label as everybody reads it: accents composed, no spaces around it, so that these make no second class."""
    return unicodedata.normalize("NFC", label).strip()


def fault(label: str) -> str:
    """Why a text cannot be a label; empty if it can."""
    if not label or label != label.strip().strip(_JOINERS):
        return "is empty or has a space at an end"
    if not label.translate(dict.fromkeys(map(ord, _JOINERS))).isprintable():
        return "has signs that cannot be printed"
    return f"has more than {LONGEST} letters" if len(label) > LONGEST else ""
