"""The processor, and processes beside this one: how many have a core each, how they end with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import shutil
import tempfile
import threading
from multiprocessing import process, util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.process import BaseProcess

LONGEST = 70  # bytes of a temporary folder; a socket has a name of up to 104, of which 32 follow


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The model of the processor, as Linux names it."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def short_sockets() -> None:
    """Let `multiprocessing` keep its sockets in /tmp where TMPDIR is too long for their names, as on some clusters."""
    config = process.current_process()._config  # type: ignore[attr-defined] # noqa: SLF001 - no public way
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST and not config.get("tempdir"):
        config["tempdir"] = folder = tempfile.mkdtemp(prefix="pymp-", dir="/tmp")
        util.Finalize(None, shutil.rmtree, (folder, True), exitpriority=-100)


def end_with_parent() -> None:
    """Let this process of `multiprocessing` end when its parent ends, even by `kill -9`."""
    threading.Thread(target=_wait, daemon=True).start()


def stop(running: Iterable[BaseProcess]) -> None:
    """End processes as a polite kill does, and by force those that take too long over it."""
    begun = [child for child in running if child.pid is not None]
    for child in begun:
        child.terminate()
    for child in begun:
        child.join(10)
        child.kill()
        child.join()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - for the type checker: this is a child
    parent.join()
    os._exit(1)
