"""An exported model against torch on the CPU: pictures a second of both, in the folder of a study.

    cd studies/NAME && python -m stages.export --int8 && PYTHONPATH=../.. python ../../benchmarks/export.py

Both get the same pictures in groups of 16, and a thread for each core. Prints CPU seconds too, which other processes
disturb less; exit 1 where ONNX is not 1.5 times as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
GOAL, BATCH = 1.5, 16

if TYPE_CHECKING:
    from stages.export.parity import Run


def main() -> None:
    """Measure the files in export/."""
    import torch

    from stages.export import graph, parity
    from stages.predict import model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    arguments = parser.parse_args()
    stated = json.loads(Path("export/parity.json").read_text("utf-8"))
    ensemble = model.Ensemble.trained(stated["variant"], stated["seeds"], model.UNLIKE)
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as onnxruntime; the study may have told it one
    runs = {"torch": parity.by_torch(graph.Graph(ensemble))}
    runs |= {path.name: parity.by_onnx(path) for path in sorted(Path("export").glob("*.onnx"))}
    shape = (arguments.pictures, ensemble.size, ensemble.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = {name: _measured(run, images, arguments.repeats) for name, run in runs.items()}
    for name, one in found.items():
        one["times_torch"] = round(found["torch"]["seconds"] / one["seconds"], 2)
        one["times_torch_cpu"] = round(found["torch"]["cpu_seconds"] / one["cpu_seconds"], 2)
        print(name, json.dumps(one))
    sys.exit(0 if found["model.onnx"]["times_torch"] >= GOAL else 1)


def _measured(run: Run, images: np.ndarray[Any, np.dtype[np.uint8]], repeats: int) -> dict[str, float]:
    """The best of some repeats, after one group to warm up."""
    run(images[:BATCH])
    best = (np.inf, np.inf)
    for _ in range(repeats):
        start, cpu = time.perf_counter(), sum(os.times()[:2])
        for first in range(0, len(images), BATCH):
            run(images[first : first + BATCH])
        best = min(best, (time.perf_counter() - start, sum(os.times()[:2]) - cpu))
    return {
        "pictures_a_second": round(len(images) / best[0], 1),
        "seconds": round(best[0], 4),
        "cpu_seconds": round(best[1], 3),
    }


if __name__ == "__main__":
    main()
