"""dvc.lock, as `verify` reads it."""

import json
import os
from pathlib import Path

import pytest

from stages.core import intact
from stages.core.errors import UserError
from stages.verify import difference, lock, rerun
from stages.verify.scratch import Place
from tests import tiny


def test_what_is_in_the_cache_is_read_from_dvc_yaml(tmp_path: Path) -> None:
    tiny.run(tmp_path, "git", "init", "--quiet")
    tiny.run(tmp_path, "dvc", "init", "--quiet")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  a: {cmd: x, outs: [raw]}\n  b:\n    matrix: {v: [x, y]}\n    cmd: x\n    deps: [raw]\n"
        "    outs: ['runs/${item.v}/m', {'res/${item.v}': {cache: false}}]\n"
    )
    outs = [{"path": path, "md5": "0" * 32} for path in ("raw", "runs/x/m", "res/x", "runs/old/m")]
    written = {"schema": "2.0", "stages": {"a": {"cmd": "x", "outs": outs}}}
    (tmp_path / "dvc.lock").write_text(json.dumps(written))  # JSON is YAML
    assert lock.cached(Place(tmp_path, ".")) == {"raw", "runs/x/m", "runs/old/m"}


def recorded(outs: dict[str, list[str]], deps: dict[str, list[str]]) -> lock.Lock:
    made, needed = ({stage: dict.fromkeys(paths, "0") for stage, paths in kind.items()} for kind in (outs, deps))
    return lock.Lock(made, needed)


def test_stages_are_run_after_those_that_they_need_whatever_the_order_of_the_lock() -> None:
    outs = {
        "report": ["reports"],
        "train@a-0": ["runs/a/0", "results/a/0"],
        "clean": ["clean/m.csv"],
        "ingest": ["raw"],
    }
    deps = {"report": ["results"], "train@a-0": ["clean/m.csv"], "clean": ["raw"], "ingest": []}
    assert recorded(outs, deps).order == ["ingest", "clean", "train@a-0", "report"]
    with pytest.raises(UserError, match="depend on each other in a circle"):
        _ = recorded({"a": ["x"], "b": ["y"]}, {"a": ["y"], "b": ["x"]}).order


def test_a_lock_that_dvc_did_not_write_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    assert lock.read(Place(tmp_path, ".")).outs == {}
    path.write_text("stages: {a: {outs: [{path: x, md5: 00000000000000000000000000000000}]}}")  # a number, for YAML
    assert lock.read(Place(tmp_path, ".")).made == {"x": "0"}
    for text, words in (
        (": : [", "is not valid YAML"),
        ("stages: [a]", "does not have the form that DVC writes"),
        ("[" * 600, "is nested too deep"),
        ("stages: {a: {outs: [{path: /home/you}]}}", "has the output '/home/you'"),
        ("stages: {a: {outs: [{path: b/../../c}]}}", r"has the output 'b/\.\./\.\./c'"),
        ('stages: {a: {outs: [{path: "b\\0"}]}}', "has the output"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=f"dvc.lock {words}"):
            lock.read(Place(tmp_path, "."))


def test_a_source_may_lie_outside_of_the_study(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("stages: {a: {deps: [{path: ../b, md5: x}, {path: /c, md5: y}]}}")
    assert lock.read(Place(tmp_path, ".")).deps == {"a": {"../b": "x", "/c": "y"}}


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    assert not intact.md5(tmp_path / "pipe")
    assert difference.first(tmp_path / "file", tmp_path / "pipe") == "a pipe or a device stands in its place"


def test_a_stage_that_is_named_like_no_cell_is_none() -> None:
    names = ["train@cnn-1", "train@x", "train@x-y", "train@x-" + "1" * 5000, "evaluate@cnn-1"]
    assert rerun._cells(recorded({name: [] for name in names}, {})) == [("cnn", 1)]
