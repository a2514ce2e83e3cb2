"""Stage `cells`: check params.yaml whole, list the cells, remove what belongs to cells that are gone.

DVC leaves the outputs of a removed cell behind: they would be committed, and read as results of this study.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from stages.core.cells import RESULTS, RUNS, TIMINGS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def prune(cells: Iterable[tuple[str, int]]) -> list[Path]:
    """Remove every `<variant>/<seed>` folder under runs/, results/ and timings/ that is no cell of the study.

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
