from pathlib import Path

import pytest
from pydantic import Field

from stages.core import params
from stages.core.errors import UserError
from stages.core.params import Section

GOOD = """
study: s
root: .
lr: 1e-3
seeds: [0, 1]
variants: {mlp: {}}
ingest: {}
clean: {}
split: {}
train: {}
evaluate: {}
aggregate: {}
report: {}
"""


class Inner(Section):
    threshold: int = Field(default=4, ge=0)


class Outer(Section):
    inner: Inner = Inner()
    size: int = 8


def read(tmp_path: Path, text: str) -> params.Study:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return params.read(path)


def test_numbers_are_parsed_as_dvc_parses_them(tmp_path: Path) -> None:
    study = read(tmp_path, GOOD)
    assert study.lr == 0.001
    assert study.cells == [("mlp", 0), ("mlp", 1)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [0, 1]", "seed: [0, 1]", "unknown key `seed`; did you mean `seeds`?"),
        ("split: {}\n", "", "the key `split` is missing"),
        ("[0, 1]", "[0, 1, 0]", "`seeds` names 0 twice"),
        ("[0, 1]", "[0, -1]", "whole numbers from 0 up"),
        ("[0, 1]", "[]", "at least one entry"),
        ("1e-3", "fast", "`lr` is 'fast'; it must be a number above 0"),
        ("1e-3", "0", "`lr` is 0; it must be a number above 0"),
        ("{mlp: {}}", "{}", "`variants` must be a mapping"),
        ("{mlp: {}}", "{a.b: {}}", "`variants.a.b`: a variant's name has letters"),
        ("{mlp: {}}", "{mlp: 3}", "`variants.mlp` must be a mapping"),
        ("study: s", "study: [", "is not valid YAML"),
    ],
)
def test_a_wrong_top_level_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, GOOD.replace(old, new))
    assert message in str(error.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run from the folder of a study"):
        params.read(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"treshold": 3}}, "unknown key `outer.inner.treshold`; did you mean `threshold`?"),
        ({"inner": {"threshold": -1}}, "`outer.inner.threshold` is -1"),
        ({"size": "8"}, "`outer.size` is '8'"),
        ({"size": True}, "`outer.size` is True"),
        (None, "`outer` is None"),
    ],
)
def test_a_wrong_section_is_named(values: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        params.section(Outer, values, "outer")
    assert message in str(error.value)
