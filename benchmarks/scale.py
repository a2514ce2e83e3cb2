"""What grows with a study: cells side by side, cleaning, the search of hashes.

python -m benchmarks.scale here [--cells 40] [--seconds 5]
python -m benchmarks.scale cluster [--cells 40] [--seconds 5]
python -m benchmarks.scale hashes [--counts 100000 1000000 10000000] [--radius 8]
python -m benchmarks.scale clean [--counts 1000 10000] [--side 32]

`here` and `cluster`: wall time against the sum of the cells, divided by two places. `here` is two processes of this
machine, `cluster` a Ray cluster of two nodes with a core each, both on this machine; it needs Ray (`make cluster`). A
cell sleeps: four fifths of its seconds in train, the rest in evaluate. So the figures tell of DVC, of Ray and of what
we add, also on a machine with other work. They do not tell of networks between machines, nor of loading torch, which
each of the two places does once (7 CPU seconds).

`hashes`: all pairs of random hashes within a radius, and how many of 1,000 planted pairs are among them. `clean`: the
stage as a process of its own on made photographs of which one in a hundred is a copy. Memory is the share of each
process in what it uses, summed over all processes, twice a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil  # type: ignore[import-untyped]

from benchmarks.made import many, stage
from stages.clean.hashes import hash_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

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
    """Measure, and print the figures as JSON, a line each time one is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WAYS)
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--counts", type=int, nargs="+")
    parser.add_argument("--radius", type=int, default=8)
    parser.add_argument("--side", type=int, default=32)
    asked = parser.parse_args()
    shown = []
    for figures in WAYS[asked.what](asked):
        figures["load of the machine at the end"] = round(os.getloadavg()[0], 1)
        print(json.dumps(figures), flush=True)
        shown.append(figures)
    if "count" in shown[-1] and len(shown) > 1:
        (few, less), (many, more) = ((one["count"], one["CPU seconds"]) for one in (shown[-2], shown[-1]))
        print(f"exponent of growth of the CPU seconds: {math.log(more / less) / math.log(many / few):.2f}")


def here(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Cells in two processes of this machine."""
    yield _cells(asked, ["--jobs", "2"])


def cluster(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Cells on two nodes of a cluster."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    try:
        yield _cells(asked, ["--cluster", nodes.address])
    finally:
        nodes.shutdown()


def hashes(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All pairs of hashes within a radius, in a process for each count, since memory is that of its peak."""
    for count in asked.counts or (100_000, 1_000_000, 10_000_000):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield pool.submit(_searched, count, asked.radius).result()


def _searched(count: int, radius: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, count, dtype=np.uint64)
    planted = rng.permutation(count)[:2000].reshape(2, 1000)
    words[planted[1]] = words[planted[0]]
    for bit in rng.permuted(np.tile(np.arange(64, dtype=np.uint64), (1000, 1)), axis=1)[:, :radius].T:
        words[planted[1]] ^= np.uint64(1) << bit
    begin, before = time.time(), time.process_time()
    pairs = [np.stack([a, b])[:, a < b] for a, b, _ in hash_pairs(words, words, radius)]
    found = {(a, b) for a, b in np.concatenate(pairs, axis=1).T.tolist()}
    return {
        "count": count,
        "wall seconds": round(time.time() - begin, 1),
        "CPU seconds": round(time.process_time() - before, 2),
        "GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "pairs": len(found),
        "recall": sum(tuple(sorted(pair)) in found for pair in planted.T.tolist()) / 1000,
    }


def clean(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The stage, with an empty cache."""
    for count in asked.counts or (1000, 10_000):
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as thread:
            stage.lay(Path(scratch), many.photographs(count, asked.side))
            begin = time.time()
            running = thread.submit(stage.process, Path(scratch), {})
            peaks = _memory(running)
            seconds = running.result()
            wall, done = time.time() - begin, stage.outcome(Path(scratch))
            planted = many.copies(count)
            called = {frozenset(pair) for pair in done.same + done.similar}
            yield {
                "count": count,
                "wall seconds": round(wall, 1),
                "CPU seconds": round(seconds, 1),
                "GB of all processes": round(peaks[0] / 1e9, 2),
                "GB of the largest": round(peaks[1] / 1e9, 2),
                "copies found": sum(done.together(*pair) for pair in planted) / max(len(planted), 1),
                "pairs called that were not planted": len(called - {frozenset(pair) for pair in planted}),
            }


def _memory(running: Future[float]) -> tuple[int, int]:
    """The most bytes that the processes below this one use, together and one alone, until it is done."""
    most = [0, 0]
    while not running.done():
        used = [0]
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                used.append(process.memory_full_info().pss)
        most = [max(most[0], sum(used)), max(most[1], *used)]
        time.sleep(0.5)
    return most[0], most[1]


def _cells(asked: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        study = _study(Path(scratch, "study"), asked.cells, asked.seconds)
        begin = time.time()
        command = [sys.executable, "-m", "stages.tools.side_by_side", *options]
        done = subprocess.run(command, cwd=study, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return _figures(study, begin, time.time(), asked.cells * asked.seconds / 2)


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
    }


WAYS = {"here": here, "cluster": cluster, "hashes": hashes, "clean": clean}

if __name__ == "__main__":
    main()
