"""What a cell does on a CUDA device, as far as a machine without one can tell.

torch's fake tensors know shape, dtype and device and compute nothing; an operation on tensors of two devices raises.
Recording and replaying a step as a graph is played on the CPU: the replay computes what was recorded once more.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from stages.train import augment, data, feed, losses, machine, normalise, order, pixels, predict, step, zoo
from stages.train import run as engine
from stages.train.frozen import Cache, Cut
from stages.train.predict import Loaded
from tests.train import made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stages.train.loop import Trainer
    from stages.train.params import Cell

CUDA = torch.device("cuda")
BACKBONE = {
    "name": "backbone",
    "architecture": "torchvision/vgg11",
    "weights": "none",
    "trainable": {"last": 2},
    "head": {"widths": [8]},
}
EVERYTHING = {
    "rotation": 10,
    "zoom": [0.8, 1.2],
    "shift": {"px": 2},
    "crop_padding": 2,
    "random_resized_crop": {},
    "horizontal_flip": 0.5,
    "vertical_flip": 0.5,
    "color_jitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    "random_erasing": {},
}
STEPS = [{"name": "scale"}, {"name": "featurewise"}, {"name": "zca", "components": 4}]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cnn": {"model": made.CNN_BN, "channels_last": True},
    "windows": {"model": made.CNN, "augment": "flip_crop"},
    "resampled": {"model": made.CNN, "augment": EVERYTHING},
    "mixup": {"augment": {"mixup": 0.4}},
    "shuffled in windows": {"augment": {"mixup": 0.4}, "shuffle_window": 12},
    "cutmix": {"augment": {"cutmix": 1.0, "mixup": 0.4, "horizontal_flip": 0.5}},
    "whitened": {"normalise": STEPS},
    "samplewise": {"normalise": [{"name": "samplewise"}]},
    "standardised": {"normalise": [{"name": "standardise", "mean": [1, 2, 3], "std": [1, 2, 3]}]},
    "weights": {"loss": {"class_weights": "balanced", "label_smoothing": 0.1}, "augment": {"mixup": 0.4}},
    "prior": {"model": {"name": "random"}},
    "frozen": {"model": BACKBONE, "size": 32, "batch": 8},
    "frozen_live": {"model": BACKBONE, "size": 32, "frozen": "live"},
    "frozen_views": {"model": BACKBONE, "size": 32, "augment": "flip_crop", "views": 2},
}


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Cell], Loaded]]:
    """Load a cell as `run` does, onto a faked device; the data are real until they are placed."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (1 << 33, 1 << 33))
    with contextlib.ExitStack() as stack:

        def load(cell: Cell) -> Loaded:
            images = data.load(0)
            stored = np.array(pixels.load(images.paths, cell.size, cell.resize))
            network = zoo.build(cell.model, len(images.classes), cell.size, 0, images.prior)
            fitted = normalise.fit(cell, feed.Images(stored, images.rows["train"]))
            mode = FakeTensorMode()
            _move(network, mode)
            _move(fitted, mode)
            stack.enter_context(mode)
            return Loaded(network, fitted, cell, images, stored, ["key"], CUDA)

        # The layout of a faked weight is told by its strides alone.
        monkeypatch.setattr(machine, "place", lambda network, _cell, _device: network)
        yield load


