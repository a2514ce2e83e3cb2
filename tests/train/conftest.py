"""The engine runs in a fresh folder with a tiny study in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.train import made

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    made.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path
