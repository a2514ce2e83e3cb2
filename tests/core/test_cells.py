from pathlib import Path

import pytest

from stages.core import cells


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
