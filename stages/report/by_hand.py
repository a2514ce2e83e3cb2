"""Decisions that a person made about files (`data/curation.csv`), as clean counted them in audit.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.report.wording import names, plural

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = {
    "drop": "dropped", "keep": "kept", "relabel": "relabelled", "not_same": "told apart", "together": "put together",
}  # fmt: skip
SHOWN = 3  # decisions without effect that are named


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


def late(audit: Mapping[str, Any]) -> list[str]:
    """A caveat where decisions were made with test figures in sight."""
    found = audit.get("by_hand") or {}
    count, applied = found.get("after_test_figures", 0), sum(found.get("applied", {}).values())
    if not count:
        return []
    return [
        (
            f"Of {plural(applied, 'decision')} by hand on files, {count:,} {'was' if count == 1 else 'were'} made "
            "after test results of this study had been reported. Those who decided could know these results, so the "
            "test results are not independent of the decisions."
        )
    ]
