"""A cell that was interrupted, whenever and however, ends with the bytes of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from stages.core import files
from stages.core.errors import UserError
from stages.train import checkpoint, predict, zoo
from stages.train import run as engine
from stages.train.checkpoint import Checkpoint, fingerprint
from stages.train.zoo import weights
from tests.train import made

if TYPE_CHECKING:
    from pathlib import Path

PHASES = [{"epochs": 2, "lr": 0.01}, {"epochs": 2, "lr": 0.001}]
AUGMENT = {"rotation": 20, "horizontal_flip": 0.5, "mixup": 0.4, "random_erasing": {}}
CASES: dict[str, dict[str, Any]] = {
    "dropout": {"model": made.MLP, "epochs": 4},
    "augmented_batch_norm_sgd_phases": {
        "model": made.CNN_BN,
        "phases": PHASES,
        "augment": AUGMENT,
        "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True},
    },
    "plateau_accumulate_rmsprop": {
        "model": made.CNN,
        "epochs": 4,
        "optimizer": {"name": "rmsprop"},
        "schedule": {"name": "plateau", "patience": 0},
        "accumulate": 2,
        "clip_norm": 1.0,
        "checkpoint": "best_val_top1",
    },
    "windows": {"model": made.CNN_BN, "epochs": 4, "augment": AUGMENT, "shuffle_window": 12},
    "float16": {"model": made.MLP, "epochs": 4, "precision": "fp16"},
    "early_stopping_one_cycle": {
        "model": made.MLP,
        "epochs": 4,
        "schedule": {"name": "onecycle"},
        "early_stopping": {"patience": 3},
        "checkpoint": "last",
    },
}


class Stop(BaseException):
    """As abrupt as a kill, within one process."""


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    whole = Checkpoint.save

    def save(self: Checkpoint, state: dict[str, Any]) -> None:
        whole(self, state)
        if state["progress"]["epoch"] == after:
            raise Stop

    monkeypatch.setattr(Checkpoint, "due", True)
    monkeypatch.setattr(Checkpoint, "save", save)


@pytest.mark.parametrize(("case", "after"), [*((case, 1 + i % 4) for i, case in enumerate(CASES)), ("dropout", 3)])
def test_resumed_equals_uninterrupted(study: Path, monkeypatch: pytest.MonkeyPatch, case: str, after: int) -> None:
    cell = made.settings(**CASES[case])
    engine.run(cell, "v", 0)
    expected = made.outputs()
    with monkeypatch.context() as patch:
        interrupt(patch, after)
        with pytest.raises(Stop):
            engine.run(cell, "v", 0)
    assert list((study / ".checkpoints").rglob("last.pt")), "the interrupted cell left nothing to go on from"
    engine.run(cell, "v", 0)
    assert files.read_json("timings/v/0.json")["epochs_here"] == 4 - after, "it began anew"
    assert made.outputs() == expected
    assert not list((study / ".checkpoints").iterdir()), "the last checkpoint of a finished cell stays behind"


def test_other_settings_do_not_resume(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        for changed in dict[str, Any](), {"batch": 4}:
            with pytest.raises(Stop):
                engine.run(made.settings(**changed), "v", 0)
        with pytest.raises(Stop):
            engine.run(made.settings(), "v", 1)
    assert len(list((study / ".checkpoints").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the first epoch", "after an epoch"])
def test_kill_9(study: Path, moment: str) -> None:
    raw = {
        "study": "test", "lr": 0.01, "seeds": [0], "ingest": {}, "clean": {}, "split": {}, "evaluate": {},
        "aggregate": {},
        "report": {"published": "", "leak": ""}, "train": {**made.TRAIN, "epochs": 40},
        "variants": {"v": {"model": made.CNN_BN}},
    }  # fmt: skip
    YAML().dump(raw, study / "params.yaml")
    command = [sys.executable, "-m", "stages.train", "--variant", "v", "--seed", "0"]
    process = subprocess.Popen(command, env=made.environment(), start_new_session=True)
    awaited = ".cache/pixels/*.npy" if moment == "before the first epoch" else ".checkpoints/*/last.pt"
    while not list(study.glob(awaited)) and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (study / "results").exists()
    cell = made.settings(made.CNN_BN, epochs=40)
    engine.run(cell, "v", 0)
    resumed = made.outputs()
    engine.run(cell, "v", 0)
    assert made.outputs() == resumed


def test_a_slow_disk_gets_few_checkpoints(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.run(made.settings(), "v", 0)
    expected = made.outputs()
    saved: list[int] = []
    whole, forward = Checkpoint.save, predict.forward

    def save(self: Checkpoint, state: dict[str, Any]) -> None:
        whole(self, state)
        saved.append(state["progress"]["epoch"])

    def stop(*given: Any) -> Any:
        if trained[0] == 3:
            raise KeyboardInterrupt
        trained[0] += 1
        return forward(*given)

    trained = [1]  # validation of the third epoch never ends
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_FREE", 0.0)
        patch.setattr(checkpoint, "_SHARE", 1e-9)
        patch.setattr(Checkpoint, "save", save)
        patch.setattr(predict, "forward", stop)
        with pytest.raises(KeyboardInterrupt):
            engine.run(made.settings(), "v", 0)
    assert saved == [1]
    engine.run(made.settings(), "v", 0)
    assert files.read_json("timings/v/0.json")["epochs_here"] == 2
    assert made.outputs() == expected
    assert not list((study / ".checkpoints").iterdir())


def test_exploding_loss_names_epoch_and_step(study: Path) -> None:
    cell = made.settings(made.MLP, optimizer={"name": "sgd"}, lr=1e30)
    with pytest.raises(UserError, match=r"v-0: the loss is (nan|inf) at epoch 1, step [1-4];.*lower `lr`"):
        engine.run(cell, "v", 0)
    assert not (study / "results").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "another"])
def test_a_damaged_checkpoint_begins_anew(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    engine.run(made.settings(), "v", 0)
    expected = made.outputs()
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(Stop):
            engine.run(made.settings(), "v", 0)
    (file,) = (study / ".checkpoints").rglob("last.pt")
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    data[data.index(largest.filename.encode()) + len(largest.filename) + 100] ^= 16
    shapes = {"cut": file.read_bytes()[:-2000], "empty": b"", "bit": bytes(data), "another": b"no zip at all" * 99}
    file.write_bytes(shapes[damage])
    engine.run(made.settings(), "v", 0)
    assert "is damaged; it is removed, and the cell begins anew" in "".join(capsys.readouterr())
    assert made.outputs() == expected


def test_two_files_of_imagenet_weights_have_two_fingerprints(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = made.settings({"name": "backbone", "architecture": "resnet18", "weights": "imagenet"})
    seen = []
    for content, source in ((b"one", "hub a"), (b"another", "hub a"), (b"one", "package b 1.0")):
        file = study / "weights.pth"
        file.write_bytes(content)
        found = weights.Found(file, source)
        monkeypatch.setattr("stages.train.zoo.weights.imagenet", lambda _published, found=found: found)
        seen.append(fingerprint(cell, 0, [], {}, zoo.pretrained(cell.model)))
    assert seen[0] != seen[1]
    assert seen[0] == seen[2], "the same content from another place"
