"""A command `python -m MODULE` in a process of its own, forked from one that has loaded its modules already.

`python -m stages.tools.forked` reads commands on standard input, for a node of a cluster.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import sys
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import children

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.process import BaseProcess

_CONTEXT = multiprocessing.get_context("forkserver")


def start(module: str, environment: dict[str, str], log: Path) -> BaseProcess:
    """Start the command in the working folder; it ends when this process ends, however that happens.

    Args:
        module: to run.
        environment: what to set beyond the environment of this process.
        log: what the command prints goes there.
    """
    children.short_sockets()
    _CONTEXT.set_forkserver_preload(["stages.tools.preload"])
    process = _CONTEXT.Process(target=_run, args=(module, environment, log))
    process.start()
    return process


def ended(running: Iterable[BaseProcess], seconds: float | None) -> list[BaseProcess]:
    """Wait until at least one process has ended, or for `seconds`; the processes that have ended."""
    processes = list(running)
    connection.wait([process.sentinel for process in processes], None if seconds is None else max(0, seconds))
    done = [process for process in processes if process.exitcode is not None]
    for process in done:
        process.join()
    return done


def _run(module: str, environment: dict[str, str], log: Path) -> None:
    children.end_with_parent()
    printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.environ.update(environment)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def serve() -> None:
    """Run the command on each line of standard input, and print its exit code; what runs ends with the input."""
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        process = start(asked["module"], asked["environment"], Path(asked["log"]))
        connection.wait([process.sentinel, sys.stdin.fileno()])
        if process.exitcode is None:  # no line comes before the answer, so the input has ended
            process.kill()  # nobody is left whom its output would reach
            process.join()
            return
        print(process.exitcode, flush=True)


if __name__ == "__main__":
    serve()
