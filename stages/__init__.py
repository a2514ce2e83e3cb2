"""The pipeline: one folder is one stage of dvc.yaml.

NumPy and OpenBLAS take the newest kernels that a processor has, and these differ in the last bit. So both stay at AVX2,
as PyTorch's libraries do for `train.instruction_set: portable`. They read these variables when they are loaded, which
is after this file (decision 0007).
"""

import os
import platform

if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")
    os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR")
