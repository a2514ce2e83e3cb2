"""What workers are given in test_isolate: well-behaved, hungry, slow and deadly."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stages.clean import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.clean.pictures import Task


def work(item: str | int) -> object:
    """Do what the item says; a number is squared."""
    if isinstance(item, int):
        return item * item
    kind, _, rest = item.partition(" ")
    return _JOBS[kind](rest)


def of_file(task: Task) -> object:
    """Do what the text in a file says."""
    return work(Path(task[0].file).read_text(encoding="utf-8"))


def threads(_: int) -> int:
    """How many threads this process has after some linear algebra."""
    import numpy as np

    np.linalg.svd(np.ones((300, 300)) + np.eye(300))
    return len(list(Path("/proc/self/task").iterdir()))


def _crash(_: str) -> None:
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def _loop(_: str) -> None:
    while True:
        pass


def _killed_once(flag: str) -> str:
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def _hold(folder: str) -> str:
    """Say that it is at work, and wait while a file is there."""
    Path(folder, f"at-work-{os.getpid()}").touch()
    while Path(folder, "hold").exists():
        time.sleep(0.02)
    return "held"


def _refuse(detail: str) -> None:
    raise decode.Refused("unreadable", detail)


def _bug(detail: str) -> None:
    raise ValueError(detail)


_JOBS: dict[str, Callable[[str], object]] = {
    "crash": _crash,
    "exit": lambda _: os._exit(3),
    "loop": _loop,
    "sleep": lambda _: time.sleep(600),
    "eat": lambda megabytes: len(bytearray(int(megabytes) << 20)),
    "killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "killed-once": _killed_once,
    "hold": _hold,
    "refuse": _refuse,
    "bug": _bug,
    "missing": lambda path: Path(path).read_bytes(),
    "where": lambda name: sys.modules[name].__file__,
    "pid": lambda _: os.getpid(),
}
