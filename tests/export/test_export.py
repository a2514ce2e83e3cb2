"""`python -m stages.export`: the ONNX file gives what the study was made from, and what it states is true."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from stages.core.errors import UserError
from stages.export import __main__ as export
from stages.export import graph, int8, parity
from stages.predict.model import Ensemble
from stages.train import normalise
from stages.train.sections import Featurewise, Samplewise, Scale, Standardise, Zca
from tests.export.conftest import SEEDS

pytestmark = pytest.mark.slow

FILES = ("model.onnx", "model.int8.onnx", "README.md", "croissant.json")


def run(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["export", *arguments])
        export.main()


BARS: dict[str, list[int]] = {}  # by their names: steps told in advance, steps taken


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    def counted(items: Any, desc: str) -> Any:
        bar = BARS.setdefault(desc, [0, 0])
        bar[0] += len(items)
        for item in items:
            yield item
            bar[1] += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trained)
        patch.setattr(int8, "progress", counted)
        patch.setattr(parity, "progress", counted)
        run("--int8")
    return trained


@pytest.fixture(autouse=True)
def inside(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def part(name: str) -> tuple[Any, list[str]]:
    """Pictures and labels of a part, decoded here by Pillow alone; they have the size of the network."""
    kept = {row["image_id"]: row for row in read("data/clean/manifest.csv")}
    rows = [kept[row["image_id"]] for row in read("data/split/seeds/0.csv") if row["split"] == name]
    images = [np.asarray(Image.open(f"data/clean/{row['path']}").convert("RGB")) for row in rows]
    return np.stack(images), [row["label"] for row in rows]


def session(name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(f"export/{name}", providers=["CPUExecutionProvider"])


def test_onnx_gives_the_logits_of_the_report_and_the_mean_of_calibrated_probabilities() -> None:
    images, labels = part("test")
    onnx = session("model.onnx")
    logits, probabilities = onnx.run(None, {"images": images})
    said = onnx.get_modelmeta().custom_metadata_map
    classes = json.loads(said["labels"])
    assert classes == json.loads(Path("data/split/classes.json").read_text())
    expected, largest = np.zeros((len(images), len(classes))), 0.0
    for place, seed in enumerate(SEEDS):
        stored = np.load(f"runs/cnn/{seed}/logits.npz")["test"]
        largest = max(largest, float(np.abs(logits[:, place] - stored).max()))
        metrics = read(f"results/cnn/{seed}/evaluate/metrics.csv")
        heat = next(float(r["value"]) for r in metrics if (r["split"], r["metric"]) == ("val", "temperature"))
        assert json.loads(said["temperatures"])[place] == heat
        chances = np.exp(stored.astype(float) / heat)
        expected += chances / chances.sum(axis=1, keepdims=True) / len(SEEDS)
    assert 0 <= largest < 1e-4
    assert np.abs(probabilities - expected).max() < 1e-6
    right = (np.array(classes)[probabilities.argmax(axis=1)] == np.array(labels)).mean()
    assert right > 0.6  # of three labels: the network has learnt
    stated = json.loads(Path("export/parity.json").read_text())["model.onnx"]
    assert stated["test_images"] == len(images)
    assert stated["against_torch"]["top1_changes"] == stated["against_torch"][parity.SINGLE] == 0
    assert stated["against_the_logits_of_the_study"][parity.SINGLE] == 0
    found = stated["against_the_logits_of_the_study"]["largest_logit_difference"]
    assert found == pytest.approx(largest, abs=1e-5)
    alone = np.concatenate([onnx.run(None, {"images": image[None]})[1] for image in images])
    assert np.abs(alone - probabilities).max() < 1e-6  # the batch is free


def test_what_int8_is_said_to_cost_is_what_it_costs() -> None:
    images, labels = part("val")
    stated = json.loads(Path("export/parity.json").read_text())["model.int8.onnx"]["validation"]
    assert stated["images"] == len(images)
    for name, key in (("model.onnx", "top1_float32"), ("model.int8.onnx", "top1_int8")):
        onnx = session(name)
        classes = np.array(json.loads(onnx.get_modelmeta().custom_metadata_map["labels"]))
        guessed = classes[onnx.run(["logits"], {"images": images})[0].argmax(axis=2)]
        assert stated[key] == pytest.approx((guessed == np.array(labels)[:, None]).mean())
    assert stated["top1_lost"] == pytest.approx(stated["top1_float32"] - stated["top1_int8"])
    assert Path("export/model.int8.onnx").read_bytes() != Path("export/model.onnx").read_bytes()


def test_the_long_steps_show_their_progress_to_the_end() -> None:
    """The ranges, both files and torch on test, both files on validation."""
    both = [f"{file} on {part}" for file in ("model.onnx", "model.int8.onnx") for part in ("test", "validation")]
    assert set(BARS) == {"int8: ranges of activations", "torch on test", *both}
    assert all(told == taken > 0 for told, taken in BARS.values())


def test_the_same_study_gives_the_same_bytes() -> None:
    before = {name: Path("export", name).read_bytes() for name in FILES}
    run("--int8")
    assert {name: Path("export", name).read_bytes() for name in FILES} == before


def test_a_file_that_changes_a_label_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Path("export/model.onnx").read_bytes()
    honest = parity.by_onnx

    def wrong(path: Path) -> Any:
        def run_one(images: Any) -> Any:
            logits, probabilities = honest(path)(images)
            logits[0] = logits[0][:, ::-1] + np.arange(logits.shape[2]) * 100
            return logits, probabilities

        return run_one

    monkeypatch.setattr(parity, "by_onnx", wrong)
    with pytest.raises(UserError, match=r"another label than torch \d+ times"):
        run("--seed", "0")
    assert Path("export/model.onnx").read_bytes() == before


def test_without_weights_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    Path("runs").rename(tmp_path / "runs")
    try:
        with pytest.raises(UserError, match=re.escape("runs/cnn/0 is not here; `dvc repro` makes it")):
            run()
    finally:
        (tmp_path / "runs").rename("runs")


STEPS = {
    "scale": [Scale(name="scale")],
    "standardise": [Scale(name="scale"), Standardise(name="standardise", mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4])],
    "samplewise": [Samplewise(name="samplewise")],
    "featurewise": [Featurewise(name="featurewise")],
    "zca": [Scale(name="scale"), Zca(name="zca")],
}


@pytest.mark.parametrize("name", [*STEPS, "caffe"])
def test_every_normalisation_is_inside_the_graph(name: str, tmp_path: Path) -> None:
    """A network of one linear layer behind each step, on pictures that the step was not fitted on."""
    ensemble = Ensemble.trained("cnn", [0], 0.05)
    rng = np.random.default_rng(0)
    if name == "caffe":
        about = {"scale": torch.tensor(1.0), "mean": torch.tensor([123.68, 116.779, 103.939]), "std": torch.ones(3)}
        step = normalise.Pretrained(Scale(name="scale"), about | {"bgr": torch.ones(1)})
        normaliser = torch.nn.Sequential(step)
    else:
        cell = ensemble.members[0].loaded.cell.model_copy(update={"normalise": STEPS[name]})
        normaliser = normalise.fit(cell, rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8))  # type: ignore[arg-type]
    whole = graph.Graph(ensemble)
    whole.networks[0].normaliser = normaliser
    layer = torch.nn.Linear(192, 3)
    torch.nn.init.normal_(layer.weight, 0, 0.1, torch.Generator().manual_seed(0))
    whole.networks[0].network = torch.nn.Sequential(torch.nn.Flatten(), layer)
    graph.write(whole, tmp_path / "one.onnx", {"labels": "[]"})
    images = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    logits, _ = parity.by_onnx(tmp_path / "one.onnx")(images)
    own, _ = parity.by_torch(whole)(images)
    assert own.std() > 0
    assert np.allclose(logits, own, rtol=1e-4, atol=1e-4)
