"""Where a cell (one variant x one seed) keeps its files.

`runs/` is heavy and lives in the DVC cache; `results/` is small and lives in git, so that a clone without any data can
be aggregated, reported and checked.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

RUNS, RESULTS, TIMINGS = Path("runs"), Path("results"), Path("timings")
SPLIT = Path("data/split")


def split_file(seed: int) -> Path:
    """Which image is in which part, for the cells of a seed; every seed has a file, also where all share one split."""
    return SPLIT / "seeds" / f"{seed}.csv"


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


def prune(cells: Iterable[tuple[str, int]]) -> list[Path]:
    """Remove every `<variant>/<seed>` folder under runs/, results/ and timings/ that is no cell of the study.

    DVC leaves the outputs of a removed cell behind: they would be committed, and read as results of this study. Called
    by `aggregate`, which runs whenever anything under results/ changed, be it by a checkout of another commit.

    Returns:
        The folders removed, sorted.
    """
    wanted = {(variant, str(seed)) for variant, seed in cells}
    removed = []
    for top in (RUNS, RESULTS, TIMINGS):
        for variant in sorted(p for p in top.glob("*") if p.is_dir()):
            entries = sorted(variant.iterdir())
            stale = [e for e in entries if (variant.name, e.name.split(".")[0]) not in wanted]
            for entry in stale:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            if len(stale) == len(entries):
                variant.rmdir()
            removed += stale
    return removed
