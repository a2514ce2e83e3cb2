"""No value of params.yaml reaches a shell; every command says a sentence; DVC's own files are whole at every moment."""

import datetime as dt
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.cells.conftest import INSTALLED

PIPELINE = YAML(typ="safe").load((tiny.ROOT / "dvc.yaml").read_text())["stages"]
DVC = (sys.executable, "-m", "dvc")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.copy(tmp_path_factory.mktemp("hostile"))


def change(study: Path, key: tuple[str, ...], value: Any) -> None:
    """params.yaml as committed, but for this key."""
    tiny.run(study, "git", "checkout", "--quiet", "params.yaml")

    def edit(params: dict[str, Any]) -> None:
        for part in key[:-1]:
            params = params[part]
        params[key[-1]] = value

    tiny.edit(study / "params.yaml", edit)


def test_this_environment_has_the_guard() -> None:
    for name, path in INSTALLED.items():
        spec = importlib.util.find_spec(name)
        assert spec is not None, "`make setup` puts it into .venv"
        assert spec.origin is not None
        assert Path(spec.origin).read_bytes() == path.read_bytes(), "`make setup` renews it"


def test_no_command_holds_a_value() -> None:
    assert {stage["cmd"] for stage in PIPELINE.values()} == {f"python -m stages.{name}" for name in PIPELINE}


HOSTILE: list[tuple[tuple[str, ...], Any]] = [
    (("variants", "a;touch {mark}"), {}),
    (("variants", "$(touch {mark})"), {}),
    (("variants", "a\ntouch {mark}"), {}),
    (("variants", "-c 'touch {mark}'"), {}),
    (("seeds",), ["0;touch {mark}"]),
    (("seeds",), [{"a;touch {mark}": 1}]),
    (("study",), "`touch {mark}`"),
    (("root",), "$(touch {mark})/.."),  # it was a key once
    (("ingest", "path"), "$(touch {mark})"),  # a path with an odd name, as such
]


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, pytest.param(False, marks=pytest.mark.weekly)], ids=["guarded", "any DVC"])
@pytest.mark.parametrize(("key", "value"), HOSTILE, ids=ascii)
def test_no_value_reaches_a_shell(
    study: Path, guard: str, tmp_path: Path, key: tuple[str, ...], value: Any, guarded: bool
) -> None:
    mark = tmp_path / "mark"
    key = tuple(part.replace("{mark}", str(mark)) for part in key)
    change(study, key, json.loads(json.dumps(value).replace("{mark}", str(mark))))
    environment = {"PYTHONPATH": guard} if guarded else {}
    for stage in ("cells", "train", "track"):
        output = tiny.run(study, *DVC, "repro", "--single-item", stage, check=False, **environment)
        assert not mark.exists(), output
        if guarded and key[0] in ("variants", "seeds", "study"):
            assert "ERROR: params.yaml: " in output


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (("ingest", "path"), 2024, "`ingest.path` is 2024"),
        (("seeds",), 3, "`seeds` must be a list"),
        (("variants",), {"../../tests": {}}, "a variant's name has letters, digits and underscores only"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (("ingest", "path"), None, "`ingest.path` is None"),
                (("ingest", "path"), "https://127.0.0.1:9/x", "which is no path"),
                (("variants",), ["mlp"], "`variants` must be a mapping"),
                (("study",), "../../x", "`study` is '../../x'; it is a name"),
                (("report", "leak"), ["a"], "`report.leak` is ['a']"),
            )
        ),
    ],
)
def test_every_command_says_a_sentence(study: Path, guard: str, key: tuple[str, ...], value: Any, said: str) -> None:
    change(study, key, value)
    command = ("status",) if "seeds" in key else ("repro", "--single-item", "train")
    output = tiny.run(study, *DVC, *command, check=False, PYTHONPATH=guard)
    assert "ERROR: params.yaml: " in output
    assert said in output
    assert "unexpected error" not in output


@pytest.mark.slow
@pytest.mark.parametrize("line", ["%YAML 1.2", "%TAG ! x", "%"])
def test_a_directive_is_named(study: Path, guard: str, line: str) -> None:
    tiny.run(study, "git", "checkout", "--quiet", "params.yaml")
    text = (study / "params.yaml").read_text()
    (study / "params.yaml").write_text(f"# of mine\n{line}\n---\n{text}")
    output = tiny.run(study, *DVC, "status", check=False, PYTHONPATH=guard)
    assert "ERROR: params.yaml: line 2 begins with %" in output
    tiny.run(study, "git", "checkout", "--quiet", "params.yaml")


