"""`make new` on tmp_path/pictures, and what `ingest` makes of the study."""

from pathlib import Path
from typing import Any

import pytest

from stages.core import files
from stages.ingest import ingest
from stages.ingest.params import check_source
from tests.studies.new_folders import Rows, raw, run


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `make new` on tmp_path/pictures."""
    return lambda *flags, at=tmp_path / "pictures", name="mine": run(monkeypatch, tmp_path, at, *flags, name=name)


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `ingest` makes of the study: path -> row, of the pictures that are in it."""

    def rows(name: str = "mine") -> Rows:
        monkeypatch.chdir(tmp_path / "studies" / name)
        ingest(check_source(raw(tmp_path, name)["ingest"]))
        found = files.read_rows("data/raw/manifest.csv")
        return {row["path"]: row for row in found if row["file"] and row["label"]}

    return rows
