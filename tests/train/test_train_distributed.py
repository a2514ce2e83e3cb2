"""A cell in two processes on the CPU is the cell of one process: the same images, the same curve, the same choice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.numpy import load_file

from stages.core import files
from stages.core.errors import UserError
from stages.train import distributed, feed, machine, order, predict
from stages.train import run as engine
from tests.tiny import ROOT
from tests.train import made, ranks

if TYPE_CHECKING:
    from stages.train.params import Cell

BATCH_NORM = {**made.CNN_BN, "blocks": [{"filters": [8]}], "layers": ["conv", "batch_norm", "activation", "pool"]}
BACKBONE = {
    "name": "backbone", "architecture": "mobilenetv3_small_050", "weights": "none", "trainable": "head",
    "head": {"widths": [16]},
}  # fmt: skip
VIEWS = {"model": BACKBONE, "size": 33, "batch": 6, "augment": "flip_crop", "views": 2}
WEIGHTED: dict[str, Any] = {
    "model": made.CNN, "batch": 5, "accumulate": 2, "clip_norm": 0.5, "schedule": {"name": "onecycle"},
    "loss": {"class_weights": [1.0, 5.0, 0.2], "label_smoothing": 0.1},
    "augment": {"mixup": 0.4, "horizontal_flip": 0.5, "rotation": 20},
    "optimizer": {"name": "sgd", "momentum": 0.9}, "normalise": [{"name": "scale"}, {"name": "zca", "components": 4}],
}  # fmt: skip
# Shares of a batch of 5 are 3 and 2: a mean over the processes that counts both alike would give another curve.
ALIKE: dict[str, dict[str, Any]] = {
    "plain": {"model": made.CNN, "batch": 5, "checkpoint": "best_val_top1"},
    "weighted": WEIGHTED,
    "weighted_alone": {"model": made.CNN, "batch": 5, "loss": {"class_weights": [1.0, 5.0, 0.2]}},
    "phases": {
        "model": made.MLP | {"dropout": 0.0},
        "batch": 5,
        "phases": [{"epochs": 2, "lr": 0.01}, {"epochs": 2, "lr": 0.001}],
        "schedule": {"name": "plateau", "patience": 0},
        "early_stopping": {"patience": 3},
    },
    "bfloat16": {
        "model": made.MLP | {"dropout": 0.0},
        "batch": 5,
        "precision": "bf16",
        "optimizer": {"name": "sgd", "momentum": 0.9},
    },
    "frozen": {"model": BACKBONE, "size": 33, "batch": 6},
    "frozen_live": {"model": BACKBONE, "size": 33, "batch": 6, "frozen": "live"},
    "views": VIEWS,
    "window": {"model": made.CNN, "batch": 5, "augment": {"mixup": 0.4}, "shuffle_window": 12},
    "window_views": VIEWS | {"shuffle_window": 12},
}
MORE: dict[str, dict[str, Any]] = {
    "left_over": {"model": made.CNN, "batch": 9, "augment": "flip_crop"},  # 9, 9 and 12: three do not stand alone
    "batch_norm": {"model": BATCH_NORM, "batch": 10, "lr": 1e-12, "epochs": 1},
    "float16": {"model": made.MLP | {"dropout": 0.0}, "batch": 5, "precision": "fp16"},
    "dropout": {"model": made.CNN_BN, "batch": 8},
    "long": {"model": made.CNN_BN, "batch": 8, "epochs": 60},
}
SLOWER = ("frozen", "frozen_live", "views", "long")  # take as long as all others


def two(**settings: Any) -> Cell:
    return made.settings(**settings, processes=2)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose cells, but for the slower ones, were trained in two processes that were started once."""
    folder = tmp_path_factory.mktemp("pair")
    made.make(folder)
    (folder / "seen").mkdir()
    train(folder, *({**ALIKE, **MORE}.keys() - SLOWER))
    return folder


@pytest.fixture(scope="module")
def slower(pair: Path) -> None:
    """The slower cells are there too."""
    train(pair, *SLOWER)


