"""What the worker processes of `clean` cost: seconds of computing of the whole stage, with them and without.

`python -m benchmarks.isolation FOLDER [--files 600] [--rounds 3]`, on a folder of label folders. Without them, the same
function runs in one process over the same files. All processes count; nothing is read from a cache.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.clean import isolate
from stages.clean.decode import Refused
from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import files
from stages.ingest.entry import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def main() -> None:
    """Measure both ways in turn, each in a process of its own; print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=("with", "without"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(_seconds(asked.folder, asked.files, isolated=asked.one == "with"))
        return
    taken: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(asked.rounds):
        for way, seconds in taken.items():
            command = [sys.executable, "-m", "benchmarks.isolation", str(asked.folder), "--files", str(asked.files)]
            done = subprocess.run([*command, "--one", way], check=True, stdout=subprocess.PIPE, text=True)
            seconds.append(float(done.stdout.split()[-1]))
    cost = statistics.median(taken["with"]) / statistics.median(taken["without"]) - 1
    print(json.dumps({**taken, "cost": f"{cost:.1%}"}, indent=1))


def _seconds(folder: Path, number: int, *, isolated: bool) -> float:
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    chosen = draw(found, min(1, number / len(found)))[:number]
    rows = [
        {"path": p, "file": f"files/{p}", "label": p.split("/")[0], "source": "", "group": "", "box": "", "problem": ""}
        for p in chosen
    ]
    if not isolated:
        isolate.each = _in_one_process  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch, "raw")
        raw.mkdir()
        for row in rows:
            (raw / row["file"]).parent.mkdir(parents=True, exist_ok=True)
            (raw / row["file"]).write_bytes((folder / row["path"]).read_bytes())
        files.write_rows(raw / "manifest.csv", list(rows[0]), rows)
        before = _used()
        run(Clean(workers=2), raw, Path(scratch, "clean"), Path(scratch, "report"), None)
    forkserver._forkserver._stop()  # type: ignore[attr-defined] # noqa: SLF001 - waits for it, so that its children count
    return _used() - before


def _in_one_process(function: Callable[[Any], Any], items: Sequence[Any], **_: Any) -> Iterator[Any]:
    for item in items:
        try:
            yield function(item)
        except Refused as refused:
            yield refused


def _used() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


if __name__ == "__main__":
    main()
