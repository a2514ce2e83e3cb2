"""MKL asks whether the processor is Intel's; a preloaded library answers in its place. Other bits, the same machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

PRODUCT = """
import hashlib, torch
torch.set_num_threads(1)
x = torch.randn(67, 193, generator=torch.Generator().manual_seed(0))
print(hashlib.sha256((x @ x.T).numpy().tobytes()).hexdigest())
"""


def answers(folder: Path) -> dict[str, str]:
    """Answer -> library to preload; skips the test where there is no compiler."""
    if not shutil.which("gcc"):
        pytest.skip("gcc, which builds the answers, is not here")
    built = {}
    for name, value in (("Intel", 1), ("another", 0)):
        source, library = folder / f"{name}.c", folder / f"{name}.so"
        source.write_text(f"int mkl_serv_intel_cpu_true(void) {{ return {value}; }}\n")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
        built[name] = str(library)
    return built


def product(**environment: str) -> str:
    """The bits of a product of matrices, as text."""
    return tiny.run(tiny.ROOT, sys.executable, "-c", PRODUCT, check=True, **environment)


def other_bits(folder: Path) -> dict[str, str]:
    """Variables with which this machine, of the type that it is, computes other bits."""
    plain = product()
    found = [library for library in answers(folder).values() if product(LD_PRELOAD=library) != plain]
    if not found:
        pytest.skip("MKL takes the same kernels on this processor, whatever the answer")
    return {"LD_PRELOAD": found[0]}