def train(folder: Path, *cases: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        cells = {name: two(**own) for name, own in {**ALIKE, **MORE}.items() if name in cases}
        ranks.CELLS.write_text(json.dumps({name: cell.model_dump() for name, cell in cells.items()}))
        distributed.launch(ranks.all_of_them, two(), "v", 0)


@pytest.fixture(autouse=True)
def _inside(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pair)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def history(variant: str) -> list[dict[str, str]]:
    return files.read_rows(f"results/{variant}/0/train/history.csv")


def config(variant: str) -> dict[str, Any]:
    told: dict[str, Any] = files.read_json(f"results/{variant}/0/train/config.json")
    return told


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.slow) if name in SLOWER else name for name in ALIKE]
)
def test_the_curve_and_the_choice_of_one_process(case: str, request: pytest.FixtureRequest) -> None:
    if case in SLOWER:
        request.getfixturevalue("slower")
    engine.run(made.settings(**ALIKE[case]), f"{case}_one", 0)
    mine, one = history(case), history(f"{case}_one")
    assert len(mine) == len(one) > 1
    close = 1e-2 if case == "bfloat16" else 2e-4
    for column in ("lr", "train_loss", "val_loss"):
        found, expected = ([float(row[column]) for row in rows] for rows in (mine, one))
        np.testing.assert_allclose(found, expected, rtol=close, err_msg=column)
    for column in ("train_top1", "val_top1"):  # an image between two classes may fall to either side
        found, expected = ([float(row[column]) for row in rows] for rows in (mine, one))
        np.testing.assert_allclose(found, expected, atol=1 / 9 + 1e-9, err_msg=column)
    assert config(case)["best_epoch"] == config(f"{case}_one")["best_epoch"]
    assert (config(case)["cell"]["processes"], config(f"{case}_one")["cell"].get("processes")) == (2, None)


@pytest.mark.parametrize("case", ["plain", "weighted", "left_over", "window"])
def test_every_image_once_an_epoch_and_alike_in_every_process(case: str) -> None:
    settings = {**ALIKE, **MORE}[case]
    logs = [json.loads(Path(f"seen/{case}-{rank}").read_text()) for rank in (0, 1)]
    cell = made.settings(**settings)
    loaded = predict.load(case, 0)
    images = feed.Images(loaded.pixels, loaded.data.training)
    labels = torch.from_numpy(loaded.data.labels[loaded.data.training])
    for epoch in (1, 2, 3):
        steps = [[entry for entry in log if entry[0] == epoch] for log in logs]
        assert len(steps[0]) == len(steps[1])
        batches = [mine[1] + others[1] for mine, others in zip(*steps, strict=True)]
        assert [row for b in batches for row in b] == order.permutation(0, epoch, 30, cell.shuffle_window).tolist()
        assert [len(b) for b in batches] == ([9, 9, 12] if case == "left_over" else [5] * 6)
        assert all(abs(len(mine[1]) - len(others[1])) <= 1 for mine, others in zip(*steps, strict=True))
        alone = feed.Live(images, cell, loaded.normaliser, 0, loaded.device)
        for entry in steps[0] + steps[1]:
            x, _ = alone(epoch, np.array(entry[1]), labels)
            np.testing.assert_allclose(entry[2], x.double().sum((1, 2, 3)).tolist(), rtol=1e-12)


def test_float16_skips_the_same_steps_in_both_processes() -> None:
    """How many steps the scale of the loss costs is not that of one process, since shares have larger gradients."""
    losses = [float(row["train_loss"]) for row in history("float16")]
    assert losses[2] < losses[1] < losses[0]


def test_dropout_differs_between_processes() -> None:
    seeds = [[entry[3] for entry in json.loads(Path(f"seen/dropout-{rank}").read_text())] for rank in (0, 1)]
    assert len(set(seeds[0])) == len(set(seeds[1])) == 3  # one for each epoch
    assert not set(seeds[0]) & set(seeds[1])


def test_running_statistics_are_those_of_all_images() -> None:
    """Where weights stand still, the mean over equal shares is the mean over the batch."""
    engine.run(made.settings(**MORE["batch_norm"]), "batch_norm_one", 0)
    mine, one = (load_file(f"runs/{v}/0/model.safetensors") for v in ("batch_norm", "batch_norm_one"))
    (name,) = (key for key in mine if key.endswith("running_mean"))
    assert np.abs(one[name]).max() > 1e-3
    np.testing.assert_allclose(mine[name], one[name], rtol=1e-5, atol=1e-7)


