"""Every system of the four studies: its size, its settings, and the table that `make systems` writes."""

import collections
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.cells.check import check
from stages.core import files, params
from stages.core.errors import UserError
from stages.train import zoo
from stages.train.params import cell
from stages.train.zoo import freezing
from studies import systems

PUBLISHED = {row["system"]: row for row in files.read_rows(systems.PUBLISHED)}
TABLE = {row["id"]: row for row in files.read_rows(systems.SYSTEMS)}
FOLDERS = sorted(path.parent.name for path in systems.HERE.glob("*/params.yaml"))


@functools.cache
def study_of(name: str) -> params.Study:
    return params.read(systems.HERE / name / params.FILE)


@pytest.fixture
def no_memory() -> Iterator[None]:
    """Build networks without their numbers: the sizes are the same, and no time goes into drawing weights."""
    with torch.device("meta"):
        yield


def test_none_is_missing() -> None:
    ids = [f"B{i}" for i in range(1, 9)] + [f"U{i}" for i in range(1, 19)]
    ids += [f"E{i}" for i in range(7)] + [f"P{i}" for i in range(1, 5)]
    assert list(TABLE) == list(PUBLISHED) == ids


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("system", PUBLISHED)
def test_parameters(system: str) -> None:
    published, row = PUBLISHED[system], TABLE[system]
    total, trainable = systems.count(published["study"], system)
    assert (row["params_total"], row["params_trainable"]) == (str(total), str(trainable))
    if published["params_total"]:
        assert total == int(published["params_total"])
    if published["params_trainable"]:
        # Keras' one trained convolution of B4 has a bias for each of its 2,048 filters, timm's has none.
        assert trainable == int(published["params_trainable"]) - (2048 if system == "B4" else 0)


@pytest.mark.parametrize("name", FOLDERS)
def test_settings_are_valid(name: str) -> None:
    study = study_of(name)
    check(study)
    assert study.name == name


@pytest.mark.parametrize("system", [s for s in PUBLISHED if PUBLISHED[s]["study"] != "cifar10_en" or s != "E0"])
def test_epochs_are_the_published_ones(system: str) -> None:
    study = study_of(PUBLISHED[system]["study"])
    assert cell(study, system).total_epochs == int(PUBLISHED[system]["epochs"])


@pytest.mark.parametrize(
    "pair",
    [("bananas_scratch", "bananas_scratch_published"), ("bananas_pretrained_clean", "bananas_pretrained_published")],
)
def test_the_two_splits_of_the_leak_cost_differ_in_nothing_else(pair: tuple[str, str]) -> None:
    clean, published = (study_of(name) for name in pair)
    different = {key for key in clean.raw if clean.raw[key] != published.raw[key]}
    assert different == {"study", "clean", "split", "report"}
    assert {**clean.raw["report"], "leak": ""} == {**published.raw["report"], "leak": ""}


def test_a_twin_differs_in_what_is_corrected_alone() -> None:
    for name in systems.CLASSES:
        study = study_of(name)
        for variant in study.variants:
            if variant.endswith("_corrected"):
                twin, original = (cell(study, v).model_dump() for v in (variant, variant.removesuffix("_corrected")))
                assert {key for key in twin if twin[key] != original[key]} == {"normalise"}


def test_the_table_in_the_readme_is_that_of_the_file() -> None:
    text = systems.README.read_text(encoding="utf-8")
    rows = [{**row, "params_trainable": int(row["params_trainable"])} for row in files.read_rows(systems.SYSTEMS)]
    rows = [
        {key: value for key, value in row.items() if value != ""} | {"published_sd": row["published_sd"]}
        for row in rows
    ]
    assert systems.with_table(text, rows) == text


@pytest.mark.parametrize("system", PUBLISHED)
def test_a_row_says_where_it_was_run_or_what_is_missing(system: str) -> None:
    row, study = TABLE[system], PUBLISHED[system]["study"]
    assert (row["published"], row["published_sd"]) == (PUBLISHED[system]["top1"], PUBLISHED[system]["top1_sd"])
    if row["data"] == "not run":
        assert not row["run"]
        assert not row["mean"]
    else:  # the figures are those of the committed report
        lines = files.read_rows(systems.HERE / row["run"] / "reports/summary.csv")
        (found,) = [r for r in lines if (r["variant"], r["split"], r["metric"]) == (row["variant"], "test", "top1")]
        assert row["n"] == found["n"]
        assert (row["mean"], row["sd"]) == (
            ("", "") if row["data"].startswith("proof") else (found["mean"], found["sd"])
        )
    if row["class"] != "as published":
        assert f"make study STUDY={study}" in row["note"]
        needs_weights = cell(study_of(study), system).model.name == "backbone"
        assert ("ImageNet weights" in row["note"]) == needs_weights


