"""A study that was trained and summed up: one network, two seeds."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny

SEEDS = [0, 1]
STAGES = """
import runpy, sys
for stage, *cell in [["ingest"], ["clean"], ["split"], *[[s, "--variant", "cnn", "--seed", n]
                     for s in ("train", "evaluate") for n in "01"], ["aggregate"], ["pictures"]]:
    sys.argv = [stage, *cell]
    runpy.run_module(f"stages.{stage}", run_name="__main__")
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    def change(params: dict) -> None:  # type: ignore[type-arg]
        params["study"] = "tiny one"
        params["seeds"] = SEEDS
        model = {"name": "cnn", "blocks": [{"filters": [8]}], "layers": ["conv", "batch_norm", "activation"]}
        params["variants"] = {"cnn": {"model": model, "epochs": 8, "lr": 0.01, "normalise": [{"name": "featurewise"}]}}
        params["evaluate"]["robustness"] = {"brightness": [1.0, 0.2]}

    folder = tiny.copy(tmp_path_factory.mktemp("export"), change)
    tiny.run(folder, sys.executable, "-c", STAGES)
    yield folder
    shutil.rmtree(folder)
