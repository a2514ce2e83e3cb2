"""Where a cell (one variant x one seed) keeps its files.

`runs/` is heavy and lives in the DVC cache; `results/` is small and lives in git, so that a clone without any data can
be aggregated, reported and checked.
"""

from __future__ import annotations

from pathlib import Path

RUNS, RESULTS, TIMINGS = Path("runs"), Path("results"), Path("timings")


def run_folder(variant: str, seed: int) -> Path:
    """`model.safetensors` and `logits.npz` of a cell."""
    return RUNS / variant / str(seed)


def train_folder(variant: str, seed: int) -> Path:
    """`config.json` and `history.csv` of a cell, written by train."""
    return RESULTS / variant / str(seed) / "train"


def evaluate_folder(variant: str, seed: int) -> Path:
    """Metrics, tables and pictures of a cell, written by evaluate."""
    return RESULTS / variant / str(seed) / "evaluate"


def timing_file(variant: str, seed: int) -> Path:
    """Seconds and hardware of a cell: outside what DVC locks, since they never come out twice."""
    return TIMINGS / variant / f"{seed}.json"
