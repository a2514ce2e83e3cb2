"""How long a study will take on this machine: what it does often is done a few times here, with its own code."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.children import cores
from studies.new.listing import read, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.core.params import Study
    from stages.train.params import Cell
    from studies.new.listing import Listing
    from studies.new.proposal import Proposal

CLEANED = 32  # pictures that are cleaned here
STAGES = 9  # that are no cells
# Multiples of what is measured here, held against whole studies of garments and bananas (docs/decisions/0611).
START_TRAIN, START_EVALUATE = 1.15, 2.3  # of the time in which a process loads torch and a network
LOGGED = 2.0  # of that time: MLflow gets the model of a cell
DVC_STAGE = 1.0  # s, to look at a stage's files and to record them
REPORT = 5.0  # starts of a process: aggregate and report draw and write much
AUDIT = 0.02  # s for a picture and core: its features, and its share of the regressions
GRADCAM = 4  # passes for each picture that is explained
TIMED = 2.5  # s: evaluate measures how long a network takes for a picture
clock = time.perf_counter  # benchmarks.cost counts seconds of computing instead


@dataclass(frozen=True)
class Times:
    """Seconds, each for one of something."""

    start: float  # a process that loads torch
    clean: float  # a picture
    moved: dict[int, float]  # a changed picture, by its size
    passed: dict[str, float]  # a picture through the frozen part, or through the whole network
    learnt: dict[str, float]  # a picture of an epoch


@dataclass(frozen=True)
class Predicted:
    """Seconds of a study, by what they go into."""

    data: float
    train: float
    evaluate: float
    report: float

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return self.data + self.train + self.evaluate + self.report


def measure(study: Study, listing: Listing, proposal: Proposal) -> Times:
    """Take the times on this machine."""
    import torch

    from stages.train import params as train

    start = _process()
    clean = _clean(listing)
    cells = {variant: train.cell(study, variant) for variant in study.variants}
    moved = {cell.size: _moved(cell.size) for cell in cells.values()}
    threads, passed, learnt = torch.get_num_threads(), {}, {}
    for name, cell in cells.items():
        if cell.model.name != "random":
            passed[name], learnt[name] = _network(cell, len(proposal.counts))
    torch.set_num_threads(threads)
    return Times(start, clean, moved, passed, learnt)


def _process() -> float:
    """Seconds of a start: the second one, since the first reads the libraries from the disk."""
    command = [sys.executable, "-c", "import stages.train.run, stages.evaluate.rerun"]
    root, taken = Path(__file__).parents[2], []
    for _ in range(2):
        begin = clock()
        subprocess.run(command, cwd=root, check=False, capture_output=True)  # noqa: S603 - our own code
        taken.append(clock() - begin)
    return min(taken)


def _clean(listing: Listing) -> float:
    """Seconds of a picture in `clean`: a few are cleaned, then more, in a folder that is gone afterwards."""
    found = list(read(listing, sample(listing, CLEANED)))
    few = max(1, len(found) // 4)
    first, all_ = _cleaned(found[:few]), _cleaned(found)
    # What a run takes by itself falls out of the difference; chance may make that too small.
    return max((all_ - first) / max(len(found) - few, 1), all_ / len(found) / 4)


def _cleaned(found: list[tuple[str, bytes]]) -> float:
    from stages.clean.params import Clean
    from stages.clean.run import run
    from stages.core.errors import UserError

    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place), _quiet():
        raw, rows = Path("data/raw"), []
        (raw / "files").mkdir(parents=True)
        for number, (path, data) in enumerate(found):
            file = f"files/{number}{Path(path).suffix.lower()}"
            (raw / file).write_bytes(data)
            row = {"path": f"{number}", "file": file, "label": "a", "source": "folder"}
            rows.append(row | {"group": "", "box": "", "problem": ""})
        files.write_rows(raw / "manifest.csv", list(rows[0]), rows)
        begin = clock()
        with contextlib.suppress(UserError):
            run(Clean(), cache_file=None)
        return clock() - begin


@contextlib.contextmanager
def _quiet() -> Any:
    with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stderr(nothing):  # noqa: PTH123
        yield


def _moved(size: int) -> float:
    """Seconds to change a picture, in the mean over some changes."""
    import torch

    from stages.evaluate import transforms

    pictures = torch.randint(0, 256, (16, 3, size, size), dtype=torch.uint8)
    changes = (("rotation", 15), ("scale", 0.5), ("blur", 0.05), ("noise", 0.1), ("jpeg", 20), ("horizontal_flip", 1))
    for name, strength in changes:
        transforms.apply(name, pictures[:2], strength, 0)
    begin = clock()
    for name, strength in changes:
        transforms.apply(name, pictures, strength, 0)
    return (clock() - begin) / (len(changes) * len(pictures))


def _network(cell: Cell, classes: int) -> tuple[float, float]:
    """Seconds of a picture through what is computed once, and of a picture that is learnt from."""
    import numpy as np
    import torch

    from stages.train import feed, machine, normalise, zoo
    from stages.train.augment import Augmenter

    device = machine.prepare(cell)
    model = cell.model
    if model.name == "backbone":  # other weights take the same time
        model = model.model_copy(update={"weights": "none"})
    network = machine.place(zoo.build(model, classes, cell.size, 0), cell, device)
    cached = model.name == "backbone" and cell.frozen == "cached"
    prefix, rest = network.split_frozen() if cached else (None, network)
    count = feed.group(cell) or cell.batch
    pixels = np.random.default_rng(0).integers(0, 256, (count, cell.size, cell.size, 3), dtype=np.uint8)
    images = feed.Images(pixels, np.arange(count))
    normaliser = normalise.fit(cell.model_copy(update={"model": model}), images).to(device)
    augmenter = Augmenter(cell.augmentation, 0, images)
    labels = torch.zeros(count, dtype=torch.int64, device=device)
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad])

    def inputs() -> Any:
        x = normaliser(augmenter(1, np.arange(count), labels)[0].to(device))
        return x.contiguous(memory_format=torch.channels_last) if cell.channels_last else x

    @torch.no_grad()
    def whole() -> Any:
        network.eval()
        return (prefix or network)(inputs())

    kept = whole() if prefix else None

    def step() -> None:
        network.train()
        loss = torch.nn.functional.cross_entropy(rest(kept if kept is not None else inputs()), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return _each(whole) / count, _each(step) / count


def _each(one: Callable[[], Any], seconds: float = 0.6) -> float:
    """Seconds of a call: the first is left out, the fastest half of the others counts."""
    one()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < seconds:
        begin = clock()
        one()
        taken.append(clock() - begin)
    fast = sorted(taken)[: (len(taken) + 1) // 2]
    return sum(fast) / len(fast)


def predict(study: Study, proposal: Proposal, files_found: int, times: Times) -> Predicted:
    """What a study will take, from the times of its parts."""
    from stages.aggregate.params import Aggregate
    from stages.core.params import section
    from stages.evaluate.params import Evaluate
    from stages.track.log import WORKERS
    from stages.train import params as train

    settings = Evaluate.model_validate(study.raw["evaluate"] or {})
    robust = settings.robustness
    strengths = ("rotation", "shift", "scale", "brightness", "blur", "noise", "jpeg")
    changes = sum(len(getattr(robust, name)) for name in strengths) + 2 * robust.flip
    moved = min(proposal.tested, robust.images or proposal.tested)
    explained = min(2 * settings.gradcam.classes, 2 * len(proposal.counts)) + settings.gradcam.shared
    images = sum(proposal.counts.values())
    seeds = len(study.seeds)
    begins = logged = learning = looking = 0.0
    seen: set[tuple[str, str]] = set()
    for variant in study.variants:
        cell = train.cell(study, variant)
        # Cells run side by side, as stages/tools/side_by_side starts them.
        together = max(1, min(cores() // cell.threads, seeds))
        begins += seeds * times.start / together
        logged += seeds * times.start * LOGGED / max(1, min(cores(), WORKERS))
        if cell.model.name == "random":
            continue
        one, step = times.passed[variant], times.learnt[variant]
        model = cell.model
        cached = model.name == "backbone" and cell.frozen == "cached"
        # What is frozen is computed once for each split, for all heads and seeds that share it.
        times_made = seeds if not cached or proposal.per_seed else 1
        held = images - proposal.trained
        shared = together if times_made == seeds else 1  # what is computed once has one cell at work
        looking += times_made * moved * changes * (times.moved[cell.size] + one) / shared
        looking += seeds * (explained * GRADCAM * one + TIMED) / together
        learning += seeds * cell.total_epochs * proposal.trained * step / together
        if model.name == "backbone" and cached:
            views = cell.views or 1
            for phase in cell.schedule_of_phases:
                place = f"{model.architecture} {phase.trainable or model.trainable}"
                if (place, str(cell.augmentation)) not in seen:
                    seen.add((place, str(cell.augmentation)))
                    learning += times_made * (views * proposal.trained + held) * one / shared
        else:
            learning += seeds * cell.total_epochs * (images - proposal.trained) * one / 2 / together
    cells = len(study.cells) * DVC_STAGE
    audit = images * AUDIT if section(Aggregate, study.raw["aggregate"], "aggregate").audit.folds else 0.0
    return Predicted(
        data=3 * times.start + files_found * times.clean,
        train=begins * START_TRAIN + cells + learning,
        evaluate=begins * START_EVALUATE + cells + looking,
        report=REPORT * times.start + audit + logged + STAGES * DVC_STAGE,
    )


def said(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{round(seconds, -1):.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
