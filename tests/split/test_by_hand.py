"""A label that a person gave to too few pictures: the split stops and names the decision."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stages.core.errors import UserError
from stages.split import __main__ as stage
from stages.split.run import _by_hand
from tests.clean.conftest import Raw, photo
from tests.curate.test_decisions import curated, one

SPLITS = [{"val": 0.2, "test": 0.2}, {"val": 0.4, "test": 0.4}, {"val": 0.2, "folds": 2}]


def test_the_error_names_the_picture_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Raw(tmp_path)
    for seed in range(24):
        raw.add(f"{'ab'[seed % 2]}/{seed}.png", photo(seed), "ab"[seed % 2])
    raw.cache = raw.root / "cache.db"
    raw.run()
    monkeypatch.chdir(raw.root)
    curated(raw, one(raw, "a/0.png", "relabel", "new"))
    for said in map(refused, SPLITS):
        assert said.startswith("the class `new` ")
        assert "; a/0.png got this label by hand (data/curation.csv), which `make curate` takes back" in said
    curated(raw)
    for split in SPLITS:
        settings(split)
        stage.main()
    curated(raw, *(one(raw, f"a/{k}.png", "drop") for k in range(4, 24, 2)), one(raw, "a/0.png", "relabel", "b"))
    for said in map(refused, SPLITS):
        assert re.search(r"the class `a` .*; decisions by hand took the label from 11 images,", said)
        assert "got this label" not in said


def settings(split: dict[str, float]) -> None:
    params = {"study": "made", "lr": 0.1, "seeds": [0, 1], "variants": {"a": {}}, "split": {"seed": 0, **split}}
    params |= dict.fromkeys(("ingest", "clean", "train", "evaluate", "aggregate", "report"))
    Path("params.yaml").write_text(json.dumps(params))


def refused(split: dict[str, float]) -> str:
    settings(split)
    with pytest.raises(UserError) as error:
        stage.main()
    return str(error.value)


def test_a_small_class_of_the_source_is_no_decision() -> None:
    assert _by_hand("a", {}) == ""
    decided = {"by_hand": {"gained": {"a": ["a/0.png"] * 5}, "lost": {}}}
    assert "a/0.png, a/0.png, a/0.png and 2 more got" in _by_hand("a", decided)
    assert _by_hand("b", decided) == ""
