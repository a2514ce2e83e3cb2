"""What a study costs, predicted from its numbers of pictures, variants, seeds and epochs; and held against real runs.

python -m benchmarks.cost predict --study studies/uecfood256 --classes 256 --pictures 31395 10000000 [--sample FOLDER]
python -m benchmarks.cost check --pictures 1000 4000

Seconds are those of computing (user and system) of all processes: divide them by the cores that work. They come from
the arithmetic of `make new` (studies/new/probe.py) and from times that are taken here: of each network, and of clean
on `--sample`, a folder of pictures (without it: made photographs of 64 px). The same arithmetic counts FLOPs, where a
step of learning counts as three passes. `check` runs ingest, clean, split, train and evaluate of a small study.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ruamel.yaml import YAML

from benchmarks.made import many, stage
from stages.core import params
from stages.evaluate.cost import macs
from stages.train import params as train
from stages.train import zoo
from studies.new import listing, networks, probe
from studies.new.proposal import Proposal, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stages.core.params import Study

SIDE, CLASSES = 64, many.CLASSES
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"model": {"name": "mlp", "widths": [128, 128]}},
    "cnn": {"model": {"name": "cnn", "blocks": [{"filters": [16, 16]}, {"filters": [32, 32]}]}},
}


def main() -> None:
    """Predict, or predict and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["predict", "check"])
    parser.add_argument("--study", type=Path, default=Path())
    parser.add_argument("--pictures", type=int, nargs="+", required=True)
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--sample", type=Path)
    asked = parser.parse_args()
    probe.clock = _computing
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # nothing is predicted to run side by side
    torch.set_num_threads(1)
    if asked.what == "check":
        check(asked.pictures)
        return
    study = params.read(asked.study / "params.yaml")
    times, size = _times(study, asked.sample, asked.classes)
    print(f"times of one: {times}")
    for count in asked.pictures:
        print(f"{count} pictures: {_said(study, count, times, size, asked.classes)}")


def check(counts: Iterable[int]) -> None:
    """A small study of made photographs: what is predicted, and what the stages took."""
    values = YAML(typ="safe").load((stage.CODE / "params.yaml").read_text(encoding="utf-8"))
    values |= {"variants": SMALL, "seeds": [0, 1]}
    values["train"] |= {"size": 32, "epochs": 10}
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            source = _pictures(root / "source", count)
            values["ingest"] = {"source": "folder", "path": str(source)}
            with (root / "params.yaml").open("w", encoding="utf-8") as file:
                YAML(typ="safe").dump(values, file)
            study = params.read(root / "params.yaml")
            times, size = _times(study, source, CLASSES)
            print(f"{count} pictures, predicted: {_said(study, count, times, size, CLASSES)}")
            cells = [f"{variant}-{seed}" for variant, seed in study.cells]
            real = {
                "data": _run(root, ["ingest", "clean", "split"]),
                "train": _run(root, [f"train@{cell}" for cell in cells]),
                "evaluate": _run(root, [f"evaluate@{cell}" for cell in cells]),
            }
            print(f"{count} pictures, measured: {' '.join(f'{name} {value:.0f} s' for name, value in real.items())}")


def _computing() -> float:
    """CPU seconds of this process and of those that it waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


def _pictures(folder: Path, count: int) -> Path:
    for name, content, label in many.photographs(count, SIDE):
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _run(root: Path, names: Iterable[str]) -> float:
    """CPU seconds of stages, each in a process of its own, as `dvc repro` runs them."""
    total = 0.0
    for name in names:
        command = [sys.executable, "-m", f"stages.{name.partition('@')[0]}"]
        seconds, error = stage.timed(command, root, {"PYTHONPATH": str(stage.CODE), "DVC_STAGE": name})
        if error:
            raise RuntimeError(error)
        total += seconds
    return total


def _times(study: Study, sample: Path | None, classes: int) -> tuple[probe.Times, float]:
    """CPU seconds of one of each, and the bytes of a file."""
    with tempfile.TemporaryDirectory() as scratch:
        found = listing.look(sample or _pictures(Path(scratch), 600))
        chosen = listing.sample(found, 600)
        files = [(name, data, Path(name).parent.name or "a") for name, data in listing.read(found, chosen)]
        times = probe.measure(study, found, _proposal(study, len(files), classes))
        taken = []
        for part in (files[: len(files) // 4], files):
            with tempfile.TemporaryDirectory() as place:
                stage.lay(Path(place), part)
                taken.append(stage.process(Path(place), {}))
        times = replace(times, clean=(taken[1] - taken[0]) / (len(files) - len(files) // 4))
    return times, float(np.mean([len(data) for _, data, _ in files]))


def flops(study: Study, classes: int) -> probe.Times:
    """FLOPs of one of each: of a pass twice its multiply-accumulates, of a step of learning three times that."""
    passed, learnt, moved = {}, {}, {}
    for variant in study.variants:
        cell = train.cell(study, variant)
        if cell.model.name == "random":
            continue
        model = cell.model.model_copy(update={"weights": "none"}) if cell.model.name == "backbone" else cell.model
        network = zoo.build(model, classes, cell.size, 0).eval()
        picture = torch.zeros(1, 3, cell.size, cell.size)
        cached = model.name == "backbone" and cell.frozen == "cached"
        prefix, rest = network.split_frozen() if cached else (None, network)
        passed[variant] = 2.0 * macs(prefix or network, picture)
        learnt[variant] = 6.0 * macs(rest, prefix(picture) if prefix else picture)
        moved[cell.size] = 0.0
    return probe.Times(0, 0, moved, passed, learnt)


def _proposal(study: Study, count: int, classes: int) -> Proposal:
    """The numbers that the arithmetic asks for."""
    split = study.raw["split"]
    tested, held = (round(part * count) if isinstance(part, float) else part for part in (split["test"], split["val"]))
    counts = Counter({str(k): len(range(k, count, classes)) for k in range(classes)})
    setting = networks.Setting(images=count, side=SIDE, pretrained=True, gpu=False, threads=1)
    seeds = len(study.seeds)
    return Proposal(Source("folder", ""), {}, split, seeds, counts, False, setting, tested, count - tested - held)


def _said(study: Study, count: int, times: probe.Times, size: float, classes: int) -> str:
    plan = _proposal(study, count, classes)
    seconds = astuple(probe.predict(study, plan, count, times))
    cells = len(study.cells) * probe.DVC_STAGE  # DVC's own time around a stage, in which the stage computes nothing
    computing = [seconds[0], seconds[1] - cells, seconds[2] - cells, seconds[3]]
    # What `predict` adds of its own are some seconds, which count as so many FLOPs here: too few to be seen.
    products = probe.predict(study, plan, count, flops(study, classes))
    sides = {train.cell(study, variant).size for variant in study.variants}
    pixels = sum(count * side * side * 3 for side in sides)
    parts = zip(("data", "train", "evaluate", "report"), computing, strict=True)
    return (
        " ".join(f"{name} {value:.0f} s" for name, value in parts)
        + f"; train {products.train / 1e15:.3g}, evaluate {products.evaluate / 1e15:.3g} PFLOP"
        + f"; files {2 * count * size / 1e9:.3g} GB with their copy in data/clean, pixels {pixels / 1e9:.3g} GB"
    )


if __name__ == "__main__":
    main()
