import errno
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core import errors, files, seeding
from stages.core.errors import UserError


def _fail_halfway(path: Path) -> None:
    with files.atomic(path) as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")


def _stop_halfway(path: Path) -> None:
    with files.fresh_folder(path) as new:
        (new / "b").write_text("half")
        raise KeyboardInterrupt


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    files.write_text(path, "old\n")
    with pytest.raises(OSError, match="No space"):
        _fail_halfway(path)
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_filling_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with files.fresh_folder(path) as new:
        (new / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _stop_halfway(path)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "a"]


def test_names_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    files.write_text(tmp_path / ("x" * 251 + ".txt"), "text")


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"name": 'a\n"b",\u2028c\rd', "value": 0.1 + 0.2}, {"name": "NA", "value": None}]
    files.write_rows(tmp_path / "a.csv", ["name", "value"], rows)
    assert files.read_rows(tmp_path / "a.csv") == [
        {"name": 'a\n"b",\u2028c\rd', "value": "0.3"},
        {"name": "NA", "value": ""},
    ]


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv is not here; `dvc repro` makes it"):
        files.read_rows(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("statement", "code", "message"),
    [
        ("raise UserError('key `x` is wrong')", 1, "error: key `x` is wrong"),
        ("raise OSError(28, 'No space left on device', 'a.csv')", 1, "error: a.csv: No space left on device"),
        ("raise KeyboardInterrupt", 130, "interrupted: nothing half-written is left"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 130, "interrupted"),
        ("assert False", 1, "AssertionError"),
    ],
)
def test_a_stage_ends_with_a_sentence_and_a_code(statement: str, code: int, message: str) -> None:
    program = f"from stages.core.errors import UserError, run\ndef main():\n    {statement}\nrun(main)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert errors.__file__  # the module under test is the one that the child imports


def test_purposes_do_not_share_random_numbers() -> None:
    assert seeding.number(0, "order") != seeding.number(0, "augmentation")
    assert seeding.number(0, "order", 1) != seeding.number(0, "order", 2)
    assert seeding.number(7, "order", 1) == seeding.number(7, "order", 1)
