"""Processes beside this one: how many have a core each, and how they end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Let this process of `multiprocessing` end when its parent ends, even by `kill -9`."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - for the type checker: this is a child
    parent.join()
    os._exit(1)
