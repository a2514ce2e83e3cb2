"""The settings of every variant, resolved and flat, and in which of them variants differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stages.report.wording import MISSING

if TYPE_CHECKING:
    from stages.report.evidence import Evidence


def resolved(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Variant -> `optimizer.name`, `epochs`, ... as train used them; lists stay whole."""
    seed = evidence.study.seeds[0]
    return {variant: dict(flat(evidence.configs[variant, seed]["cell"])) for variant in evidence.variants}


def varied(settings: dict[str, dict[str, Any]]) -> list[str]:
    """Keys whose value is not the same for all variants, in the order of first use."""
    return [key for key in keys(settings) if len({text(values.get(key)) for values in settings.values()}) > 1]


def keys(settings: dict[str, dict[str, Any]]) -> list[str]:
    """Every key of any variant, in the order of first use."""
    return list(dict.fromkeys(key for values in settings.values() for key in values))


def text(value: Any) -> str:
    """A setting as it would stand in params.yaml, on one line."""
    return MISSING if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings by their dotted keys."""
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows
