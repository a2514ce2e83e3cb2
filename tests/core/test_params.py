from pathlib import Path

import pytest
from pydantic import Field

from stages.core import params
from stages.core.errors import UserError
from stages.core.params import Section

GOOD = """
study: s
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
    share: float = 0.5


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
        ("{mlp: {}}", "{a.b: {}}", "`variants` has 'a.b'; a variant's name has letters"),
        ("{mlp: {}}", "{mlp: 3}", "`variants.mlp` must be a mapping"),
        ("study: s", "study: [", "is not valid YAML"),
        ("study: s", "study: ../../x", "`study` is '../../x'; it is a name"),
        ("study: s", "study: 3", "`study` is 3; it is a name"),
        ("study: s", "study: .", "it is a name"),
        ("study: s", 'study: "a\\nb"', "it is a name"),
        ("1e-3", ".inf", "`lr` is inf; it must be a number above 0"),
        ("1e-3", ".nan", "`lr` is nan"),
        ("[0, 1]", "[0, 99999999999999999999]", "`seeds` has a number of 67 bits, which is too large; 63 are the most"),
        (
            "[0, 1]",
            f"[0, 0x1{'0' * 4000}]",
            "`seeds` has a number of 16,001 bits",
        ),  # Python prints none of 4,300 digits
        ("{mlp: {}}", f"{{? 0x1{'0' * 4000} : {{}}}}", "`variants` has a number of 16,001 bits"),
        ("{mlp: {}}", "{" + "m" * 101 + ": {}}", "a variant's name has letters"),
        ("1e-3", "1" * 5000, "is not valid YAML"),
        ("1e-3", "2024-13-45", "is not valid YAML"),
        ("1e-3", "!!int ''", "is not valid YAML: the parser stopped with IndexError"),
        ("split: {}", "split: " + "[" * 3000 + "]" * 3000, "is nested too deep; 60 levels are the most"),
        ("split: {}", "split: " + "[" * 80 + "]" * 80, "is nested too deep; 60 levels are the most"),
        ("split: {}", "split: &a [*a]", "an alias (`*name`) stands within what it repeats"),
        ("split: {}", "split: \0", "it has a zero byte"),
        ("split: {}", "split: &a {<<: *a}", "alias"),
    ],
)
def test_a_wrong_top_level_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, GOOD.replace(old, new))
    assert message in str(error.value)


BOMB = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
MERGES = "b0: &b0 {x: 1}\n" + "".join(f"b{i}: &b{i} {{<<: [{', '.join([f'*b{i - 1}'] * 9)}]}}\n" for i in range(1, 12))


@pytest.mark.parametrize("bomb", [BOMB, MERGES])
def test_aliases_that_stand_for_billions_of_values_are_refused_at_once(tmp_path: Path, bomb: str) -> None:
    with pytest.raises(UserError, match=r"aliases .* stand for more than 200,000 values"):
        read(tmp_path, bomb)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD.encode("utf-16"), "is not UTF-8 text"),
        (GOOD.replace("study: s", "study: b\u00e9").encode("latin-1"), "is not UTF-8 text"),
        (b"# " + b"x" * 200_001, "more than 200,000"),
        (b"", "must be a mapping"),
        (b"- a\n", "must be a mapping"),
        (b"--- {}\n--- {}\n", "is not valid YAML"),
    ],
)
def test_bytes_that_are_no_settings_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        params.read(path)


def test_a_name_may_be_in_any_script_and_aliases_may_be_used(tmp_path: Path) -> None:
    text = GOOD.replace("study: s", "study: B\u00e4ume (2)")
    text = text.replace("clean: {}", "clean: &a {}\n").replace("split: {}", "split: *a")
    study = read(tmp_path, "\ufeff" + text)
    assert study.name == "B\u00e4ume (2)"


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run from the folder of a study"):
        params.read(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"treshold": 3}}, "unknown key `outer.inner.treshold`; did you mean `threshold`?"),
        ({"inner": {"threshold": -1}}, "`outer.inner.threshold` is -1"),
        ({"size": "8"}, "`outer.size` is '8'"),
        ({"share": float("inf")}, "`outer.share` is inf"),
        ({"size": True}, "`outer.size` is True"),
        (None, "`outer` is None"),
    ],
)
def test_a_wrong_section_is_named(values: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        params.section(Outer, values, "outer")
    assert message in str(error.value)