def _move(network: nn.Module, mode: FakeTensorMode) -> None:
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(_faked(parameter, mode), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else _faked(buffer, mode)


def _faked(value: torch.Tensor, mode: FakeTensorMode) -> torch.Tensor:
    faked = mode.from_tensor(value.detach())
    with mode:
        return faked.to(CUDA)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow) if kind in ("frozen_live", "frozen_views") else kind for kind in KINDS],
)
def test_nothing_mixes_devices(study: Path, cuda: Callable[[Cell], Loaded], kind: str) -> None:  # noqa: ARG001
    loaded = cuda(made.settings(**KINDS[kind]))
    cell, rows = loaded.cell, np.arange(8)
    train = losses.class_weights(cell.loss, loaded.data.labels[loaded.data.rows["train"]], loaded.classes)
    trainer: Trainer = engine._trainer(loaded, 0, kind)
    assert trainer.device.type == "cuda"
    resident = feed.resident(loaded.pixels, CUDA)
    assert isinstance(resident, torch.Tensor)
    assert resident.device.type == "cuda"
    for phase in cell.schedule_of_phases:
        if cell.views is None and not (cell.model.name == "backbone" and cell.frozen == "cached"):
            stage = engine._stage(loaded, 0, phase)
            x, mixed = stage.batch(1, rows, trainer.labels["train"])
            y = trainer.labels["train"][feed.place(rows, CUDA)]
            logits = stage.rest(x)
            loss = losses.cross_entropy(logits, y, mixed, trainer.weights, cell.loss.label_smoothing)
            assert {t.device.type for t in (x, y, logits, loss)} == {"cuda"}
            assert (trainer.weights is None) == (train is None)
            assert logits.shape == (8, 3)
        else:
            prefix, rest = loaded.network.split_frozen()
            assert prefix is not None
            out = Cache.__new__(Cache)
            out.loaded, out.prefix = loaded, prefix
            images = feed.Images(resident, loaded.data.rows["train"])
            x = feed.whole(images[rows], loaded.normaliser, CUDA)
            if cell.views is not None:
                drawn, _ = augment.Augmenter(cell.augmentation, 0, images)(1, rows, trainer.labels["train"])
                x = loaded.normaliser(drawn.to(CUDA))
            assert rest(out._forward(x)).device.type == "cuda"
    held_out = feed.Images(resident, loaded.data.rows["val"])
    evaluated = Cut(loaded, None, loaded.network).pictures(held_out, held_out.rows, None, "val")
    assert evaluated.device.type == "cuda"
    assert evaluated.dtype == torch.float32
    for chunk in predict.normalised(loaded, loaded.images("test")):  # from pixels in memory, as evaluate has them
        assert predict.forward(loaded, chunk).device.type == "cuda"


def test_mixed_devices_raise(study: Path, cuda: Callable[[Cell], Loaded]) -> None:  # noqa: ARG001
    """The test above could not fail otherwise."""
    loaded = cuda(made.settings(made.CNN))
    with pytest.raises(RuntimeError, match="two different devices"):
        loaded.network(torch.zeros(2, 3, 12, 12))