PREDICT = """
import numpy as np
from stages.train import predict
for variant in ("plain", "batch_norm", "frozen"):
    loaded = predict.load(variant, 0)
    with np.load(f"runs/{variant}/0/logits.npz") as stored:
        for split in ("train", "val", "test"):
            assert np.array_equal(predict.logits(loaded, loaded.images(split)), stored[split]), (variant, split)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("slower")
def test_the_network_in_the_file_gives_the_logits_in_the_file() -> None:
    """In a process that loads torch as a stage does; this one may have loaded it for other kernels."""
    subprocess.run([sys.executable, "-c", PREDICT], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.slow
def test_a_cell_has_its_bytes_again_and_what_the_processes_took_is_counted() -> None:
    expected = made.outputs(variant="dropout")
    engine.run(two(**MORE["dropout"]), "dropout", 0)
    assert made.outputs(variant="dropout") == expected
    assert not [path for path in Path(".checkpoints").iterdir() if path.is_dir()]
    one = psutil.Process().memory_info().rss
    assert files.read_json("timings/dropout/0.json")["peak_memory_bytes"] > one // 2


@pytest.mark.slow
def test_a_resumed_cell_of_three_processes_has_its_bytes() -> None:
    """Of two, sums have no order; of three, torch's arrangement of the gradients decides how they are rounded."""
    wide = {"name": "cnn", "blocks": [{"filters": [64, 64]}, {"filters": [64, 64]}], "head": {"widths": [256]}}
    cell = made.settings(wide, processes=3, batch=10, epochs=4)
    engine.run(cell, "three", 0)
    expected = made.outputs(variant="three")
    with pytest.raises(UserError, match="interrupted"):
        distributed.launch(ranks.interrupted, cell, "three", 0)
    engine.run(cell, "three", 0)
    assert files.read_json("timings/three/0.json")["epochs_here"] == 2
    assert made.outputs(variant="three") == expected


# --- ends that nobody planned ---


def write_params() -> None:
    raw = {
        "study": "test", "lr": 0.01, "seeds": [0], "ingest": {}, "clean": {}, "split": {}, "evaluate": {},
        "aggregate": {}, "report": {"published": "", "leak": ""}, "train": made.TRAIN | {"processes": 2},
        "variants": {"long": MORE["long"]},
    }  # fmt: skip
    YAML().dump(raw, Path("params.yaml"))


def begun(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The two processes of a cell that has left its first checkpoint."""
    while not list(Path(".checkpoints").glob("*/last.pt")) and process.poll() is None:
        time.sleep(0.002)
    kids = psutil.Process(process.pid).children()
    return [kid for kid in kids if "spawn_main" in " ".join(kid.cmdline())]


COMMAND = [sys.executable, "-m", "stages.train", "--variant", "long", "--seed", "0"]
ENDS = {
    "a process": (1, "error: long-0: process 2 of 2 ended by signal 9, often for lack of memory, and the cell with it"),
    "a process, politely": (1, "error: long-0: process 2 of 2 ended by signal 15, and the cell with it"),
    "ctrl-c": (130, "interrupted: nothing half-written is left; the same command goes on from here"),
    "the stage": (-signal.SIGKILL, ""),
}


@pytest.mark.slow
@pytest.mark.usefixtures("slower")
@pytest.mark.parametrize("end", ENDS)
def test_a_killed_cell_ends_whole_and_goes_on(end: str) -> None:
    expected = made.outputs(variant="long")
    write_params()
    shutil.rmtree(".checkpoints", ignore_errors=True)
    environment = made.environment() | {"TMPDIR": str(Path.cwd())}
    stage = subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    both = begun(stage)
    assert len(both) == 2
    if end == "a process":
        both[1].kill()
    elif end == "a process, politely":
        both[1].terminate()
    elif end == "ctrl-c":
        os.killpg(stage.pid, signal.SIGINT)
    else:
        stage.kill()
    said = stage.communicate(timeout=60)[1]
    assert stage.returncode == ENDS[end][0], said
    assert ENDS[end][1] in said
    assert "Traceback" not in said
    assert "leaked" not in said
    assert not psutil.wait_procs(both, timeout=20)[1], "a process is left behind"
    done = subprocess.run(COMMAND, env=made.environment(), capture_output=True, text=True, check=True)
    assert done.stderr.count("long-0: goes on after epoch") == 1, "only one of the processes says so"
    assert files.read_json("timings/long/0.json")["epochs_here"] < 60
    assert made.outputs(variant="long") == expected


@pytest.mark.slow
def test_an_error_is_that_of_the_process_that_failed() -> None:
    with pytest.raises(KeyError, match="long") as caught:
        distributed.launch(ranks.fails_in_the_second, two(), "long", 0)
    assert "fails_in_the_second" in "".join(caught.value.__notes__)


# --- what is refused before anything is started ---


def test_a_batch_has_two_images_for_each_process() -> None:
    with pytest.raises(UserError, match=r"`variants.v`: `processes: 3` share each batch.*`batch` is 5"):
        made.settings(batch=5, processes=3)
    assert made.settings(batch=1).processes == 1


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "two", True])
def test_a_number_of_processes(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"`variants\.v\.processes` is "):
        made.settings(processes=wrong)


def test_each_process_needs_a_gpu_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "choose", lambda _cell: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"`processes: 2` needs a GPU for each, and torch sees 1 here"):
        engine.run(two(), "v", 0)


def test_one_process_is_not_told_of() -> None:
    """Cells that were trained before there was such a key have the same record."""
    assert "processes" not in made.settings(processes=1).model_dump()
    assert made.settings(processes=1) == made.settings()
