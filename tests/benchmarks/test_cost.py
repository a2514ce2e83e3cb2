"""What a study costs, counted by hand."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from benchmarks import cost
from benchmarks.made.stage import CODE
from stages.core import params
from studies.new import probe


@pytest.fixture
def study() -> params.Study:
    raw = YAML(typ="safe").load((CODE / "params.yaml").read_text(encoding="utf-8"))
    raw["train"] |= {"size": 32, "epochs": 10}
    return params.Study("x", 0.001, [0, 1], cost.SMALL, raw | {"variants": cost.SMALL, "seeds": [0, 1]})


def test_flops_are_those_of_the_layers(study: params.Study) -> None:
    found = cost.flops(study, 10)
    dense = 32 * 32 * 3 * 128 + 128 * 128 + 128 * 10
    assert found.passed["mlp"] == 2 * dense
    assert found.learnt["mlp"] == 6 * dense


def test_what_a_study_learns_is_counted_per_seed_epoch_and_picture(
    study: params.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "cores", lambda: 1)
    one = cost.flops(study, 10)
    found = probe.predict(study, cost._proposal(study, 1000, 10), 1000, one)
    trained, held, seeds, epochs = 600, 400, 2, 10
    by_hand = sum(seeds * epochs * (trained * one.learnt[v] + held * one.passed[v] / 2) for v in ("mlp", "cnn"))
    assert found.train == pytest.approx(by_hand, rel=1e-6)
    assert found.data == 0
