"""The tables of a cell, as written, against scikit-learn and against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk

from stages.core import cells, files
from stages.core.errors import UserError
from stages.evaluate import cell, tables
from stages.evaluate.params import Evaluate
from tests.evaluate import made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made.study(tmp_path, {"strong": 2.0}, [0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_tables_equal_scikit_learns(folder: Path, split: str) -> None:
    tables.write(cell.read("strong", 0), Evaluate(top_k=2), folder / "out")
    read = cell.read("strong", 0).parts[split]
    guess = read.logits.argmax(axis=1)

    metrics = pd.read_csv("out/metrics.csv").set_index(["split", "metric"])["value"][split]
    assert metrics["top1"] == pytest.approx(sk.accuracy_score(read.targets, guess), abs=1e-11)
    assert metrics["macro_f1"] == pytest.approx(sk.f1_score(read.targets, guess, average="macro"), abs=1e-11)
    assert metrics["top2"] == pytest.approx(sk.top_k_accuracy_score(read.targets, read.logits, k=2), abs=1e-11)

    confusion = pd.read_csv("out/confusion.csv").query("split == @split")
    square = confusion.pivot_table(index="label", columns="predicted", values="count", fill_value=0)
    theirs = sk.confusion_matrix(read.targets, guess)
    np.testing.assert_array_equal(square.reindex(columns=["ant", "bee", "cat"], fill_value=0).to_numpy(), theirs)
    assert np.diag(theirs).sum() / theirs.sum() == pytest.approx(
        metrics["top1"], abs=1e-11
    )  # hazard: a matrix of other inputs than the accuracy

    table = pd.read_csv("out/per_class.csv").query("split == @split")
    np.testing.assert_allclose(table["f1"], sk.f1_score(read.targets, guess, average=None), atol=1e-11)

    bins = pd.read_csv("out/calibration.csv").query("split == @split")
    assert len(bins) == 15
    assert bins["n"].sum() == len(read.targets)
    gap = (bins["n"] * (bins["accuracy"] - bins["confidence"]).abs()).sum() / bins["n"].sum()
    assert metrics["ece"] == pytest.approx(gap, abs=1e-11)


def test_top_k_is_left_out_where_there_are_not_more_than_k_classes(folder: Path) -> None:
    tables.write(cell.read("strong", 0), Evaluate(), folder / "out")
    assert "top5" not in set(pd.read_csv("out/metrics.csv")["metric"])


def test_predictions_hold_validation_and_test_in_the_order_of_the_split(folder: Path) -> None:
    tables.write(cell.read("strong", 0), Evaluate(), folder / "out")
    written = pd.read_parquet("out/predictions.parquet")
    order = pd.read_csv(cells.split_file(0), dtype={"image_id": str})
    for split in ("val", "test"):
        mine, theirs = written[written["split"] == split], order[order["split"] == split]
        assert list(mine["image_id"]) == list(theirs["image_id"])
    test = cell.read("strong", 0).parts["test"]
    mine = written.query("split == 'test'")
    np.testing.assert_allclose(np.exp(-mine["loss"]), np.exp(test.log_p)[range(len(mine)), test.targets], rtol=1e-6)
    assert (mine["label"] == mine["predicted"]).mean() == (test.logits.argmax(axis=1) == test.targets).mean()


def test_written_twice_is_the_same_bytes(folder: Path) -> None:
    for name in ("one", "two"):
        tables.write(cell.read("strong", 0), Evaluate(), folder / name)
    for path in (folder / "one").iterdir():
        assert path.read_bytes() == (folder / "two" / path.name).read_bytes()


@pytest.mark.usefixtures("folder")
def test_logits_of_another_split_are_refused() -> None:
    rows = files.read_rows(cells.split_file(0))
    files.write_rows(cells.split_file(0), ["image_id", "split"], rows[1:])
    with pytest.raises(
        UserError,
        match=r"logits.npz is damaged .`\w+` is float32 of shape .*0.csv asks for .*`dvc repro train@strong-0`",
    ):
        cell.read("strong", 0)


def test_logits_that_are_not_finite_are_refused(folder: Path) -> None:
    logits = {name: split.logits for name, split in cell.read("strong", 0).parts.items()}
    logits["val"][0, 0] = np.nan
    made.write_cell(folder, "strong", 0, logits)
    with pytest.raises(UserError, match="strong, seed 0 diverged"):
        cell.read("strong", 0)


@pytest.mark.usefixtures("folder")
def test_a_cell_without_logits_is_named() -> None:
    (cells.run_folder("strong", 0) / "logits.npz").unlink()
    with pytest.raises(UserError, match=r"strong/0/logits.npz is not here; .*`dvc pull` fetches it"):
        cell.read("strong", 0)


@pytest.mark.parametrize("rule", ["balanced", [3.0, 1.0, 2.0]])
def test_loss_is_the_one_that_the_cell_was_trained_with(folder: Path, rule: str | list[float]) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    place = "results/strong/0/train/config.json"
    files.write_json(place, files.read_json(place) | {"cell": {"loss": {"label_smoothing": 0, "class_weights": rule}}})
    read = cell.read("strong", 0)
    tables.write(read, Evaluate(), folder / "out")
    train, test = read.parts["train"], read.parts["test"]
    each = compute_class_weight("balanced", classes=np.arange(3), y=train.targets) if rule == "balanced" else rule
    weights = np.array(each)[test.targets]
    nll = -np.log(np.exp(test.log_p)[range(len(weights)), test.targets])
    written = pd.read_csv("out/metrics.csv").set_index(["split", "metric"])["value"]
    assert written["test", "loss"] == pytest.approx(
        (nll * weights).sum() / weights.sum(), rel=1e-7
    )  # train weighs in float32
    assert written["test", "nll"] == pytest.approx(nll.mean(), abs=1e-11)


def test_the_defaults_are_those_that_the_default_study_spells_out() -> None:
    from stages.core import params

    study = params.read(Path(__file__).parents[2] / "params.yaml")
    assert params.section(Evaluate, study.raw["evaluate"], "evaluate") == Evaluate()
