"""What the training engine costs, as ratios against the plain way, both measured in this run.

    python benchmarks/train.py                 every row
    python benchmarks/train.py start loop      some rows

CPU seconds of one thread, the two sides taking turns, medians over the turns: other work on the machine slows both.
Rows that would take hours are computed from rates measured on a sample; the row says so.
"""

# ruff: noqa: B023, E402 - jobs are called within the turn of the loop that made them; the path comes before the imports

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from stages.core import params
from stages.train import feed, machine, normalise, zoo
from stages.train.checkpoint import Checkpoint
from stages.train.loop import Stage, Trainer
from stages.train.params import Cell, cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from stages.train.zoo.network import Network

Row = tuple[str, str, str]
CPU = torch.device("cpu")


def settings(model: dict[str, Any], **more: Any) -> Cell:
    """A resolved cell."""
    train = {"size": 32, "epochs": 1, "batch": 64, "optimizer": {"name": "adam"}, "checkpoint": "last", **more}
    return cell(params.Study("bench", 0.001, [0], {"v": {"model": model}}, {"train": train}), "v")


def seconds(*jobs: Callable[[], object], turns: int = 5) -> list[float]:
    """Median CPU seconds of each job; the jobs take turns, after one turn that does not count."""
    taken: list[list[float]] = [[] for _ in jobs]
    for turn in range(turns + 1):
        for job, times in zip(jobs, taken, strict=True):
            begin = time.process_time()
            job()
            if turn:
                times.append(time.process_time() - begin)
    return [median(times) for times in taken]


def backbone(
    architecture: str, trainable: Any = "head", widths: tuple[int, ...] = (512, 128, 64), **head: Any
) -> dict[str, Any]:
    """A model section; the speed does not depend on the weights."""
    return {
        "name": "backbone", "architecture": architecture, "weights": "none", "trainable": trainable,
        "head": {"widths": list(widths), **head},
    }  # fmt: skip


def network_of(c: Cell, classes: int) -> Network:
    """Built and in training mode."""
    return zoo.build(c.model, classes, c.size, 0).train()


def forward(part: Callable[[Tensor], Tensor], x: Tensor, c: Cell) -> Tensor:
    """Without gradients, in the cell's dtype."""
    dtype = machine.autocast_dtype(c, CPU)
    x = x.contiguous(memory_format=torch.channels_last) if c.channels_last and x.dim() == 4 else x
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype is not None):
        return feed.in_groups(part, x, feed.group(c))


def step(part: nn.Module, x: Tensor, y: Tensor, c: Cell) -> None:
    """Forward, backward and step of a network in training mode."""
    dtype = machine.autocast_dtype(c, CPU)
    x = x.contiguous(memory_format=torch.channels_last) if c.channels_last and x.dim() == 4 else x
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        logits = part(x)
    F.cross_entropy(logits.float(), y).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for p in part.parameters():
            if p.grad is not None:
                p.sub_(p.grad, alpha=1e-3)
                p.grad = None


def frozen_study() -> list[Row]:
    """4 frozen backbones x 3 seeds x 30 epochs; 294 images train, 126 validate, 180 test, at 224 px.

    The goal counts training images. A whole study gains less: its test images pass once per seed in the live run too.
    """
    images, heads, half_images, half_heads = 0.0, 0.0, 0.0, 0.0  # seconds per image, summed over the backbones
    for name in ("vgg16", "resnetv2_50", "legacy_xception", "inception_v3"):
        costs = []
        for precision in ("fp32", "bf16"):
            c = settings(backbone(name), size=224, batch=32, precision=precision, channels_last=precision == "bf16")
            prefix, rest = network_of(c, 3).split_frozen()
            assert prefix is not None  # noqa: S101
            x, y = torch.randn(32, 3, 224, 224), torch.randint(3, (32,))
            features = forward(prefix, x, c)
            costs += seconds(lambda: forward(prefix, x, c), lambda: step(rest, features, y, c), turns=2)
        images, heads = images + costs[0] / 32, heads + costs[1] / 32
        half_images, half_heads = half_images + costs[2] / 32, half_heads + costs[3] / 32
    title = "4 frozen backbones x 3 seeds x 30 epochs"
    rows = []
    for what, live, once, goals in (
        ("294 training images", 90 * 294, 294, (">= 80x", ">= 180x")),
        ("the whole study", 90 * 420 + 3 * 180, 600, ("", "")),
    ):
        slow = live * images + 90 * 294 * heads
        for precision, goal, fast in (
            ("fp32", goals[0], once * images + 90 * 294 * heads),
            ("bf16 against live fp32", goals[1], once * half_images + 90 * 294 * half_heads),
        ):
            measured = f"{slow / fast:.0f}x ({slow:,.0f} -> {fast:,.0f} s)"
            rows.append((f"{title}, {what}, {precision} (from rates)", goal, measured))
    return rows


