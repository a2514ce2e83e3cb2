"""Whatever stands in params.yaml or in a table between two stages: it is read, or refused in one sentence."""

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages.core import files, params, rendered
from stages.core.errors import UserError
from tests import tiny

FIXED = settings(
    max_examples=100, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
ROOT = (tiny.ROOT / "params.yaml").read_bytes()
RAW = YAML(typ="safe").load(ROOT)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=8), v, max_size=3))


TEXTS = {key: json.dumps({name: part for name, part in RAW.items() if name != key})[1:-1] for key in params.TOP_LEVEL}


def text_of(key: str, value: Any) -> bytes:
    """A params.yaml with this value; what is the same in all is written once, since ruamel.yaml takes its time."""
    stream = io.BytesIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = True
    yaml.width = 2**31
    yaml.dump({key: value}, stream)
    return stream.getvalue().rstrip().removesuffix(b"}") + f", {TEXTS[key]}}}\n".encode()


def one_sentence(error: Exception) -> None:
    assert "\n" not in str(error), "one line of a terminal"


@FIXED
@given(st.data())
def test_a_damaged_file_of_settings_is_read_or_refused(data: st.DataObject) -> None:
    where = data.draw(st.integers(0, len(ROOT)))
    length = data.draw(st.integers(0, 40))
    put = data.draw(
        st.binary(max_size=20) | st.sampled_from([b"[" * 500, b"&a [*a]", b"<<: *x", b"\x00", b"\xff", b"? :"])
    )
    try:
        rendered.check(rendered.parse(ROOT[:where] + put + ROOT[where + length :]))
    except rendered.RefusedError as error:
        one_sentence(error)


@FIXED
@given(key=st.sampled_from(sorted(params.TOP_LEVEL)), value=VALUES)
def test_any_value_of_any_key_is_taken_or_refused(tmp_path: Path, key: str, value: Any) -> None:
    from stages.cells.check import check

    try:
        path = tmp_path / "params.yaml"
        path.write_bytes(text_of(key, value))
        study = params.read(path)
        check(study)
    except (rendered.RefusedError, UserError) as error:
        one_sentence(error)
    else:
        for name, seed in study.cells:
            assert (name + str(seed) + study.name).isprintable()
            assert not set(name) & set("/.;$`'\"\\ ")


TABLE = b'image_id,split,label,value\nabc,train,a b,0.5\ndef,test,"c,d",1e-3\n\'=x,val,e,\n'


@FIXED
@given(st.integers(0, len(TABLE)), st.integers(0, 30), st.binary(max_size=12))
def test_a_damaged_table_is_read_or_refused(tmp_path: Path, where: int, length: int, put: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(TABLE[:where] + put + TABLE[where + length :])
    with contextlib.suppress(UserError):
        assert all(float(row["value"] or 0) is not None for row in files.read_rows(path, ["value"]))
    with contextlib.suppress(UserError):
        assert len(files.read_frame(path, ["image_id", "label"], ["value"]).columns) >= 3


@FIXED
@given(st.lists(st.lists(st.text(max_size=8).filter(str.isprintable), min_size=2, max_size=2), max_size=5))
def test_any_text_comes_back_from_a_table(tmp_path: Path, texts: list[list[str]]) -> None:
    rows = [{"a": a, "b": b} for a, b in texts]
    files.write_rows(tmp_path / "t.csv", ["a", "b"], rows)
    assert files.read_rows(tmp_path / "t.csv") == rows


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lr", int(HUGE), "`lr` has a number of 1,329 bits"),
        ("clean", RAW["clean"] | {"max_pixels": int(HUGE)}, "`clean.max_pixels` has a number of 1,329 bits"),
        ("split", RAW["split"] | {"val": 2**64}, "`split.val` has a number of 65 bits"),
        ("clean", RAW["clean"] | {"workers": 100_000}, "`clean.workers` is 100000"),
        ("clean", RAW["clean"] | {"seconds": 1e300}, "`clean.seconds` is 1e"),
        ("clean", RAW["clean"] | {"gigabytes": 1e300}, "`clean.gigabytes` is 1e"),
        ("seeds", list(range(10_001)), "cells; 10,000 are the most"),
        ("seeds", [*range(900), 7], "`seeds` names 7 twice"),
        ("variants", {"MLP": {}, "mlp": {}}, "`MLP` and `mlp`, which differ in case alone"),
        ("ingest", {"source": "urls", "path": "a.csv", "connections": 10**9}, "`ingest.connections` is 1000000000"),
        ("ingest", {"source": "urls", "path": "a.csv", "timeout_seconds": 1e300}, "`ingest.timeout_seconds` is 1e"),
        ("clean", RAW["clean"] | {"duplicates": ["x" * 100_000]}, "`clean.duplicates` is"),
    ],
)
def test_what_would_take_the_machine_is_refused(tmp_path: Path, key: str, value: Any, said: str) -> None:
    from stages.cells.check import check

    (tmp_path / "params.yaml").write_text(json.dumps(RAW | {key: value}))  # which is YAML too
    with pytest.raises(UserError) as refused:
        check(params.read(tmp_path / "params.yaml"))
    assert said in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("leader", ["=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
@pytest.mark.parametrize("before", ["", " ", "\n", "\xa0", "\ufeff", "\u200b", "'"])
def test_no_cell_is_computed(tmp_path: Path, leader: str, before: str) -> None:
    text = f"{before}{leader}HYPERLINK(1)"
    files.write_rows(tmp_path / "t.csv", ["a"], [{"a": text}])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a"], [f"'{text}"]]
    assert files.read_rows(tmp_path / "t.csv") == [{"a": text}]
