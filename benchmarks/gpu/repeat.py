"""Do two runs of a cell on this device have the same bytes? And does a recorded step have those of a plain one?"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from benchmarks.gpu.carry import DATA
from benchmarks.gpu.side_by_side import Runner
from stages.core import cells

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "from stages.train import step, __main__; step.RECORD = False; __main__.main()"


def repeat(
    study: Path, variants: list[str], epochs: int, scratch: Path, *, cuda: bool, deadline: float
) -> dict[str, Any]:
    """Train each variant with few epochs three times: twice as it is, once without recorded steps.

    Returns:
        variant -> `again` and `plain`: whether all locked bytes are those of the first run.
    """
    found: dict[str, Any] = {}
    runs = {name: _copy(study, scratch / name, variants, epochs) for name in ("first", "again", "plain")}
    for name in ("first", "again"):
        Runner(runs[name], len(variants), deadline, cuda=cuda, evaluate=False).run([(v, 0) for v in variants])
    for variant in variants:
        if time.monotonic() < deadline:
            environment = Runner(runs["plain"], 1, deadline, cuda=cuda).environment
            command = [sys.executable, "-c", PLAIN, "--variant", variant, "--seed", "0"]
            subprocess.run(command, cwd=runs["plain"], env=environment, check=False)
        first = _bytes(runs["first"], variant)
        found[variant] = {name: bool(first) and _bytes(runs[name], variant) == first for name in ("again", "plain")}
    return found


def _copy(study: Path, folder: Path, variants: list[str], epochs: int) -> Path:
    """The study with few epochs and seed 0, in a folder of its own, on the same pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in DATA:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to((study / name).resolve())
    (folder.parent / ".dvc").mkdir(exist_ok=True)  # caches stay beside the copies, which share them
    yaml = YAML()
    values = yaml.load((study / "params.yaml").read_text(encoding="utf-8"))
    values["seeds"] = [0]
    values["variants"] = {name: values["variants"][name] for name in variants}
    for variant in values["variants"].values():
        if "phases" in variant:
            variant["phases"] = [{**phase, "epochs": 1} for phase in variant["phases"][:epochs]]
        else:
            variant["epochs"] = epochs
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
    return folder


def _bytes(study: Path, variant: str) -> dict[str, bytes]:
    folders = [study / cells.run_folder(variant, 0), study / cells.train_folder(variant, 0)]
    return {p.name: p.read_bytes() for folder in folders for p in sorted(folder.glob("*"))}