def frozen_large() -> list[Row]:
    """31,651 images, VGG16 at 128 px frozen, 50 epochs; 72 % train, 18 % validate."""
    rows = []
    c = settings(backbone("vgg16", widths=(1024,)), size=128, batch=32)
    for precision, goal in (("fp32", ">= 45x"), ("bf16", ">= 110x")):
        own = c.model_copy(update={"precision": precision, "channels_last": precision == "bf16"})
        prefix, rest = network_of(own, 256).split_frozen()
        assert prefix is not None  # noqa: S101
        x, y = torch.randn(32, 3, 128, 128), torch.randint(256, (32,))
        features = forward(prefix, x, own)
        image, head, seen = seconds(
            lambda: forward(prefix, x, own), lambda: step(rest, features, y, own), lambda: forward(rest, features, own),
            turns=4,
        )  # fmt: skip
        heads = 50 * (0.72 * head + 0.18 * seen)
        if precision == "fp32":
            live = 50 * 0.9 * image + heads + image  # and one pass for the logits of all splits
        cached = image + heads
        hours = [t * 31651 / 32 / 3600 for t in (live, cached)]
        rows.append((f"31,651 images, VGG16 at 128 px, 50 epochs, {precision} (from rates)", goal,
                     f"{live / cached:.0f}x ({hours[0]:.1f} -> {hours[1]:.2f} h)"))  # fmt: skip
    return rows


def partly_frozen() -> list[Row]:
    """VGG16 at 32 px, last layers trainable, batch 256, 30 epochs: steps, and the one pass that fills the cache."""
    rows = []
    for last, goal in ((2, ">= 11x"), (3, ">= 5.5x"), (5, ">= 3x")):
        c = settings(backbone("vgg16", {"last": last}, (512, 256, 128)), batch=256)
        network = network_of(c, 10)
        prefix, rest = network.split_frozen()
        assert prefix is not None  # noqa: S101
        x, y = torch.randn(256, 3, 32, 32), torch.randint(10, (256,))
        stored = forward(prefix, x, c)
        live, cached, once = seconds(
            lambda: step(network, x, y, c), lambda: step(rest, stored, y, c), lambda: forward(prefix, x, c),
            turns=3,
        )  # fmt: skip
        rows.append(
            (
                f"VGG16 at 32 px, last {last} layers, 30 epochs (from steps)",
                goal,
                f"{30 * live / (once + 30 * cached):.1f}x",
            )
        )
    return rows


def inputs() -> list[Row]:
    """Batches of training images against ImageFolder + DataLoader with torchvision's same augmentation."""
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    rows = []
    bilinear = transforms.InterpolationMode.BILINEAR
    statistics = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    for px, count, goal in ((32, 2048, ">= 15x"), (224, 192, ">= 3x")):
        with tempfile.TemporaryDirectory() as name:
            rng, folder = np.random.default_rng(0), Path(name)
            coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
            source = 32 if px == 32 else 300
            for i, pixels in enumerate(coarse):
                (folder / str(i % 4)).mkdir(exist_ok=True)
                picture = Image.fromarray(pixels).resize((source, source), Image.Resampling.BICUBIC)
                picture.save(folder / str(i % 4) / (f"{i}.png" if px == 32 else f"{i}.jpg"), quality=90)
            for preset, recipe in {
                "flip_crop": [transforms.RandomHorizontalFlip(), transforms.RandomCrop(px, padding=4)],
                "bananas": [
                    transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip(),
                    transforms.RandomAffine(10, (5 / px, 5 / px), (0.8, 1.2), interpolation=bilinear),
                ],
            }.items():  # fmt: skip
                resize = [transforms.Resize((px, px))] if source != px else []
                normal = transforms.Normalize(**statistics)
                pipeline = transforms.Compose([*resize, *recipe, transforms.ToTensor(), normal])
                loader = DataLoader(datasets.ImageFolder(str(folder), pipeline), batch_size=64, shuffle=True)
                stored = np.stack(
                    [np.asarray(Image.open(p).convert("RGB").resize((px, px))) for p in sorted(folder.rglob("*.*"))]
                )
                c = settings({"name": "mlp"}, size=px, augment=preset, normalise=[
                    {"name": "scale"}, {"name": "standardise", **statistics}
                ])  # fmt: skip
                ours = feed.Live(
                    feed.Images(stored, np.arange(count)),
                    c,
                    normalise.fit(c, feed.Images(stored, np.arange(count))),
                    0,
                    CPU,
                )
                theirs, mine = seconds(lambda: list(loader), lambda: _pass(ours, count), turns=3)
                rows.append((f"input at {px} px, {preset}, against ImageFolder + DataLoader", goal,
                             f"{theirs / mine:.1f}x ({count / theirs:,.0f} -> {count / mine:,.0f} per s)"))  # fmt: skip
    return rows


