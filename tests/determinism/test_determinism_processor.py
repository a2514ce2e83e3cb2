"""With `instruction_set: portable` a cell's bytes do not depend on who made the processor."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.determinism import cell, processor

pytestmark = pytest.mark.slow
STUDY: dict[str, Any] = YAML(typ="safe").load((tiny.ROOT / "params.yaml").read_text())
WHITENED = {"model": {"name": "mlp", "widths": [64]}, "normalise": [{"name": "scale"}, {"name": "zca"}]}
VARIANTS = STUDY["variants"] | {"whitened": WHITENED}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Answer -> library to preload."""
    return processor.answers(tmp_path_factory.mktemp("answers"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny version of each variant of the default study, and one that decomposes a matrix; nothing is trained."""

    def change(params: dict[str, Any]) -> None:
        params["seeds"] = [0]
        params["train"]["epochs"] = 3
        params["variants"] = VARIANTS

    made = tiny.copy(tmp_path_factory.mktemp("processor"), change)
    tiny.run(made, "dvc", "repro", "split")
    return made


def made(study: Path, variant: str, library: str) -> dict[str, str]:
    """The digests of everything that a cell is locked by, trained and evaluated."""
    for folder in ("runs", "results", ".cache", ".checkpoints"):
        shutil.rmtree(study / folder, ignore_errors=True)
    for stage in ("train", "evaluate"):
        command = (sys.executable, "-m", f"stages.{stage}", "--variant", variant, "--seed", "0")
        tiny.run(study, *command, PYTHONPATH=".", LD_PRELOAD=library)
    paths = [path for top in ("runs", "results") for path in (study / top).rglob("*") if path.is_file()]
    return {str(path.relative_to(study)): cell.digest(study, str(path.relative_to(study))) for path in sorted(paths)}


def test_the_answer_decides_about_a_product_and_portable_takes_no_notice(answers: dict[str, str]) -> None:
    """Otherwise the test below would prove nothing."""
    strict = {processor.product(LD_PRELOAD=library, MKL_CBWR="AVX2,STRICT") for library in answers.values()}
    if len(strict) == 1:
        pytest.skip("MKL takes the same kernels on this processor, whatever the answer")
    portable = {processor.product(LD_PRELOAD=library, MKL_CBWR="COMPATIBLE") for library in answers.values()}
    assert len(portable) == 1


def test_portable_is_the_default_study_s() -> None:
    assert STUDY["train"]["instruction_set"] == "portable"


@pytest.mark.parametrize(
    "variant", [name if name == "mlp" else pytest.param(name, marks=pytest.mark.weekly) for name in VARIANTS]
)
def test_a_cell_comes_out_the_same_on_either_make(study: Path, answers: dict[str, str], variant: str) -> None:
    intel, another = (made(study, variant, library) for library in answers.values())
    assert len(intel) >= 12
    assert intel == another
