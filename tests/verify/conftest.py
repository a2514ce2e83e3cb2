"""The committed tiny study, run once per session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.verify import committed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run and committed; never change it, clone it."""
    return committed.make(tmp_path_factory.mktemp("committed"))


@pytest.fixture
def clone(study: Path, tmp_path: Path) -> Path:
    """A fresh clone to tamper with."""
    return committed.clone(study, tmp_path / "clone")
