"""Cells (one variant x one seed): where each keeps its files, which one a stage runs, and removal of those that left.

`runs/` is heavy and lives in the DVC cache; `results/` is small and lives in git, so that a clone without any data can
be aggregated, reported and checked.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stages.core.params import Study

RUNS, RESULTS, TIMINGS = Path("runs"), Path("results"), Path("timings")
SPLIT = Path("data/split")
PARTS = ("train", "val", "test")  # of a split
HISTORY = ("epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1")  # columns of history.csv


class SplitEntry(TypedDict):
    """One split of the study in data/split/summary.json."""

    seeds: list[int]
    counts: dict[str, dict[str, int]]  # part -> label -> images


class SplitSummary(TypedDict):
    """data/split/summary.json."""

    splits: list[SplitEntry]


class Sheet(TypedDict):
    """The description of a sprite: gradcam.json, samples.json, inputs_<variant>.json (no px if there is no sprite)."""

    px: NotRequired[int]
    columns: NotRequired[int]
    tiles: list[dict[str, Any]]


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
    """Seconds and hardware of a cell; DVC does not lock them, since they differ from run to run."""
    return TIMINGS / variant / f"{seed}.json"


def from_command_line(study: Study, program: str) -> tuple[str, int]:
    """The cell that `--variant` and `--seed` name; without them, the cell of the DVC stage that runs.

    DVC names its stage (`train@cnn-1`) in the environment, so that no name from params.yaml stands in a shell command.

    Raises:
        UserError: the study has no such cell.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description="Run one cell: one variant, one seed.")
    parser.add_argument("--variant", help="a key of `variants` in params.yaml")
    parser.add_argument("--seed", type=int, help="one of `seeds` in params.yaml")
    chosen = parser.parse_args()
    names = study.by_name
    stage = os.environ.get("DVC_STAGE", "").rpartition("@")[2]
    if chosen.variant is None and chosen.seed is None and stage:
        asked = stage
    elif chosen.variant is None or chosen.seed is None:
        parser.error("name a cell with --variant and --seed")
    else:
        asked = f"{chosen.variant}-{chosen.seed}"
    if asked not in names:
        some = ", ".join(list(names)[:10]) + (", ..." if len(names) > 10 else "")
        raise UserError(f"params.yaml: there is no cell {asked!r}; the cells (variant-seed) are {some}")
    return names[asked]


def prune(cells: Iterable[tuple[str, int]]) -> list[Path]:
    """Remove every `<variant>/<seed>` folder under runs/, results/ and timings/ that is no cell of the study.

    DVC leaves the outputs of a removed cell behind: they would be committed, and read as results of this study. Called
    by `aggregate`, which runs whenever anything under results/ changed, be it by a checkout of another commit.

    Returns:
        The folders removed, sorted.

    Raises:
        UserError: such a folder lies behind a link, where files may belong to somebody else.
    """
    wanted = {(variant, str(seed)) for variant, seed in cells}
    found = [path for top in (RUNS, RESULTS, TIMINGS) for path in sorted(top.glob("*/*"))]
    stale = [path for path in found if (path.parent.name, path.name.split(".")[0]) not in wanted]
    for path in stale:
        if link := next((one for one in (path.parent.parent, path.parent, path) if one.is_symlink()), None):
            raise UserError(
                f"{path} is no cell of this study, but {link} is a link, and nothing is removed behind one; remove "
                "the link, or move what is no cell away"
            )
    for path in stale:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return stale
