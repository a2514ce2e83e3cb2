"""NumPy, SciPy and OpenBLAS take no kernels that only some x86-64 processors have."""

import json
import platform

import pytest

from tests import tiny

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have other kernels")
LOADED = """
import stages.aggregate
import json, numpy, scipy.linalg, threadpoolctl
from numpy._core._multiarray_umath import __cpu_features__ as found
libraries = [one["architecture"] for one in threadpoolctl.threadpool_info() if one["internal_api"] == "openblas"]
print(json.dumps({"libraries": libraries, "features": [name for name, on in found.items() if on]}))
"""


def loaded(**environment: str) -> dict[str, list[str]]:
    clean = ("env", "--unset=OPENBLAS_CORETYPE", "--unset=NPY_DISABLE_CPU_FEATURES")
    given = [f"{name}={value}" for name, value in environment.items()]
    found: dict[str, list[str]] = json.loads(tiny.run(tiny.ROOT, *clean, *given, "python", "-W", "error", "-c", LOADED))
    return found


def test_all_stay_at_avx2() -> None:
    found = loaded()
    assert found["libraries"]
    assert set(found["libraries"]) == {"Haswell"}
    assert not {"X86_V4", "AVX512_ICL", "AVX512_SPR"} & set(found["features"])


def test_a_variable_of_the_user_takes_precedence() -> None:
    assert "Haswell" not in loaded(OPENBLAS_CORETYPE="Prescott")["libraries"]
