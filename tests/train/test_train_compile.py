"""`compile: true`: the same training, through torch's compiler."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from stages.train.run import run
from tests.train import made

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # torch's compiler uses what torch deprecates
    pytest.mark.slow,
    pytest.mark.weekly,
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs g++ for code of the CPU"),
]


def test_a_compiled_cell_trains_alike_and_has_the_same_bytes_twice(study: Path) -> None:
    dropout = {**made.CNN_BN, "layers": ["conv", "activation", "pool", "dropout"]}
    for variant, compiled in (("plain", False), ("compiled", True), ("again", True)):
        run(made.settings(dropout, compile=compiled, epochs=2), variant, 0)
    plain, compiled, again = (np.load(study / f"runs/{v}/0/logits.npz")["test"] for v in ("plain", "compiled", "again"))
    assert (compiled == again).all()  # dropout included
    assert np.abs(plain - compiled).max() < 1e-4


def test_a_compiled_cell_in_two_processes_trains_alike(study: Path) -> None:
    plain = {**made.CNN_BN, "blocks": [{"filters": [8]}], "layers": ["conv", "activation", "pool"]}
    run(made.settings(plain, epochs=2), "plain", 0)
    run(made.settings(plain, epochs=2, compile=True, processes=2), "both", 0)
    one, both = (np.load(study / f"runs/{v}/0/logits.npz")["test"] for v in ("plain", "both"))
    assert np.abs(one - both).max() < 1e-4