COMMANDS = [
    ("repro",),
    ("repro", "--single-item", "train"),
    ("status",),
    ("exp", "run", "-S", "lr=0.002"),
    ("exp", "run", "--queue", "-S", "lr=0.002"),
    ("exp", "run", "--temp", "-S", "lr=0.002"),
    ("exp", "show"),
    ("params", "diff"),
    ("dag",),
    ("stage", "list"),
    ("checkout",),
]
WRONG = {
    "seeds": (("seeds",), 3, "`seeds` must be a list"),
    "date": (("ingest", "path"), dt.date(2024, 1, 1), "`ingest.path` is datetime.date(2024, 1, 1)"),
    "null": (("ingest", "path"), None, "`ingest.path` is None"),
    "number": (("ingest", "path"), 2024, "`ingest.path` is 2024"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [c if number < 3 else pytest.param(c, marks=pytest.mark.weekly) for number, c in enumerate(COMMANDS)],
    ids=" ".join,
)
@pytest.mark.parametrize("wrong", WRONG)
def test_whichever_command_says_it(study: Path, guard: str, command: tuple[str, ...], wrong: str) -> None:
    key, value, said = WRONG[wrong]
    change(study, key, value)
    output = tiny.run(study, *DVC, *command, check=False, PYTHONPATH=guard)
    assert "unexpected error" not in output
    assert "Traceback" not in output
    if command[0] not in ("params", "exp") or command[1] == "run":  # the others show what can be shown
        assert said in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seeds=3", "`seeds` must be a list"),
        ("ingest.path=2024", "`ingest.path` is 2024"),
        ("ingest.path=null", "`ingest.path` is None"),
        ("study=../x", "it is a name"),
        ("lr=.inf", "`lr` is"),
        ("variants.mlp=3", "`variants.mlp` must be a mapping"),
    ],
)
def test_a_wrong_setting_of_an_experiment_says_it(study: Path, guard: str, setting: str, said: str) -> None:
    tiny.run(study, "git", "checkout", "--quiet", "params.yaml")
    output = tiny.run(study, *DVC, "exp", "run", "-S", setting, check=False, PYTHONPATH=guard)
    assert said in output
    assert "unexpected error" not in output


def test_a_pipeline_that_is_not_ours_is_left_alone(tmp_path: Path, guard: str) -> None:
    tiny.run(tmp_path, *DVC, "init", "--no-scm", "--quiet")
    (tmp_path / "dvc.yaml").write_text("stages:\n  cells:\n    cmd: echo ${seeds} > out\n    outs: [out]\n")
    (tmp_path / "params.yaml").write_text("seeds: 3\n")
    tiny.run(tmp_path, *DVC, "repro", PYTHONPATH=guard)
    assert (tmp_path / "out").read_text() == "3\n"


KILLED = """
import json, os, sys
from pathlib import Path
import dvc.rwlock as rwlock
from dvc.fs import localfs
from dvc.utils.serialize import _common, modify_yaml

def half(data, stream, **_):
    stream.write("{half"); stream.flush(); os._exit(9)

if sys.argv[1] == "dvc.lock":
    _common._dump_data("dvc.lock", {}, dumper=half, fs=localfs)
elif sys.argv[1] == "params.yaml":
    _common._dump_data("params.yaml", {}, dumper=half)
else:
    rwlock.json.dump = half
    with rwlock.rwlock(str(Path.cwd()), localfs, "test", [], ["/a"], False):
        pass
"""


@pytest.mark.parametrize("name", ["dvc.lock", "params.yaml", "rwlock"])
def test_a_kill_while_dvc_writes_leaves_the_file_as_it_was(tmp_path: Path, guard: str, name: str) -> None:
    (tmp_path / name).write_text("{}")
    tiny.run(tmp_path, sys.executable, "-c", KILLED, name, check=False, PYTHONPATH=guard)
    assert (tmp_path / name).read_text() == "{}"
    assert list(tmp_path.glob(".partial-*")), "it was killed in the midst of writing"
    again = KILLED.replace('stream.write("{half"); stream.flush(); os._exit(9)', "json.dump(data, stream)")
    again = again.replace("rwlock.json.dump = half", "pass")
    tiny.run(tmp_path, sys.executable, "-c", again, name, PYTHONPATH=guard)
    assert not list(tmp_path.glob(".partial-*")), "the next run leaves nothing of it"


REWRITE = """
from dvc.utils.serialize import modify_yaml
with modify_yaml("params.yaml") as values:
    values["a"] = 2
"""


def test_a_link_to_a_file_that_dvc_rewrites_stays_a_link(tmp_path: Path, guard: str) -> None:
    (tmp_path / "real.yaml").write_text("a: 1 # why\n")
    (tmp_path / "real.yaml").chmod(0o640)
    (tmp_path / "params.yaml").symlink_to("real.yaml")
    tiny.run(tmp_path, sys.executable, "-c", REWRITE, PYTHONPATH=guard)
    assert (tmp_path / "params.yaml").is_symlink()
    assert (tmp_path / "real.yaml").read_text() == "a: 2 # why\n"
    assert (tmp_path / "real.yaml").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("left", ["", '{"write": {"/a"'])
def test_reservations_that_were_cut_before_are_dropped(study: Path, guard: str, left: str) -> None:
    tiny.run(study, "git", "checkout", "--quiet", "params.yaml")
    (study / ".dvc/tmp").mkdir(exist_ok=True)
    (study / ".dvc/tmp/rwlock").write_text(left)
    tiny.run(study, *DVC, "repro", "--single-item", "cells", PYTHONPATH=guard)
    assert json.loads((study / ".dvc/tmp/rwlock").read_text()) == {}
