"""The device, the threads and other settings of the machine that decide about bits."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING, Any

import torch

from stages.core.errors import UserError

if TYPE_CHECKING:
    from stages.train.params import Cell
    from stages.train.zoo.network import Network

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
# MKL takes other kernels on processors that are not Intel's, on every branch but COMPATIBLE (decision 0007).
_LIMITS = {
    "portable": _AVX2 | {"MKL_CBWR": "COMPATIBLE"},
    "avx2": _AVX2 | {"MKL_CBWR": "AVX2,STRICT"},
    "native": {},
}


def prepare(cell: Cell) -> torch.device:
    """Set threads and deterministic algorithms for this process, and choose the device.

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    torch.set_num_threads(cell.threads)
    _keep_memory()
    # The libraries read these variables at their first operation, which comes later than this line.
    os.environ.update(_LIMITS[cell.instruction_set] | os.environ)  # who sets a lower limit around the process means it
    # Not `use_deterministic_algorithms`, which loads torch's compiler (two seconds) only to tell it the same.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # every tensor here is written before it is read
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with it
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return choose(cell)


def choose(cell: Cell) -> torch.device:
    """The device of a cell on this machine.

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    if cell.device == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if cell.device == "cuda":
        raise UserError("params.yaml: `device: cuda`, but torch sees no CUDA device here; `auto` takes what there is")
    return torch.device("cpu")


def autocast_dtype(cell: Cell, device: torch.device) -> torch.dtype | None:
    """The dtype of autocast, None for plain float32. `auto` is bfloat16 where the hardware computes in it."""
    if cell.precision == "auto":
        return torch.bfloat16 if _fast_bfloat16(device) else None
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[cell.precision]


def place(network: Network, cell: Cell, device: torch.device) -> Network:
    """The network on its device, in the memory layout of the cell."""
    if cell.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


def describe(cell: Cell, device: torch.device) -> dict[str, Any]:
    """The properties of the machine and of torch that the bits of a cell depend on."""
    dtype = autocast_dtype(cell, device)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "mkl": os.environ.get("MKL_CBWR"),
        "torch": torch.__version__,
        "threads": cell.threads,
        "autocast": str(dtype).removeprefix("torch.") if dtype else None,
    }


def _keep_memory() -> None:
    """Let glibc keep freed blocks of any size: handing batches back to the kernel and fetching zeroed pages costs more.

    Measured: input at 224 px twice as fast. Elsewhere (musl, macOS) there is no such switch, and nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def _fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the hardware; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - no public way
