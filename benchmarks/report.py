"""The report at its largest: 37 variants x 3 seeds x 10,000 test images, from made logits.

    python benchmarks/report.py [--variants 37] [--seeds 3] [--test 10000] [--classes 10] [--folder FOLDER]

Prints seconds, CPU seconds and peak memory of the process, and the size of the page; exit 1 beyond 90 CPU seconds, 2 GB
of memory or 10 MB of page. The made study is kept in FOLDER, so that it can be looked at and rendered again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MOST_SECONDS, MOST_MEMORY, MOST_PAGE = 90, 2e9, 10e6


def main() -> None:
    """Make the study where it is not there yet, render it in a process of its own, measure."""
    from tests.report.made_study import Made, make

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("variants", 37), ("seeds", 3), ("test", 10_000), ("classes", 10), ("epochs", 30)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="where to make the study; default: a temporary folder")
    options = vars(parser.parse_args())
    folder = options.pop("folder") or Path(tempfile.mkdtemp(prefix="report-"))
    if not (folder / "params.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, Made(**options, train=2000, val=1000, px=64, transforms=9))
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "stages.report"], cwd=folder, env=environment, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    measured = {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_bytes": used.ru_maxrss * 1024,
        "page_bytes": (folder / "reports/index.html").stat().st_size,
        "figures": len(list((folder / "reports/figures").iterdir())),
    }
    print(json.dumps(measured, indent=2))
    within = measured["cpu_seconds"] <= MOST_SECONDS and measured["peak_memory_bytes"] <= MOST_MEMORY
    sys.exit(0 if within and measured["page_bytes"] <= MOST_PAGE else 1)


if __name__ == "__main__":
    main()
