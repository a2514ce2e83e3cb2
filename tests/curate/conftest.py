"""A study that clean has run on, to be decided about."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from stages.core import files
from tests.clean.conftest import Raw, photo
from tests.curate.tabs import LABEL, NAME

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that clean has run on: copies, a conflict, a damaged file; names and labels with HTML in them."""
    raw = Raw(tmp_path_factory.mktemp("made"))
    raw.add("a/1.png", photo(1))
    raw.add("a/2.png", photo(1))
    raw.add("a/3.png", photo(3))
    raw.add(f"a/{NAME}", photo(3), LABEL)
    raw.add("a/wide.png", photo(5, 900, 40))
    raw.add("a/cut.png", (raw.root / "data/raw/files/a/1.png").read_bytes()[:3000])
    raw.row("a/none.png", file="", problem="vanished")
    for seed in range(10, 20):
        raw.add(f"b/{seed}.png", photo(seed), "b")
    raw.run()
    kept = next(row for row in raw.ledger().values() if row["path"] == "b/10.png")
    suspect = {"image_id": kept["image_id"], "label": "b", "predicted": "a", "cells": 4, "wrong": 3, "confidence": 0.9}
    files.write_rows(raw.root / "reports/suspects.csv", list(suspect), [suspect])
    files.write_json(raw.root / "reports/metrics.json", {"test": 1})
    return raw.root


@pytest.fixture
def root(cleaned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(cleaned, tmp_path / "study")