@pytest.mark.parametrize("kind", ["windows", "resampled", "mixup", "cutmix"])
def test_an_epoch_at_once_has_the_bits_of_its_batches(study: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    cell, images = made.settings(**KINDS[kind]), data.load(0)
    stored = pixels.load(images.paths, cell.size, cell.resize)
    training = feed.Images(stored, images.rows["train"])
    labels = torch.from_numpy(images.labels[images.rows["train"]])
    cpu = torch.device("cpu")
    fitted = normalise.fit(cell, training)
    batchwise, whole = (feed.Live(training, cell, fitted, 0, cpu) for _ in range(2))
    whole.by_epoch = True
    monkeypatch.setattr(feed, "_CHUNK_ON_GPU", 7 * 12 * 12)
    for epoch in (1, 2, 1):
        rows = order.permutation(0, epoch, len(labels))[:11]
        (x, mixed), (other, others) = batchwise(epoch, rows, labels), whole(epoch, rows, labels)
        assert torch.equal(x, other)
        assert (mixed is None) == (others is None)
        if mixed and others:
            assert torch.equal(mixed.labels, others.labels)
            assert torch.equal(mixed.share, others.share)


@pytest.mark.parametrize("pad", [0, 3])
def test_windows_on_the_device_have_the_bits_of_the_others(study: Path, pad: int) -> None:  # noqa: ARG001
    cell, images = (
        made.settings(made.CNN, augment={"horizontal_flip": 0.5, "vertical_flip": 0.5, "crop_padding": pad}),
        data.load(0),
    )
    stored = np.array(pixels.load(images.paths, cell.size, cell.resize))
    rows, labels = images.rows["train"], torch.zeros(30, dtype=torch.int64)
    host, device = (
        augment.Augmenter(cell.augmentation, 0, feed.Images(p, rows)) for p in (stored, torch.from_numpy(stored))
    )
    assert torch.equal(host(2, np.arange(30), labels)[0], device(2, np.arange(30), labels)[0])


# --- recording, with a recorder that computes the recorded step again ---


class _Recorder:
    """Stands in for torch.cuda.CUDAGraph: gradients and outputs of a replay lie where those of the recording lay."""

    replays = 0
    recorded: Any

    def replay(self) -> None:
        type(self).replays += 1
        work, inputs, parameters, gradients, outcome = self.recorded
        for parameter in parameters:
            parameter.grad = None
        for mine, new in zip(outcome, work(inputs), strict=True):
            mine.copy_(new)
        for mine, parameter in zip(gradients, parameters, strict=True):
            mine.copy_(parameter.grad)
            parameter.grad = None


class _PlayedGraph(step._Graph):
    def __init__(self, network: nn.Module, inputs: Any, work: Any) -> None:
        buffers = [buffer.clone() for buffer in network.buffers()]
        super().__init__(network, inputs, work)
        assert all(torch.equal(a, b) for a, b in zip(buffers, network.buffers(), strict=True))
        recorder: Any = self.graph
        recorder.recorded = (work, self.inputs, self.parameters, self.gradients, self.outcome)


@pytest.fixture
def recorder(study: Path, monkeypatch: pytest.MonkeyPatch) -> type[_Recorder]:  # noqa: ARG001
    class Stream:
        def wait_stream(self, _other: object) -> None: ...

    _Recorder.replays = 0

    @contextlib.contextmanager
    def recording(_graph: _Recorder) -> Iterator[None]:
        """Computes, which a true recording does not: as it must not show, running statistics are put back."""
        state = torch.get_rng_state()
        yield
        torch.set_rng_state(state)

    for name, value in {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda _stream: contextlib.nullcontext(),
        "graph": recording,
        "CUDAGraph": _Recorder,
        "get_rng_state": torch.get_rng_state,
        "set_rng_state": torch.set_rng_state,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(step, "_DEVICE", "cpu")
    monkeypatch.setattr(step, "_Graph", _PlayedGraph)
    return _Recorder


CELLS: dict[str, dict[str, Any]] = {
    "batch_norm_dropout": {"model": made.CNN_BN, "optimizer": {"name": "sgd", "momentum": 0.9}},
    "mixup_weights": {"augment": {"mixup": 0.4}, "loss": {"class_weights": "balanced", "label_smoothing": 0.1}},
    "clipped_schedule_bf16": {
        "model": {**made.CNN, "head": {"widths": [8], "dropout": 0.5}},
        "clip_norm": 0.5,
        "schedule": {"name": "onecycle"},
        "precision": "bf16",
        "channels_last": True,
    },
    "phases": {"model": made.CNN, "phases": [{"epochs": 2, "lr": 0.01}, {"epochs": 1, "lr": 0.001}]},
}


@pytest.mark.parametrize("case", CELLS)
def test_a_recorded_cell_has_the_bytes_of_a_plain_one(
    recorder: type[_Recorder],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    cell = made.settings(**CELLS[case], batch=8)
    with monkeypatch.context() as patch:
        patch.setattr(step, "RECORD", False)
        engine.run(cell, "v", 0)
    assert not recorder.replays
    expected = made.outputs()
    engine.run(cell, "v", 0)
    assert recorder.replays == 3 * (30 // 8), "the last batch of an epoch is a smaller one"
    assert made.outputs() == expected


@pytest.mark.parametrize("settings", [{"precision": "fp16"}, {"accumulate": 2}])
def test_what_changes_from_step_to_step_is_not_recorded(
    recorder: type[_Recorder],
    settings: dict[str, Any],
) -> None:
    engine.run(made.settings(made.CNN, **settings), "v", 0)
    assert not recorder.replays


def test_what_cannot_be_recorded_trains_without(
    recorder: type[_Recorder],  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cell = made.settings(made.CNN_BN)
    monkeypatch.setattr(step, "RECORD", False)
    engine.run(cell, "v", 0)
    expected = made.outputs()
    monkeypatch.setattr(step, "RECORD", True)

    @contextlib.contextmanager
    def refuses(_graph: object) -> Iterator[None]:
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refuses)
    engine.run(cell, "v", 0)
    assert capsys.readouterr().err.count("not permitted when stream is capturing") == 1
    assert made.outputs() == expected
