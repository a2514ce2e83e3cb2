"""What it costs to run cells side by side: wall time against the sum of the cells, divided by two places.

`python -m benchmarks.scale [here] [cluster] [--cells 40] [--seconds 5]`. `here`: two processes of this machine.
`cluster`: a Ray cluster of two nodes with a core each, both on this machine; needs Ray (`make cluster`).

A cell sleeps: four fifths of its seconds in train, the rest in evaluate. So the figures tell of DVC, of Ray and of what
we add, also on a machine with other work. They do not tell of networks between machines, nor of loading torch, which
each of the two places does once (7 CPU seconds).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
STAGE = """
import os, time
from pathlib import Path
begin, (name, _, cell) = time.time(), os.environ["DVC_STAGE"].partition("@")
time.sleep(float(Path("seconds.txt").read_text()) * (0.8 if name == "train" else 0.2))
folder = Path("runs" if name == "train" else "results")
folder.mkdir(exist_ok=True)
(folder / cell).write_text(f"{begin} {time.time()} {Path.cwd()}")
"""
PIPELINE = """
stages:
  train:
    matrix: { variant: "${variants}", seed: "${seeds}" }
    cmd: python -m stages.train
    deps: [stages/train, seconds.txt]
    outs: ["runs/${item.variant}-${item.seed}": { cache: false }]
  evaluate:
    matrix: { variant: "${variants}", seed: "${seeds}" }
    cmd: python -m stages.evaluate
    deps: [stages/evaluate, seconds.txt, "runs/${item.variant}-${item.seed}"]
    outs: ["results/${item.variant}-${item.seed}": { cache: false }]
"""


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("ways", nargs="*", metavar="here|cluster", help="one of them, or both")
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    shown = {}
    for way in asked.ways or ("here", "cluster"):
        with (
            tempfile.TemporaryDirectory() as scratch,
            _two_nodes() if way == "cluster" else _two_processes() as options,
        ):
            study = _study(Path(scratch, "study"), asked.cells, asked.seconds)
            begin = time.time()
            command = [sys.executable, "-m", "stages.tools.side_by_side", *options]
            done = subprocess.run(command, cwd=study, check=False, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            shown[way] = _figures(study, begin, time.time(), asked.cells * asked.seconds / 2)
    print(json.dumps(shown, indent=1))


@contextlib.contextmanager
def _two_processes() -> Iterator[list[str]]:
    yield ["--jobs", "2"]


@contextlib.contextmanager
def _two_nodes() -> Iterator[list[str]]:
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    try:
        yield ["--cluster", nodes.address]
    finally:
        nodes.shutdown()


def _study(study: Path, cells: int, seconds: float) -> Path:
    (study / ".dvc").mkdir(parents=True)
    (study / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    (study / "stages").mkdir()
    for name in ("core", "tools", "verify"):
        (study / "stages" / name).symlink_to(ROOT / "stages" / name)
    for name in ("train", "evaluate"):
        (study / "stages" / name).mkdir()
        (study / "stages" / name / "__main__.py").write_text(STAGE)
    from ruamel.yaml import YAML

    settings = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings["variants"], settings["seeds"] = {"sleeper": {}}, list(range(cells))
    with (study / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(settings, file)
    (study / "dvc.yaml").write_text(PIPELINE)
    (study / "seconds.txt").write_text(str(seconds))
    return study


def _figures(study: Path, begin: float, end: float, ideal: float) -> dict[str, Any]:
    """Seconds, and where the cells were run."""
    ran = [path.read_text().split() for folder in ("runs", "results") for path in (study / folder).glob("sleeper-*")]
    first, last = min(float(line[0]) for line in ran), max(float(line[1]) for line in ran)
    places = [line[2] for line in ran]
    return {
        "seconds": round(end - begin, 1),
        "sum of the cells / 2": ideal,
        "ratio": round((end - begin) / ideal, 3),
        "until the first cell begins": round(first - begin, 1),
        "after the last cell ends": round(end - last, 1),
        "commands on each place": [places.count(place) for place in sorted(set(places))],
        "load of the machine at the end": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
