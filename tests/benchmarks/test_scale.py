"""What grows is measured on pictures and hashes of which it is known what must be found."""

from __future__ import annotations

import io
import json
import sys
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from benchmarks import scale
from benchmarks.made import many


def test_made_photographs_differ_and_one_in_a_hundred_is_a_copy() -> None:
    pictures = {name: np.asarray(Image.open(io.BytesIO(data)).convert("L").resize((8, 8)), float).ravel()
                for name, data, _ in many.photographs(200, 32)}  # fmt: skip
    labels = {name: label for name, _, label in many.photographs(200, 32)}
    assert len(pictures) == 200
    assert many.copies(200) == [("9/99.jpg", "9/49.jpg"), ("9/199.jpg", "9/149.jpg")]
    near = {pair: np.corrcoef(pictures[pair[0]], pictures[pair[1]])[0, 1] for pair in combinations(sorted(pictures), 2)}
    alike = {frozenset(pair) for pair, value in near.items() if value > 0.95}
    assert alike == {frozenset(pair) for pair in many.copies(200)}
    assert all(labels[copy] == labels[original] for copy, original in many.copies(200))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["hashes", "clean"])
def test_everything_planted_is_found(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"hashes": ["3000", "6000"], "clean": ["200"]}[what]
    monkeypatch.setattr(sys, "argv", ["scale", what, "--counts", *counts])
    scale.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["count"] for line in lines] == [int(count) for count in counts]
    for line in lines:
        assert line["CPU seconds"] > 0
        if what == "hashes":
            assert line["recall"] == 1
            assert line["pairs"] >= 1000
        else:
            assert line["copies found"] == 1
            assert line["pairs called that were not planted"] == 0
            assert line["GB of all processes"] >= line["GB of the largest"] > 0.01
