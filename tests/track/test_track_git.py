"""Each run in MLflow says from which commit it came, and whether files differed from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.track import run
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_commit_and_whether_the_tree_differs_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run._git() == {}
    tiny.run(tmp_path, "git", "init", "--quiet")
    (tmp_path / "params.yaml").write_text("lr: 0.1\n")
    tiny.commit(tmp_path, "One")
    commit = tiny.run(tmp_path, "git", "rev-parse", "HEAD").strip()
    (tmp_path / "mlflow.db").write_text("a file that git does not know")
    assert run._git() == {"mlflow.source.git.commit": commit, "git.dirty": "false"}
    (tmp_path / "params.yaml").write_text("lr: 0.2\n")
    assert run._git() == {"mlflow.source.git.commit": commit, "git.dirty": "true"}
