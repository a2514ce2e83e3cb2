"""Labels, whether a source, a table or a person gives them."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 500  # letters, also of a reason or a name beside a decision
_JOINERS = "\u200c\u200d"  # between letters of Persian, Hindi and other scripts; not printed themselves
# Invisible letters and marks (Unicode's Default_Ignorable_Code_Point), and the blank of Braille.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def tidy(label: str) -> str:
    """The label with composed accents and without spaces around it, so that these make no second class."""
    return unicodedata.normalize("NFC", label).strip()


def fault(label: str) -> str:
    """Why a text cannot be a label; empty if it can."""
    if not label or label != label.strip().strip(_JOINERS):
        return "is empty or has a space at an end"
    if not label.translate(dict.fromkeys(map(ord, _JOINERS))).isprintable():
        return "has signs that cannot be printed"
    return f"has more than {LONGEST} letters" if len(label) > LONGEST else ""


def with_unseen(label: str) -> str:
    """The label in quotes, with escapes for invisible characters."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], repr(label))


def sight(label: str) -> str:
    """The look of a label: without case, width, spaces, invisible characters, and how a number is written."""
    seen = _UNSEEN.sub("", unicodedata.normalize("NFKC", label).casefold())
    text = "".join(c for c in seen if unicodedata.category(c) not in {"Cf", "Cc", "Zl", "Zp", "Zs"})
    return repr(float(text)) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text) else text  # 1, 01 and 1.0


def alike(labels: set[str]) -> list[list[str]]:
    """Labels that look the same."""
    same: dict[str, list[str]] = {}
    for label in sorted(labels):
        same.setdefault(sight(label), []).append(label)
    return [found for found in same.values() if len(found) > 1]
