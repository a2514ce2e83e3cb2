"""`python -m stages.tools.timings`: timings/index.html, the seconds and memory of the cells, by hardware.

DVC does not lock these files, because seconds vary between runs. The page is made from `timings/<variant>/<seed>.json`
of train and `timings/<variant>/<seed>.inference.json` of evaluate. Cells that were restored from a cache have no such
file and are named.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import errors, files
from stages.core.cells import TIMINGS, timing_file
from stages.core.errors import UserError
from stages.report import evidence, page, published, training
from stages.report.figures import drawing
from stages.report.page import MISSING, number, size
from stages.report.ranking import METRIC
from stages.tools import this_machine

if TYPE_CHECKING:
    from stages.report.evidence import StudyEvidence

TEMPLATES = Path(__file__).parent / "templates"
NUMBERS = ("epoch_seconds_median", "epoch_seconds_first", "peak_memory_bytes", "peak_gpu_memory_bytes")
STALLED = 2.0  # an epoch that took so many times the median was delayed by something else


def main() -> None:
    """Render the timings of the study in the working folder."""
    write(evidence.read())


def write(found: StudyEvidence) -> None:
    """Write timings/index.html and timings/accuracy_time.png.

    Raises:
        UserError: no cell of this study left its timings here.
    """
    cells = {cell: timing for cell in found.study.cells if (timing := this_machine.timing(timing_file(*cell)))}
    if not cells:
        raise UserError(f"{TIMINGS} has no timings of these cells; only the machine that trains a cell has them")
    missing = [f"{variant} {seed}" for variant, seed in found.study.cells if (variant, seed) not in cells]
    means = found.test_top1
    rows = [_row(found, v, [t for (name, _), t in cells.items() if name == v], means[v]) for v in found.variants]
    shown = [row for row in rows if row["seconds"]]
    costs = training.costs(found)
    taken = {row["variant"]: row["seconds"] for row in shown}
    front = training.front(taken, means)
    params = {v: int(costs[v]["params_total"]) for v in taken}
    alt = f"Test top-1 against seconds of training, circles as large as the parameters; front: {', '.join(front)}."
    with drawing(TIMINGS) as figures:
        canvas = figures.canvas(4.6, 3.2)
        training.bubbles(canvas.subplots(), taken, means, params, front, "seconds to train one seed (median)")
        figure = figures.add("accuracy_time", canvas, alt)
    reported, systems = published.rows(found), published.systems(found)
    for row in rows:
        row["theirs"] = reported[systems[row["variant"]]] if row["variant"] in systems else None
    context = {"study": found.study.name, "rows": rows, "figure": figure, "missing": missing, "stalled": STALLED}
    files.write_text(TIMINGS / "index.html", page.render("timings.html.j2", context, TEMPLATES))


def _row(found: StudyEvidence, variant: str, timings: list[dict[str, Any]], top1: float) -> dict[str, Any]:
    known = {key: [t[key] for t in timings if t.get(key)] for key in NUMBERS}
    peak, gpu = (max(known[key], default=0) for key in ("peak_memory_bytes", "peak_gpu_memory_bytes"))
    seconds = statistics.median(t["seconds_to_fit"] for t in timings) if timings else None
    return {
        "variant": variant,
        "top1": number(top1, METRIC),
        "cells": len(timings),
        "hardware": ", ".join(sorted({str(t["hardware"]) for t in timings})) or MISSING,
        "seconds": seconds,
        "total": _median([seconds] if seconds is not None else []),
        "epoch": _median(known["epoch_seconds_median"]),
        "first": _median(known["epoch_seconds_first"]),
        "stalled": sum(_stalled(t.get("epoch_seconds") or []) for t in timings),
        "memory": size(peak, "B") if peak else MISSING,
        "gpu_memory": size(gpu, "B") if gpu else MISSING,
        "inference": _inference(found, variant),
    }


def _stalled(seconds: list[float]) -> int:
    """Epochs after the first that took more than twice the median."""
    later = seconds[1:]
    return sum(s > STALLED * statistics.median(later) for s in later) if len(later) > 2 else 0


def _inference(found: StudyEvidence, variant: str) -> list[dict[str, Any]]:
    """Median over seeds of ms per image, one at a time and in a batch, a row for each device."""
    rows: dict[str, list[dict[str, Any]]] = {}
    batch = 0
    for seed in found.study.seeds:
        timing = this_machine.timing(timing_file(variant, seed).with_suffix(".inference.json"))
        for value in timing.get("ms_per_image", {}).values():
            rows.setdefault(value["device"], []).append(value)
        batch = timing.get("batch", batch)
    return [
        {
            "device": device,
            "batch": batch,
            "one": f"{statistics.median(v['batch_1'] for v in values):.3g}",
            "large": f"{statistics.median(v['batch_large'] for v in values):.3g}",
        }
        for device, values in rows.items()
    ]


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3g} s" if seconds else MISSING


if __name__ == "__main__":
    errors.run(main)