def test_the_first_sentence_counts_the_classes() -> None:
    text = systems.README.read_text(encoding="utf-8")
    (said,) = re.findall(r"Of 37 systems: (.*)\.", text)
    counts = {name: int(n) for n, name in (part.split(" ", 1) for part in said.split(", "))}
    assert counts == collections.Counter(row["class"] for row in TABLE.values())
    assert {row["class"] for row in TABLE.values() if row["mean"]} <= {
        "as published",
        "other weights",
        "subset",
        "stand-in",
    }


@pytest.mark.parametrize("system", systems.OTHER_WEIGHTS)
def test_other_weights_differ_in_the_backbone_alone(system: str) -> None:
    """Its head and what of it is trained are published; the settings of the run are those of its study."""
    folder, variant = systems.OTHER_WEIGHTS[system]
    here = cell(study_of(folder), variant).model
    published = cell(study_of(PUBLISHED[system]["study"]), system).model
    assert here.name == published.name == "backbone"
    assert here.architecture.startswith("tf_efficientnet_lite")
    assert here.weights == published.weights == "imagenet"
    assert (here.trainable == "head") == (published.trainable == "head")
    if system in ("E4", "E5", "E6"):  # a number of layers from the end
        assert here.trainable == freezing.PRESETS[system]
    if system == "P4":  # the same share of the parameters
        row, built = TABLE[system], zoo.counts(zoo.build(here.model_copy(update={"weights": "none"}), 10, 32, seed=0))
        assert built[1] / built[0] == pytest.approx(int(row["params_trainable"]) / int(row["params_total"]), abs=0.05)
    assert here.head.model_dump(exclude={"pooling"}) == published.head.model_dump(exclude={"pooling"})


def stand_in_differs_in_size_and_backbone_alone(
    here: dict[str, Any], published: dict[str, Any], different: set[str]
) -> None:
    if published["model"]["name"] == "backbone":  # the sizes are those of the study
        assert different == {"model"}
        assert here["model"] == published["model"] | {"architecture": "tf_efficientnet_lite0"}
    else:
        assert different == {"size"}
        assert here["size"] * 4 == published["size"]


def test_what_was_run_elsewhere_is_the_same_system() -> None:
    """But for what the README of the run states: the share of the data, epochs, weights, precision."""
    for system, (folder, data) in systems.RUNS.items():
        here = cell(study_of(folder), system).model_dump()
        published = cell(study_of(PUBLISHED[system]["study"]), system).model_dump()
        different = {key for key in here if here[key] != published[key]}
        if system == "E0":  # guesses: nothing else takes effect
            assert "model" not in different
        elif data == "as published":
            assert not different
        elif data == "stand-in":
            stand_in_differs_in_size_and_backbone_alone(here, published, different)
        elif data == "subset":
            assert different <= {"epochs", "precision", "channels_last"}
        else:
            assert different <= {"epochs", "precision", "channels_last", "model"}
            assert here["model"] == published["model"] | ({"weights": "none"} if "weights" in here["model"] else {})


@pytest.mark.parametrize("system", ["E2", "E3", "P2", "P3"])
def test_the_gpu_study_is_as_published_but_for_what_makes_it_fast(system: str) -> None:
    here = cell(study_of("cifar10_gpu"), system).model_dump()
    published = cell(study_of(PUBLISHED[system]["study"]), system).model_dump()
    assert {key for key in here if here[key] != published[key]} == {"precision", "channels_last"}
    assert study_of("cifar10_gpu").raw["split"] == study_of(PUBLISHED[system]["study"]).raw["split"]


@pytest.mark.parametrize("system", [system for system, (_, data) in systems.RUNS.items() if data == "stand-in"])
def test_a_stand_in_is_called_one(system: str) -> None:
    """In the note of its row; and no published figure stands beside its own, in its report."""
    folder, data = systems.RUNS[system]
    study = study_of(folder)
    reported = systems.HERE / folder / study.raw["report"]["published"]
    assert not {row["system"] for row in files.read_rows(reported)} & set(study.variants)
    found = {"run": folder, "variant": system, "data": f"{data}: train 1"}
    (note, *_) = systems._todo(PUBLISHED[system]["study"], system, found)
    assert re.search(r"drawn letters.*nothing about dishes.*not comparable with the published figure", note)
    assert f"at {cell(study, system).size} px" in note
    assert ("tf_efficientnet_lite0" in note) == (system in ("U17", "U18"))


def test_the_network_of_both_gpu_studies_is_one() -> None:
    assert cell(study_of("cifar10_94"), "cnn_bn") == cell(study_of("cifar10_gpu"), "cnn_bn")


def test_an_unexplained_difference_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = PUBLISHED["U1"] | {"params_total": "4561"}
    monkeypatch.setattr(systems, "SYSTEMS", f"{tmp_path}/systems.csv")
    read = files.read_rows
    monkeypatch.setattr(files, "read_rows", lambda path: [wrong] if path == systems.PUBLISHED else read(path))
    monkeypatch.setattr(systems, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text("<!-- systems -->\n<!-- /systems -->")
    with pytest.raises(UserError, match=r"without a reason: U1"):
        systems.main()
