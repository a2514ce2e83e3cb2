from pathlib import Path

import pytest

from stages.core import cells
from stages.core.errors import UserError


def test_what_belongs_to_no_cell_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "runs/mlp/0/a",
        "runs/mlp/2/a",
        "results/old/0/a",
        "timings/mlp/0.json",
        "timings/mlp/2.inference.json",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")
    Path("results/cells.csv").write_text("")
    removed = cells.prune([("mlp", 0), ("mlp", 1)])
    assert [str(path) for path in removed] == ["runs/mlp/2", "results/old/0", "timings/mlp/2.inference.json"]
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["results/cells.csv", "runs/mlp/0/a", "timings/mlp/0.json"]
    assert not Path("results/old").exists()


@pytest.mark.parametrize("link", ["results/old", "results/mlp", "results", "runs", "runs/mlp/9"])
def test_nothing_is_removed_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str) -> None:
    kept = tmp_path / "archive" / ("mlp" if "/" not in link else "") / "7/a.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    (tmp_path / "study" / link).parent.mkdir(parents=True)
    (tmp_path / "study" / link).symlink_to(tmp_path / "archive")
    monkeypatch.chdir(tmp_path / "study")
    with pytest.raises(UserError, match=f"{link} is a link"):
        cells.prune([("mlp", 0)])
    assert kept.exists()


def test_cells_may_lie_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk/mlp/0").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path)
    cells.prune([("mlp", 0)])
