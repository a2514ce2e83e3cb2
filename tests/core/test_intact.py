"""Damage between the stages is one sentence that names the file and the command; formulas are text."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core import cells, files, intact
from stages.core.errors import UserError
from tests import tiny

METRICS = "results/mlp/0/evaluate/metrics.csv"
WHOLE = "split,metric,value\ntest,top1,0.5\nval,top1,\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name: str, data: bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (WHOLE.encode("utf-16"), "it is not UTF-8 text"),
        (WHOLE[:-8].encode(), "it ends within a row"),
        (WHOLE.replace("0.5", '"0.5').encode(), "unexpected end of data"),
        (WHOLE.replace(",0.5", "").encode(), "row 2 has 2 fields, the first row 3"),
        (WHOLE.replace(",0.5", ",0.5,7").encode(), "row 2 has 4 fields, the first row 3"),
        (WHOLE.replace("0.5", "half").encode(), "row 2 has 'half' where value is a number"),
        (WHOLE.replace("value", "worth").encode(), "it has no column 'value'"),
        (WHOLE.replace("metric", "split").encode(), "two columns have the same name"),
    ],
)
def test_a_damaged_table_is_named_with_the_command(data: bytes, why: str) -> None:
    put(METRICS, data)
    with pytest.raises(UserError) as error:
        files.read_rows(METRICS, ["value"])
    assert str(error.value).startswith(f"{METRICS} is damaged ({why}")
    assert str(error.value).endswith("`dvc repro evaluate@mlp-0` makes it again")
    with pytest.raises(UserError, match="is damaged"):
        files.read_frame(METRICS, ["split", "metric"], ["value"])


def test_a_column_that_is_asked_for_later_is_named_too() -> None:
    put(METRICS, WHOLE.encode())
    with pytest.raises(UserError, match=r"it has no column 'label'.*evaluate@mlp-0"):
        files.read_rows(METRICS)[0]["label"]


@pytest.mark.parametrize(
    ("name", "data", "shape", "why"),
    [
        ("data/split/classes.json", b"", list[str], "no JSON.*`dvc repro split`"),
        ("data/split/classes.json", b'["a"', list[str], "no JSON"),
        ("data/split/classes.json", b'{"a": 1}', list[str], "list.*`dvc repro split`"),
        ("data/split/classes.json", b"[1]", list[str], "0: .*string"),
        ("data/split/summary.json", b'{"splits": [{"seeds": "0"}]}', cells.SplitSummary, "splits.0"),
        ("data/split/summary.json", b"[" * 99_999, cells.SplitSummary, "nested too deep"),
        ("data/clean/audit.json", b"[]", dict[str, Any], "dictionary.*`dvc repro clean`"),
        ("data/clean/audit.json", b"\xff\xfe", dict[str, Any], "not UTF-8"),
        ("data/clean/audit.json", b"9" * 9999, dict[str, Any], "digits"),
        ("results/a/3/train/config.json", b'{"cell": NaN', dict[str, Any], "`dvc repro train@a-3`"),
    ],
)
def test_damaged_json_is_named_with_the_command(name: str, data: bytes, shape: Any, why: str) -> None:
    put(name, data)
    with pytest.raises(UserError, match=rf"^{name} is damaged .*{why}"):
        files.read_json(name, shape)


def test_a_key_that_is_asked_for_later_is_named_too() -> None:
    put("data/clean/audit.json", b'{"inner": {"a": 1}}')
    with pytest.raises(UserError, match=r"audit.json is damaged \(it has no 'b'\)"):
        files.read_json("data/clean/audit.json")["inner"]["b"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_cut_arrays_and_tensors_are_named(share: float) -> None:
    from safetensors.numpy import save_file

    path = put("runs/mlp/0/logits.npz", b"")
    np.savez(path, test=np.ones((20, 3), np.float32))
    model = path.with_name("model.safetensors")
    save_file({"a": np.ones((20, 3), np.float32)}, str(model))
    assert list(intact.arrays(path, ["test"])) == ["test"]
    assert list(intact.tensors(model)) == ["a"]
    for file in (path, model):
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(UserError, match=r"logits.npz is damaged .*`dvc repro train@mlp-0`"):
        intact.arrays(path, ["test"])
    with pytest.raises(UserError, match=r"model.safetensors is damaged .*`dvc repro train@mlp-0`"):
        intact.tensors(model)


FORMULAS = [
    "=HYPERLINK(1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "'=1",
    "''=1",
    "'",
    "it's",
    "-",
    "",
]


def test_formulas_are_text_for_a_spreadsheet_and_themselves_for_us() -> None:
    files.write_rows("data/clean/t.csv", ["a", "n"], [{"a": text, "n": -0.5} for text in FORMULAS])
    assert [row["a"] for row in files.read_rows("data/clean/t.csv")] == FORMULAS
    assert [row["n"] for row in files.read_rows("data/clean/t.csv", ["n"])] == ["-0.5"] * len(FORMULAS)
    import csv

    with Path("data/clean/t.csv").open(newline="") as file:
        shown = [row["a"] for row in csv.DictReader(file)]
    assert not [text for text in shown if text[:1] and text[0] in "=+-@\t\r"]
    frame = files.read_frame("data/clean/t.csv", ["a"], ["n"])
    assert frame["a"].tolist() == FORMULAS
    assert frame["n"].tolist() == [-0.5] * len(FORMULAS)


STAGE = """
from stages.core import errors, files
def main():
    int(files.read_rows("data/split/seeds/0.csv")[0]["image_id"])
errors.run(main)
"""


def stage(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(tiny.ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_fails_on_a_changed_file_names_it_and_a_bug_keeps_its_traceback() -> None:
    path = put("data/split/seeds/0.csv", b"image_id,split\nx,train\n")
    digest = intact.md5(path.parent)
    lock = {"stages": {"split": {"cmd": "x", "outs": [{"path": "data/split/seeds", "md5": digest}]}}}
    Path("dvc.lock").write_text(json.dumps(lock))
    assert "Traceback" in stage(STAGE).stderr
    path.write_bytes(b"image_id,split\ny,train\n")
    done = stage(STAGE)
    assert done.stderr.startswith("error: data/split/seeds is not what the stage left (ValueError")
    assert done.stderr.endswith("`dvc repro split` makes it again\n")
    assert len(done.stderr.splitlines()) == 1


def test_the_hash_of_a_folder_is_dvcs(tmp_path: Path) -> None:
    from dvc.fs import localfs
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db.local import LocalHashFileDB

    for name in ("ice/1.jpg", "ice cream/1.jpg", "ice-tea/1.jpg", "ice.txt", "Ice/é.jpg", "ice/a/b"):
        put(str(tmp_path / "raw" / name), name.encode())
    db = LocalHashFileDB(localfs, str(tmp_path / "db"))  # type: ignore[no-untyped-call]
    _, _, found = build(db, str(tmp_path / "raw"), localfs, "md5", dry_run=True)
    assert intact.md5(tmp_path / "raw") == found.hash_info.value


@pytest.mark.parametrize(
    "words",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("... PytorchStreamWriter failed writing file data/1"),
    ],
)
def test_a_full_disk_is_one_sentence_with_the_place(words: Exception) -> None:
    program = f"""
from stages.core import errors, files
def main():
    with files.atomic("runs/a/0/model.safetensors") as partial:
        raise {words!r}
errors.run(main)
"""
    done = stage(program)
    assert done.returncode == 1
    assert done.stderr == (
        "error: runs/a/0/model.safetensors: No space left on device; free space on its disk, then run the same "
        "command again\n"
    )
    assert not list(Path("runs/a/0").iterdir())
