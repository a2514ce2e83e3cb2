"""A prepared half hour on a machine with a GPU; every command goes on where an earlier one ended.

    python -m benchmarks.gpu pack STUDY [FILE]                here: the study's pictures into one file
    python -m benchmarks.gpu measure --out OUT                there: images per second, input share, a peer
    python -m benchmarks.gpu repeat --study STUDY --out OUT   there: do runs repeat to the byte?
    python -m benchmarks.gpu cells --study STUDY --out OUT    there: train and evaluate cells side by side
    python -m benchmarks.gpu bring OUT                        here: the cells' files into studies/

`cells` without `--gpu` hides the GPU: then it is for many CPU cells at once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu import carry
from benchmarks.gpu.side_by_side import ROOT, Runner
from stages.core import console, errors, files, params
from stages.core.errors import UserError
from stages.train.params import Cell, cell

RESNET50: dict[str, Any] = {
    "name": "backbone", "architecture": "torchvision/resnet50", "weights": "none", "trainable": "all",
}  # fmt: skip


def main() -> None:
    """Run one command."""
    begin = time.monotonic()
    chosen = _arguments()
    deadline = begin + 60 * getattr(chosen, "minutes", 0)
    if chosen.command == "pack":
        carry.pack(chosen.study, chosen.file or ROOT / ".gpu" / f"{chosen.study.resolve().name}.tar.gz")
    elif chosen.command == "bring":
        for name in carry.bring(chosen.folder, ROOT / "studies"):
            console.say(name)
    elif chosen.command == "measure":
        _measure(chosen, deadline)
    elif chosen.command == "repeat":
        _unpacked(chosen)
        from benchmarks.gpu.repeat import repeat

        with tempfile.TemporaryDirectory() as scratch:
            variants = chosen.variants or list(params.read(chosen.study / params.FILE).variants)
            found = repeat(
                chosen.study.resolve(), variants, chosen.epochs, Path(scratch), cuda=chosen.gpu, deadline=deadline
            )
        _note(chosen.out, "repeat", found)
    else:
        _cells(chosen, deadline)


def _cells(chosen: argparse.Namespace, deadline: float) -> None:
    _unpacked(chosen)
    study = params.read(chosen.study / params.FILE)
    wanted = [study_cell for study_cell in study.cells if chosen.variants is None or study_cell[0] in chosen.variants]
    unknown = set(chosen.variants or ()) - set(study.variants)
    if unknown:
        raise UserError(f"{chosen.study} has no variant {', '.join(sorted(unknown))}")
    if chosen.variants:  # in the order they are named
        wanted.sort(key=lambda one: (chosen.variants.index(one[0]), one[1]))
    runner = Runner(chosen.study.resolve(), chosen.jobs, deadline, cuda=chosen.gpu)
    done = runner.run([one for one in wanted if chosen.seeds is None or one[1] in chosen.seeds])
    carry.deliver(chosen.study.resolve(), done, chosen.out)
    timings = {
        f"{variant}-{seed}": files.read_json(path)["seconds"]
        for variant, seed in done
        if (path := chosen.study / "timings" / variant / f"{seed}.json").exists()
    }
    _note(chosen.out, f"cells.{study.name}", {"seconds": timings, "failed": runner.failed})


def _measure(chosen: argparse.Namespace, deadline: float) -> None:
    import torch

    from benchmarks.gpu import airbench, measure
    from stages.train import data, pixels

    study = params.read(ROOT / "studies/cifar10_gpu" / params.FILE)
    systems = {name: (cell(study, name), chosen.images) for name in ("E3", "E2", "cnn_bn")}
    big = Cell.model_validate(
        {"model": RESNET50, "size": chosen.px, "batch": min(128, chosen.images // 8), "lr": 0.1, "epochs": 1,
         "augment": "imagenet", "optimizer": {"name": "sgd", "momentum": 0.9}, "checkpoint": "last"}
    )  # fmt: skip
    systems["ResNet-50"] = (big, chosen.images // 8)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, Any] = {"device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu", "rates": []}
    with tempfile.TemporaryDirectory() as scratch:
        for row in measure.rates(systems, Path(scratch), deadline):
            found["rates"].append(row)
            _note(chosen.out, "measure", found)
    if chosen.data and time.monotonic() < deadline:
        import contextlib

        torch.set_deterministic_debug_mode("default")  # the peer makes no promise about its bytes
        _unpacked(chosen)
        with contextlib.chdir(chosen.study):
            held = data.load(study.seeds[0])
            stored = torch.from_numpy(pixels.load(held.paths, 32, systems["E3"][0].resize).copy())
        training, test = (
            airbench.images(
                stored[held.rows[split]].to(device), torch.from_numpy(held.labels[held.rows[split]]).to(device)
            )
            for split in ("train", "test")
        )
        found["airbench94"] = []
        for seed in range(chosen.runs + 1):  # the first run pays for what is only made once
            if time.monotonic() < deadline:
                found["airbench94"].append(airbench.train(training, test, seed, chosen.peer_epochs))
                console.say(str(found["airbench94"][-1]))
                _note(chosen.out, "measure", found)


def _unpacked(chosen: argparse.Namespace) -> None:
    if chosen.data:
        carry.unpack(chosen.data, chosen.study)


def _note(out: Path, name: str, value: Any) -> None:
    files.write_json(out / f"{name}.json", value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack")
    pack.add_argument("study", type=Path)
    pack.add_argument("file", type=Path, nargs="?")
    commands.add_parser("bring").add_argument("folder", type=Path)
    for name in ("measure", "repeat", "cells"):
        command = commands.add_parser(name)
        command.add_argument("--study", type=Path, default=ROOT / "studies/cifar10_gpu")
        command.add_argument("--data", type=Path, help="what `pack` wrote, where the pictures are not there yet")
        command.add_argument("--out", type=Path, required=True, help="folder for what is to be taken home")
        command.add_argument("--minutes", type=float, default=9.0, help="until everything must be written")
        if name == "measure":
            command.add_argument("--images", type=int, default=8192, help="of an epoch")
            command.add_argument("--px", type=int, default=224, help="of ResNet-50's pictures")
            command.add_argument("--runs", type=int, default=3, help="of the peer")
            command.add_argument("--peer-epochs", type=float, default=9.9)
        else:
            command.add_argument("--variants", nargs="+", help="in this order; default: all")
            command.add_argument("--gpu", action="store_true", help="use it")
        if name == "repeat":
            command.add_argument("--epochs", type=int, default=2)
        if name == "cells":
            command.add_argument("--seeds", nargs="+", type=int)
            command.add_argument("--jobs", type=int, default=1, help="cells trained at once")
    return parser.parse_args()


if __name__ == "__main__":
    errors.run(main)
