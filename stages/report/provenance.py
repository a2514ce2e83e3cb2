"""The foot of the page: what the numbers were made from; no commit and no time, so that its bytes come out again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import cells, files

if TYPE_CHECKING:
    from stages.report.evidence import Evidence

INPUTS = ("params.yaml", "data/clean/ledger.csv", "data/clean/manifest.csv", "data/split/summary.json")


def build(evidence: Evidence) -> dict[str, Any]:
    """Fingerprints of inputs and cells; the machine types that train wrote down and what clean read pictures with."""
    configs = evidence.configs
    splits = [str(cells.split_file(split["seeds"][0])) for split in evidence.split["splits"]]
    return {
        "inputs": [(name, files.sha256(Path(name))) for name in (*INPUTS, *splits, "reports/runs.csv")],
        "cells": [(variant, seed, str(config.get("fingerprint", ""))) for (variant, seed), config in configs.items()],
        "machines": _distinct([config.get("machine") for config in configs.values()]),
        "libraries": _words(evidence.audit["libraries"]),
        "weights": _weights(configs),
    }


def _weights(configs: dict[tuple[str, int], dict[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    """Each file of pretrained weights, and the variants that started from it."""
    used: dict[str, tuple[dict[str, str], list[str]]] = {}
    for (variant, _), config in configs.items():
        if found := config.get("weights"):
            variants = used.setdefault(str(found), (found, []))[1]
            variants += [variant] if variant not in variants else []
    return [(", ".join(variants), found) for found, variants in used.values()]


def _distinct(values: list[Any]) -> list[str]:
    """Each different value once, as words, in the order of first use."""
    return list(dict.fromkeys(_words(value) for value in values if value))


def _words(value: Any) -> str:
    return ", ".join(f"{k} {_words(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)
