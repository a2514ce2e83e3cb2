"""Every system of the four studies: its size, its settings, and the table that `make systems` writes."""

import functools
from collections.abc import Iterator

import pytest
import torch

from stages.cells.check import check
from stages.core import files, params
from stages.core.errors import UserError
from stages.train.params import cell
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
    assert (systems.HERE / name / study.raw["root"]).resolve() == systems.HERE.parent.resolve()


@pytest.mark.parametrize("system", [s for s in PUBLISHED if PUBLISHED[s]["study"] != "cifar10_en" or s != "E0"])
def test_epochs_are_the_published_ones(system: str) -> None:
    study = study_of(PUBLISHED[system]["study"])
    assert cell(study, system).total_epochs == int(PUBLISHED[system]["epochs"])


def test_the_two_splits_of_the_leak_cost_differ_in_nothing_else() -> None:
    clean, published = (study_of(name) for name in ("bananas_scratch", "bananas_scratch_published"))
    different = {key for key in clean.raw if clean.raw[key] != published.raw[key]}
    assert different == {"study", "clean", "split"}


def test_a_twin_differs_in_what_is_corrected_alone() -> None:
    for name in systems.CLASSES:
        study = study_of(name)
        for variant in study.variants:
            if variant.endswith("_corrected"):
                twin, original = (cell(study, v).model_dump() for v in (variant, variant.removesuffix("_corrected")))
                assert {key for key in twin if twin[key] != original[key]} == {"normalise"}


def test_an_unexplained_difference_is_an_error(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = PUBLISHED["U1"] | {"params_total": "4561"}
    monkeypatch.setattr(systems, "SYSTEMS", f"{tmp_path}/systems.csv")
    monkeypatch.setattr(files, "read_rows", lambda _path: [wrong])
    monkeypatch.setattr(systems, "_result", lambda *_: dict.fromkeys(("n", "top1", "top1_sd", "images")))
    with pytest.raises(UserError, match=r"without a reason: U1"):
        systems.main()
