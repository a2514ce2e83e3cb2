"""Stages that do not need each other run side by side, and what is said of them does not depend on who ends first."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.verify import scratch
from stages.verify.lock import Lock
from stages.verify.scratch import Place

NEEDS = {
    "cells": [],
    "ingest": [],
    "clean": ["ingest"],
    "split": ["clean"],
    "train@a-0": ["clean", "split"],
    "train@a-1": ["clean", "split"],
    "evaluate@a-0": ["clean", "split", "train@a-0"],
    "evaluate@a-1": ["clean", "split", "train@a-1"],
    "aggregate": ["cells", "split", "train@a-0", "train@a-1", "evaluate@a-0", "evaluate@a-1"],
    "report": ["cells", "clean", "split", "train@a-0", "train@a-1", "evaluate@a-0", "evaluate@a-1", "aggregate"],
}
HEAD = ["ingest", "clean", "split"]
CELLS = [[f"train@a-{seed}", f"evaluate@a-{seed}"] for seed in (0, 1)]


def test_cells_run_after_what_they_need_and_before_the_rest() -> None:
    assert scratch.waves(NEEDS, list(NEEDS)) == [[HEAD], CELLS, [["cells", "aggregate", "report"]]]
    assert scratch.waves(NEEDS, [*HEAD, "aggregate"]) == [[], [], [[*HEAD, "aggregate"]]]


def test_of_some_stages_only_those_are_run_and_waited_for() -> None:
    assert scratch.waves(NEEDS, CELLS[0]) == [[], [CELLS[0]], []]
    assert scratch.waves(NEEDS, [*HEAD, *CELLS[1]]) == [[HEAD], [CELLS[1]], []]


def run(monkeypatch: pytest.MonkeyPatch, fails: str, jobs: int) -> tuple[list[str], list[str]]:
    """What is said, and which stages were begun, where `fails` names one that does not come to its end."""
    begun: list[str] = []

    def lines(_: Place, command: list[str], tick: Callable[[], object]) -> tuple[int, list[str]]:
        """In place of DVC; the first cell takes longest."""
        chain = command[command.index("--keep-going") + 1 :]
        begun.extend(chain)
        time.sleep(0.2 if "train@a-0" in chain else 0)
        tick()
        wrong = [f"ERROR: {stage}" for stage in chain if fails in stage]
        return int(bool(wrong)), wrong

    monkeypatch.setattr(Place, "lines", lines)
    outs = {stage: {stage: "0"} for stage in NEEDS}
    recorded = Lock(outs, {stage: dict.fromkeys(needs, "0") for stage, needs in NEEDS.items()})
    assert recorded.needs == NEEDS
    return scratch.run(Place(Path(), "."), recorded, list(NEEDS), jobs, "run again"), begun


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_each_stage_runs_once_after_those_that_it_needs(monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    said, begun = run(monkeypatch, "none", jobs)
    assert said == []
    assert sorted(begun) == sorted(NEEDS)
    assert all(begun.index(need) < begun.index(stage) for stage, needs in NEEDS.items() for need in needs)


def test_what_failed_is_said_in_the_order_of_the_stages_and_what_needs_it_is_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, begun = run(monkeypatch, "train", 8)
    assert said == ["ERROR: train@a-0", "ERROR: train@a-1"]  # the second ended first
    assert not {"aggregate", "report"} & set(begun)
    assert {*CELLS[0], *CELLS[1]} < set(begun)


def test_a_process_that_dies_without_a_word_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "lines", lambda *_: (-9, []))
    recorded = Lock({"a": {"a": "0"}, "b": {"b": "0"}}, {"a": {}, "b": {"a": "0"}})
    assert scratch.run(Place(Path(), "."), recorded, ["a", "b"], 2, "run again") == ["a b: DVC ended with -9"]


ORDER = """
from stages.verify.lock import Lock
outs = {name: {name: "0"} for name in "abcdefgh"}
print(Lock(outs, {name: dict.fromkeys("fgh" if name < "f" else "", "0") for name in outs}).order)
"""


def test_the_order_of_findings_is_not_that_of_a_set() -> None:
    """Two certificates of a commit agree to the letter, whatever Python hashes words to."""
    orders = {
        subprocess.run(
            [sys.executable, "-c", ORDER], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in "123"
    }
    assert len(orders) == 1
