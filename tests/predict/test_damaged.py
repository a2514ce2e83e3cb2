"""What `predict` says of a damaged file of a study."""

from pathlib import Path

import pytest

from stages.core import cells
from stages.core.errors import UserError
from stages.predict import model


def test_damaged_logits_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = cells.run_folder("x", 0) / "logits.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04junk")
    with pytest.raises(UserError, match=r"logits\.npz is damaged"):
        model._threshold("x", 0, 0.05)
