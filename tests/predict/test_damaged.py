"""Damaged files of a study end `predict` with a sentence."""

from pathlib import Path

import pytest

from stages.core import cells, files
from stages.core.errors import UserError
from stages.predict import model


def test_damaged_logits_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = cells.run_folder("x", 0) / "logits.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04junk")
    with pytest.raises(UserError, match=r"logits\.npz is damaged"):
        model._threshold("x", 0, 0.05)


@pytest.mark.parametrize("rows", [[], [("test", "temperature", 2.0)], [("val", "temperature", "")]])
def test_a_network_without_its_temperature_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str, object]]
) -> None:
    """A temperature of 1 in its place would give other probabilities than the report."""
    monkeypatch.chdir(tmp_path)
    columns = ("split", "metric", "value")
    table = [("val", "top1", 0.5), *rows]
    path = cells.evaluate_folder("x", 0) / "metrics.csv"
    files.write_rows(path, columns, [dict(zip(columns, row, strict=True)) for row in table])
    with pytest.raises(UserError, match=r"metrics\.csv is damaged .*temperature.*dvc repro evaluate@x-0"):
        model._temperature("x", 0)
    files.write_rows(
        path, columns, [dict(zip(columns, row, strict=True)) for row in [*table, ("val", "temperature", 1.5)]]
    )
    assert model._temperature("x", 0) == 1.5