def _pass(live: feed.Live, count: int) -> None:
    order, labels = np.random.default_rng(0).permutation(count), torch.zeros(count, dtype=torch.int64)
    for start in range(0, count, 64):
        live(1, order[start : start + 64], labels)


def precision() -> list[Row]:
    """bf16 + channels-last against fp32, one training step."""
    small = {"name": "cnn", "blocks": [{"filters": [64, 64]}, {"filters": [128, 128]}, {"filters": [256]}]}
    rows = []
    for title, model, px, batch in (
        ("small CNN at 32 px", small, 32, 64),
        ("ResNet50 at 128 px", backbone("resnet50", "all", ()), 128, 16),
    ):
        full = settings(model, size=px)
        half = full.model_copy(update={"precision": "auto", "channels_last": True})
        x, y = torch.randn(batch, 3, px, px), torch.randint(10, (batch,))
        one, other = network_of(full, 10), machine.place(network_of(half, 10), half, CPU)
        slow, fast = seconds(lambda: step(one, x, y, full), lambda: step(other, x, y, half), turns=4)
        rows.append((f"{title}: step in bf16 + channels-last against fp32", ">= 2x", f"{slow / fast:.1f}x"))
    return rows


def start() -> list[Row]:
    """A cell of one epoch on 48 images of 12 px: interpreter, imports, first and last file."""
    sys.path.insert(0, str(ROOT))
    from tests.train import made

    with tempfile.TemporaryDirectory() as name:
        made.make(Path(name))
        raw = {key: {} for key in params.SECTIONS} | {
            "study": "bench", "lr": 0.001, "seeds": [0], "variants": {"v": {"model": made.CNN}},
            "train": {**made.TRAIN, "epochs": 1},
        }  # fmt: skip
        (Path(name) / "params.yaml").write_text(json.dumps(raw))
        command = [sys.executable, "-m", "stages.train", "--variant", "v", "--seed", "0"]
        taken: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(8):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            program = command if turn % 2 else [sys.executable, "-c", "import torch"]
            subprocess.run(program, cwd=name, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken[bool(turn % 2)].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    bare, whole = median(taken[False][1:]), median(taken[True][1:])
    return [("fixed cost of a cell", "<= 3.5 CPU-s", f"{whole:.2f} CPU-s, of which `import torch` is {bare:.2f}")]


def loop() -> list[Row]:
    """An epoch of the engine against forward, backward and step on ready tensors with torch's own fused Adam."""
    rows = []
    small = {"name": "cnn", "blocks": [{"filters": [16, 16]}, {"filters": [32, 32]}]}
    for title, model, px, goal in (
        ("MLP", {"name": "mlp", "widths": [128, 128]}, 8, "<= 1.3x"),
        ("small CNN", small, 16, "<= 1.05x"),
    ):
        c = settings(model, size=px)
        pixels = np.random.default_rng(0).integers(0, 256, (4096, px, px, 3), dtype=np.uint8)
        images = feed.Images(pixels, np.arange(4096))
        labels = torch.from_numpy(np.random.default_rng(1).integers(0, 10, 4096))
        live = feed.Live(images, c, normalise.fit(c, images), 0, CPU)
        trainer = Trainer(c, 0, network_of(c, 10), {"train": labels, "val": labels[:1]}, None, "bench")
        bare = network_of(c, 10)
        optimizer = torch.optim.Adam(bare.parameters(), fused=True)
        batches = (
            [(live.kept[i : i + 64].clone(), labels[i : i + 64]) for i in range(0, 4096, 64)]
            if live.kept is not None
            else []
        )

        def plain(batches: Any = batches, optimizer: Any = optimizer, bare: Any = bare) -> None:
            for x, y in batches:
                optimizer.zero_grad()
                F.cross_entropy(bare(x), y).backward()  # type: ignore[no-untyped-call]
                optimizer.step()

        def engine(trainer: Any = trainer, live: Any = live) -> None:
            trainer.progress.epoch = 0
            trainer.fit(lambda _: Stage(trainer.network, live, lambda: torch.zeros(1, 10)), _Nowhere("bench"))

        theirs, mine = seconds(plain, engine, turns=9)
        rows.append(
            (
                f"loop overhead, {title}",
                goal,
                f"{mine / theirs:.2f}x ({theirs / 64 * 1e3:.2f} -> {mine / 64 * 1e3:.2f} ms a step)",
            )
        )
    return rows


class _Nowhere(Checkpoint):
    """An epoch's checkpoint costs the same whatever the epoch's length; this row is about steps."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep nothing."""

    def load(self, device: torch.device) -> None:
        """Begin anew."""


ROWS = {f.__name__: f for f in (start, loop, inputs, precision, partly_frozen, frozen_large, frozen_study)}


def main() -> None:
    """Print the table."""
    machine.prepare(settings({"name": "mlp"}, device="cpu"))
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread\n")
    print("| what | goal | measured |\n|---|---|---|")
    for name in sys.argv[1:] or ROWS:
        for row in ROWS[name]():
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
