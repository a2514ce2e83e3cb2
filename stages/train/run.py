"""One cell from its settings to its files."""

from __future__ import annotations

import resource
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from stages.core import cells, children, files
from stages.core.errors import UserError
from stages.train import checkpoint, data, distributed, feed, losses, machine, normalise, pixels, zoo
from stages.train.frozen import Cached, Cut, LivePrefix, cut
from stages.train.loop import Stage, Trainer
from stages.train.predict import Loaded
from stages.train.sections import Augment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.train.params import Cell
    from stages.train.sections import Phase


def run(cell: Cell, variant: str, seed: int) -> None:
    """Train a cell and write its outputs; an interrupted cell goes on where it was.

    Raises:
        UserError: what the user can put right, in data or settings.
    """
    if cell.processes != distributed.processes():
        distributed.launch(run, cell, variant, seed)
        return
    begin = time.perf_counter()
    device = machine.prepare(cell)
    images = data.load(seed, by_id=cell.by_id)
    if len(images.rows["train"]) < 2 * cell.processes > 2:
        few = len(images.rows["train"])
        raise UserError(f"params.yaml: `processes: {cell.processes}`: {few} training images are not two for each")
    if cell.shuffle_window is not None and cell.shuffle_window >= len(images.training):
        raise UserError(
            f"params.yaml: `shuffle_window: {cell.shuffle_window}` holds all {len(images.training)} training images; "
            "leave it out, and the whole epoch is shuffled"
        )
    key = pixels.key(images.paths, cell.size, cell.resize)
    stored = pixels.load(images.paths, cell.size, cell.resize, key)
    described, pretrained = machine.describe(cell, device), zoo.pretrained(cell.model)
    network = zoo.build(cell.model, len(images.classes), cell.size, seed, images.prior)
    total, trainable = zoo.counts(network)
    training = feed.Images(stored, images.training)
    loaded = Loaded(
        machine.place(network, cell, device),
        normalise.fit(cell, training).to(device),
        cell, images, stored, key, device,
    )  # fmt: skip
    trainer = _trainer(loaded, seed, f"{variant}-{seed}")
    saved = checkpoint.Checkpoint(checkpoint.fingerprint(cell, seed, key, described, pretrained))
    trainer.fit(partial(_stage, loaded, seed), saved)
    fitted = time.perf_counter()
    config = {
        "variant": variant,
        "seed": seed,
        "cell": cell.model_dump(),
        "classes": images.classes,
        "images": {name: len(rows) for name, rows in images.rows.items()},
        "params_total": total,
        "params_trainable": trainable,
        "best_epoch": trainer.progress.best_epoch,
        "epochs_run": trainer.progress.epoch,
        "normalisation": normalise.describe(loaded.normaliser),
        "weights": pretrained,
        "machine": described,
    }
    _write(loaded, trainer, config)
    timings = _timings(trainer, begin, fitted, device)
    if not distributed.rank():
        files.write_json(cells.timing_file(variant, seed), timings)
        saved.remove()


def _trainer(loaded: Loaded, seed: int, name: str) -> Trainer:
    images, device = loaded.data, loaded.device
    rows = {"train": images.training, "val": images.rows["val"]}
    labels = {split: torch.from_numpy(images.labels[chosen]).to(device) for split, chosen in rows.items()}
    weights = losses.class_weights(loaded.cell.loss, images.labels[images.rows["train"]], images.classes)
    return Trainer(loaded.cell, seed, loaded.network, labels, weights.to(device) if weights is not None else None, name)


def _stage(loaded: Loaded, seed: int, phase: Phase) -> Stage:
    """Set the trainable part of a phase and the source of its inputs: the images, or a cache at the freeze boundary."""
    cell, network = loaded.cell, loaded.network
    if phase.trainable is not None:
        network.set_trainable(phase.trainable)
    augmented = cell.augmentation != Augment()
    two_parts = cell.model.name == "backbone" and (cell.frozen == "cached" or not augmented)
    prefix, rest = network.split_frozen() if two_parts else (None, network)
    halves = Cut(loaded, prefix, rest) if cell.frozen == "cached" else Cut(loaded, None, network)
    if halves.cache is not None and (cell.views is not None or not augmented):
        cached = Cached(halves.cache, cell.views)
        return Stage(_trained(cell, rest), cached, lambda: halves.split("val"), cached.reader)
    images = feed.Images(feed.resident(loaded.pixels, loaded.device), loaded.data.training)
    live = feed.Live(images, cell, loaded.normaliser, seed, loaded.device)
    if prefix is not None and not augmented:
        whole: torch.nn.Module = LivePrefix(prefix, _trained(cell, rest), feed.group(cell))
    else:
        whole = _trained(cell, network)
    return Stage(whole, live, lambda: halves.split("val"), live.reader)


def _trained(cell: Cell, part: torch.nn.Module) -> torch.nn.Module:
    if cell.compile:  # dropout draws the same numbers as without the compiler, which has random numbers of its own
        part = cast("torch.nn.Module", torch.compile(part, options={"fallback_random": True}))
    return distributed.trained(part)


def _write(loaded: Loaded, trainer: Trainer, config: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    variant, seed = config["variant"], config["seed"]
    halves = cut(loaded)  # the last phase may have frozen layers that the chosen epoch trained
    logits: dict[str, NDArray[np.float32]] = {split: halves.split(split).cpu().numpy() for split in loaded.data.rows}
    if distributed.rank():
        return
    statistics = loaded.normaliser.state_dict(prefix=normalise.PREFIX)
    tensors = loaded.network.state_dict() | statistics
    folder = cells.run_folder(variant, seed)
    with files.atomic(folder / "model.safetensors") as target:  # without metadata: their order is not stable
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, target)
    with files.atomic(folder / "logits.npz") as target:
        np.savez(target, **logits)  # type: ignore[arg-type]
    with files.fresh_folder(cells.train_folder(variant, seed)) as target:
        files.write_json(target / "config.json", config)
        files.write_rows(target / "history.csv", cells.HISTORY, trainer.progress.history)


def _timings(trainer: Trainer, begin: float, fitted: float, device: torch.device) -> dict[str, Any]:
    """Seconds and hardware; the first epoch stands apart, since it includes work that is done once."""
    seconds, peak = trainer.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    together = torch.tensor([time.process_time(), peak], dtype=torch.float64, device=device)
    cpu, memory = distributed.summed(together).tolist()
    return {
        "epochs_here": len(seconds),
        "epoch_seconds_first": seconds[0] if seconds else None,
        "epoch_seconds_median": float(np.median(seconds[1:])) if seconds[1:] else None,
        "epoch_seconds": seconds,
        "seconds_to_fit": fitted - begin,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": cpu,
        "peak_memory_bytes": int(memory),
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
        "hardware": torch.cuda.get_device_name(device) if device.type == "cuda" else children.processor(),
    }
