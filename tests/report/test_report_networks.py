"""Sentences that depend on what the networks of a study are, on its splits and on its groups."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.report import caveats, evidence, findings, predictions, uncertainty
from tests.report.made_study import Known


def told(**cells: dict[str, Any]) -> Any:
    """Evidence of variants with these settings, two seeds on one split; `epochs` may be a pair."""
    ran = {name: cell.get("epochs", 5) for name, cell in cells.items()}
    configs = {
        (name, seed): {
            "cell": cell, "normalisation": cell.get("normalised", []),
            "epochs_run": ran[name] if isinstance(ran[name], int) else ran[name][seed],
        }
        for name, cell in cells.items() for seed in (0, 1)
    }  # fmt: skip
    counts = {"train": {"a": 100}, "val": {"a": 5}, "test": {"a": 9}}
    return Known(
        variants=list(cells), study=SimpleNamespace(seeds=[0, 1]), configs=configs,
        split={"splits": [{"seeds": [0, 1], "counts": counts}]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "drops"),
    [
        ({"name": "mlp", "widths": [8], "dropout": 0.0}, False),
        ({"name": "mlp", "widths": [8, 8], "dropout": [0.0, 0.2]}, True),
        ({"name": "cnn", "blocks": [{"dropout": 0.0}, {"dropout": 0.1}], "head": {"dropout": 0.0}}, True),
        ({"name": "backbone", "head": {"dropout": 0.5}}, True),
        ({"name": "random"}, False),
    ],
)
def test_a_seed_changes_dropout_where_there_is_one(model: dict[str, Any], drops: bool) -> None:
    text = caveats._seeds(told(a={"model": model}))[0]
    assert ("and dropout" in text) == drops
    assert ("dropout of a" in caveats._seeds(told(a={"model": model}, b={}))[0]) == drops


def test_samplewise_normalisation_is_no_fixed_number() -> None:
    text = caveats._fitted(told(a={"normalised": [{"name": "scale"}, {"name": "samplewise"}]}, b={}))
    assert "fixed numbers" not in text
    assert "the mean and the SD of the image itself" in text
    both = caveats._fitted(told(a={"normalised": [{"name": "samplewise"}]}, b={"normalised": [{"name": "zca"}]}))
    assert "(zca) are fitted on the training set alone." in both
    assert "the image itself" in both


def test_updates_are_those_of_all_seeds() -> None:
    stopped = {"batch": 50, "epochs": (4, 9), "early_stopping": {"patience": 2}}
    assert caveats._updates(told(a=stopped), "a", stopped) == "8/18"  # two batches an epoch


def test_splits_that_test_other_images_have_other_luck() -> None:
    """The mean ECE of ten runs: on one test set it varies as that of one, on ten test sets by a third of it."""
    confidence = np.random.default_rng(3).uniform(0.3, 1, 200)
    sets = [[f"{number}-{i}" for i in range(200)] for number in range(10)]
    apart = predictions.null([(images, confidence) for images in sets], 15)
    shared = predictions.null([(sets[0], confidence)] * 10, 15)
    np.testing.assert_allclose(shared, predictions.null([(sets[0], confidence)], 15))
    assert apart.std() / shared.std() == pytest.approx(10**-0.5, rel=0.25)
    assert apart.mean() == pytest.approx(shared.mean(), rel=0.03)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_calibrated_network_is_rarely_called_miscalibrated_whatever_the_groups(size: int) -> None:
    """180 images in groups that are right or wrong together: an independent draw for each image called half of them."""
    rng, alpha = np.random.default_rng(size), 0.05
    called = np.zeros(300)
    for study in range(len(called)):
        confidence = np.repeat(rng.uniform(0.3, 1, 180 // size), size)
        groups = [str(i // size) for i in range(180)]
        right = np.repeat(rng.random(180 // size), size) < confidence
        place = np.minimum((confidence * 15).astype(int), 14)
        ece = sum(abs((right - confidence)[place == b].sum()) for b in range(15)) / 180
        manifest = pd.DataFrame({"image_id": [str(i) for i in range(180)], "group_id": groups})
        table = pd.DataFrame({"image_id": manifest["image_id"], "split": "test", "confidence": confidence})
        known: Any = Known(
            summary={("a", "test", "ece"): SimpleNamespace(mean=ece)}, alpha=alpha, manifest=manifest,
            study=SimpleNamespace(seeds=[0]), few_groups=0,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(predictions, "table", lambda *_, found=table: found)
            called[study] = predictions._calibrated(known, "a", 15)["verdict"] == "miscalibrated"
    assert called.mean() == pytest.approx(alpha, abs=0.04)


def test_named_groups_are_named() -> None:
    """Groups of patients are neither copies nor similar pictures."""
    table = pd.DataFrame(
        [("a", "g", "train"), ("b", "g", "test"), ("c", "h", "test")], columns=["image_id", "group_id", "split"]
    )
    known: Any = Known(
        audit={"duplicates": "drop"}, manifest=table, parts=[table], images=lambda _: 2, named=True, metric="top1",
        intervals={"a": {"images": 9.0, "groups": 4.0}},
    )  # fmt: skip
    assert (
        "1 of 2 images of the test set has a copy, a similar picture or a picture of its named group"
        in findings.copies(known)[0]
    )
    assert (
        "or pictures of one named group counts as one unit of the sample (9 images in 4 groups)"
        in uncertainty._groups(known)
    )
    named = evidence.StudyEvidence.named.func  # type: ignore[attr-defined]
    ledgers = [
        pd.DataFrame({"path": ["x"]}),
        pd.DataFrame({"path": ["x"], "group": [""]}),
        pd.DataFrame({"group": ["p1"]}),
    ]
    assert [named(SimpleNamespace(ledger=ledger)) for ledger in ledgers] == [False, False, True]
