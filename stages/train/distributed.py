"""One cell in several processes (decision 0309): each takes its share of a batch, torch averages the gradients.

In a process that is alone every function but `launch` does nothing, or hands back what it was given.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import tempfile
import traceback
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from stages.core import children, console, files
from stages.core.errors import UserError
from stages.train import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from stages.train.params import Cell

    Work = Callable[[Cell, str, int], None]


def processes() -> int:
    """How many processes train this cell."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; process 0 alone writes files and messages."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of a batch that are this process's: every row is in one share, and sizes differ by one at most."""
    return np.array_split(rows, processes())[rank()]


def trained(part: nn.Module) -> nn.Module:
    """`part`, which averages its gradients over the processes after each backward pass.

    Batch norm keeps to the images of its own process, as DistributedDataParallel has it by default.
    """
    return part if processes() == 1 else DistributedDataParallel(part, broadcast_buffers=False)


def summed(value: Tensor) -> Tensor:
    """The sum over the processes, the same bits in each."""
    if processes() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


@torch.no_grad()
def average_buffers(network: nn.Module) -> None:
    """Give all processes the mean of their running statistics; in float64, so that equal values stay as they are."""
    buffers = [b for b in network.buffers() if b.is_floating_point()]
    if processes() == 1 or not buffers:
        return
    mean = summed(torch.cat([b.double().flatten() for b in buffers])) / processes()
    for buffer, values in zip(buffers, torch.split(mean, [b.numel() for b in buffers]), strict=True):
        buffer.copy_(values.view_as(buffer))


@contextlib.contextmanager
def rehearsal(network: nn.Module, device: torch.device) -> Iterator[None]:
    """The block is a step that leaves no trace, since DistributedDataParallel rounds differently in its first step."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    for buffer, before in buffers:
        buffer.copy_(before)
    for parameter in network.parameters():
        parameter.grad = None


@contextlib.contextmanager
def first() -> Iterator[None]:
    """The block runs in process 0 before it runs in the others."""
    if rank():
        dist.barrier()
    yield
    if processes() > 1 and not rank():
        dist.barrier()


def launch(work: Work, cell: Cell, variant: str, seed: int) -> None:
    """Run `work(cell, variant, seed)`, a function of a module, in `cell.processes` processes; all end when one fails.

    Raises:
        UserError: there are fewer GPUs than processes, or a process was killed.
        Exception: what the first process that failed raised.
    """
    count, gpus = cell.processes, torch.cuda.device_count()
    if machine.choose(cell).type == "cuda" and gpus < count:
        raise UserError(
            f"params.yaml: `processes: {count}` needs a GPU for each, and torch sees {gpus} here; "
            f"set `processes: {gpus}`, or `device: cpu`"
        )
    with tempfile.TemporaryDirectory(prefix="evenhand-") as folder:
        spawn = multiprocessing.get_context("spawn")
        given = (work, cell, variant, seed, Path(folder))
        started: list[BaseProcess] = [spawn.Process(target=_run, args=(i, *given)) for i in range(count)]
        try:
            _start(started)
            codes: list[int | None] = [None] * count
            while None in codes and not any(codes):
                connection.wait([p.sentinel for p, code in zip(started, codes, strict=True) if code is None])
                codes = [p.exitcode for p in started]
        finally:
            children.stop(started)
        told = sorted(Path(folder).glob("error-*"), key=lambda path: path.stat().st_mtime_ns)
        for i, code in enumerate(codes):
            if code and (code < 0 or not told):
                how = f"by signal {-code}" if code < 0 else f"with {code}"
                how += ", often for lack of memory" if code == -signal.SIGKILL else ""
                raise UserError(
                    f"{variant}-{seed}: process {i + 1} of {count} ended {how}, and the cell with it; the same command "
                    "goes on from the last checkpoint"
                )
        if told:  # the first; the others only say that they have lost the process that failed
            raise pickle.loads(told[0].read_bytes())  # noqa: S301 - ours, in a folder of our own


def _start(processes: list[BaseProcess]) -> None:
    """Start processes that ignore Ctrl-C, which reaches all processes of a terminal; the parent ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for process in processes:
            process.start()
    finally:
        signal.signal(signal.SIGINT, before)


def _run(rank: int, work: Work, cell: Cell, variant: str, seed: int, folder: Path) -> None:
    """The main function of each process."""
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        children.end_with_parent()
        console.in_child(silent=rank > 0)
        try:
            _join(rank, cell, folder)
            work(cell, variant, seed)
            dist.destroy_process_group()
        except Exception as error:  # noqa: BLE001 - it is raised again by `launch`
            _tell(error, folder / f"error-{rank}")
            os._exit(1)  # at once: an orderly end would wait for the others
    except KeyboardInterrupt:  # by SIGTERM, be it while an error is told; the exit code says so
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _join(rank: int, cell: Cell, folder: Path) -> None:
    """Meet the others: over NCCL, each on a GPU of its own, or over gloo."""
    device = machine.prepare(cell)
    if device.type == "cuda":
        torch.cuda.set_device(rank)
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    if loopback:  # gloo would ask for the address of the machine's name, which may have none
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=dist.FileStore(str(folder / "store"), cell.processes),  # type: ignore[attr-defined]
        rank=rank,
        world_size=cell.processes,
        device_id=torch.device("cuda", rank) if device.type == "cuda" else None,
    )


def _tell(error: Exception, place: Path) -> None:
    """Leave an error to `launch`."""
    error.add_note(traceback.format_exc())
    try:
        told = pickle.dumps(error)
        pickle.loads(told)  # noqa: S301 - it was made here; some errors cannot be read back
    except Exception:  # noqa: BLE001 - whatever its class does
        told = pickle.dumps(RuntimeError(traceback.format_exc()))
    with files.atomic(place) as partial:
        partial.write_bytes(told)
