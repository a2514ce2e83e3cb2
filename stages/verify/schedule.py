"""Runs stages again in a scratch copy; those that do not need each other run side by side."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from stages.core.console import progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from tqdm import tqdm

    from stages.verify.lock import Lock
    from stages.verify.scratch import Place

Chain = tuple[str, ...]
SHOWN = 15  # lines of a failed run


def run(again: Place, recorded: Lock, stages: list[str], jobs: int, label: str) -> list[str]:
    """Run `stages`, each with all that it needs of them before it, by at most `jobs` processes of DVC at once.

    Each process takes a chain, since DVC needs two seconds to start. What needs a stage that failed is not run.

    Args:
        again: the scratch copy.
        recorded: dvc.lock, which knows who needs whom.
        stages: in an order in which they could run one by one.
        jobs: 1: all of them one by one, in one process.
        label: of the progress bar.

    Returns:
        What went wrong, in the order of the stages, whichever ended first.
    """
    graph: dict[Chain, set[Chain]] = chains(recorded.needs, stages) if jobs > 1 else {tuple(stages): set()}
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    failed: dict[Chain, list[str]] = {}
    running: dict[Future[list[str]], Chain] = {}
    bar: tqdm[Any] = progress(total=len(stages), desc=label, unit=" stages")
    with bar, ThreadPoolExecutor(jobs) as pool:
        while sorter.is_active():
            for chain in sorter.get_ready():
                if graph[chain] & failed.keys():
                    failed[chain] = []
                    sorter.done(chain)
                else:
                    running[pool.submit(_repro, again, chain, bar.update)] = chain
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                chain = running.pop(future)
                if errors := future.result():
                    failed[chain] = errors
                sorter.done(chain)
    return [line for chain in graph for line in failed.get(chain, [])]


def cores() -> int:
    """How many there are for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chains(needs: dict[str, list[str]], stages: list[str]) -> dict[Chain, set[Chain]]:
    """Stages that can only run one after the other as one chain; chain -> the chains that it needs.

    Args:
        needs: stage -> all those that it needs.
        stages: the stages to run, each after those that it needs.
    """
    before: dict[str, set[str]] = {}  # all that must be done, however far back
    for stage in stages:
        direct = [need for need in needs[stage] if need in before]
        before[stage] = set(direct).union(*(before[need] for need in direct))
    # What is left of the arrows when each that follows from others is taken away.
    last = {
        stage: {n for n in before[stage] if not any(n in before[other] for other in before[stage])} for stage in stages
    }
    followers = {stage: [other for other in stages if stage in last[other]] for stage in stages}
    found: list[list[str]] = []
    at: dict[str, int] = {}
    for stage in stages:
        only = next(iter(last[stage])) if len(last[stage]) == 1 else None
        if only is not None and len(followers[only]) == 1:
            at[stage] = at[only]
            found[at[only]].append(stage)
        else:
            at[stage] = len(found)
            found.append([stage])
    return {
        tuple(chain): {tuple(found[at[need]]) for stage in chain for need in before[stage] if at[need] != at[stage]}
        for chain in found
    }


def _repro(again: Place, chain: Chain, tick: Callable[[], object]) -> list[str]:
    """Run a chain in one process; the lines that say why it failed, none where it did not."""
    # Two processes share dvc.lock: each waits for the other where DVC itself would give up after three seconds.
    status, output = again.lines(["--wait-for-lock", "repro", "--single-item", "--keep-going", *chain], tick)
    errors = [line for line in output if line.startswith(("ERROR", "error"))] or output[-SHOWN:]
    return (errors or [f"{' '.join(chain)}: DVC ended with {status}"]) if status else []
