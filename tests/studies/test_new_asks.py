"""What is asked on a terminal, and how the time of a study is counted."""

import io
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import pytest

from stages.core import params, rendered
from stages.core.folders import part_named
from studies.new import __main__ as new
from studies.new import listing, networks, pictures, probe, study, words
from studies.new.proposal import Proposal, Source
from tests.studies.new_folders import make, several


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "answer"), [("\n", "yes"), ("no\n", "no"), ("NO\n", "no"), ("perhaps\nno\n", "no"), ("", "yes")]
)
def test_answers(typed: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert new._ask("Keep together?", ["yes", "no"], "yes", "--group", Namespace(yes=False)) == answer
    assert "Keep together? yes/no [yes]" in terminal.getvalue()


def test_nothing_is_asked_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("no\n"))
    assert new._ask("Keep together?", ["yes", "no"], "yes", "--group", Namespace(yes=False)) == "yes"
    assert "Taken: yes (--group changes it)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"), ("Training", "train"), ("train_set", "train"), ("train2017", "train"), ("VALID", "val"),
        ("validation-images", "val"), ("dev", "val"), ("Hold-Out", "test"), ("holdout", "test"), ("eval", "test"),
        ("trains", ""), ("trainer", ""), ("testudo", ""), ("value", ""), ("device", ""), ("contest", ""), ("", ""),
    ],
)  # fmt: skip
def test_names_of_parts(name: str, part: str) -> None:
    assert part_named(name) == part


def test_copies_are_found_whatever_their_format(tmp_path: Path) -> None:
    """The same picture smaller and as JPEG is named, another picture of the same scene is not."""
    import numpy as np
    from PIL import Image

    grid = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(grid).resize((180, 180), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "one.png")
    picture.resize((120, 120)).save(tmp_path / "small.jpg", quality=70)
    (tmp_path / "same.png").write_bytes((tmp_path / "one.png").read_bytes())
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((180, 180)).save(
        tmp_path / "other.png"
    )
    Image.new("RGB", (50, 50), "white").save(tmp_path / "white.png")
    Image.new("RGB", (60, 60), "black").save(tmp_path / "black.png")
    looked = pictures.look(listing.look(tmp_path))
    assert looked.copies == [["one.png", "same.png"]]
    assert looked.alike == [["one.png", "same.png", "small.jpg"]]
    assert looked.extra == 2


def test_a_large_folder_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST", 10)
    found = listing.look(make(tmp_path, several(["cat", "dog"], 20)))
    assert len(found.pictures) == 40
    assert pictures.look(found).opened == 10
    assert listing.sample(found, 10) == listing.sample(found, 10) == sorted(listing.sample(found, 10))


@pytest.mark.parametrize("cores", [1, 2])
def test_the_time_is_counted(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of a frozen part by hand: made once for a shared split, again for each split of its own."""
    monkeypatch.setattr(probe, "cores", lambda: cores)
    setting = networks.Setting(images=100, side=400, pretrained=True, gpu=False, threads=1)
    found = {}
    for own in (False, True):
        split = {"seed": 0, "val": 0.2, "test": 0.2} | ({"per_seed": True} if own else {})
        proposal = Proposal(
            Source("folder", "source"), {"label": "parent"}, split, 4, Counter(a=50, b=50), False, setting, 20, 60
        )
        raw = rendered.parse(study.params_text("x", proposal).encode())
        raw["variants"] = {"frozen": raw["variants"]["frozen"]}
        one = params.Study("x", 0.001, [0, 1, 2, 3], raw["variants"], raw)
        times = probe.Times(start=0, clean=0, moved={224: 0}, passed={"frozen": 1}, learnt={"frozen": 0})
        found[own] = probe.predict(one, proposal, 100, times)
    views, held = 2, 40
    passes = views * 60 + held
    assert found[False].train - 4 * probe.DVC_STAGE == passes
    assert found[True].train - 4 * probe.DVC_STAGE == 4 * passes / cores, "cells with splits of their own share nothing"
    changes = 2 + 1 + 2 + 2 + 2 + 1 + 1 + 1
    assert found[True].evaluate - found[False].evaluate == (4 / cores - 1) * changes * 20


def test_flags_patterns_and_commands_are_not_broken_by_the_end_of_a_line() -> None:
    whole = ["'^(?:[^/]+/){1}(?P<group>[^/]+)/'`", "--label-column", "studies/" + "x" * 120 + "/index.html"]
    lines = words.wrapped([f"- {'word ' * k}{part} and more" for k in range(30) for part in whole])
    assert [sum(part in line for line in lines) for part in whole] == [30] * 3
    assert all(len(line) <= words.WIDTH for line in lines if "x" * 120 not in line)
    assert words.wrapped(words.ending("mine", ""))[2] == "    make study STUDY=mine"


@pytest.mark.parametrize(("seconds", "words"), [(31, "30 seconds"), (130, "2 minutes"), (9000, "2.5 hours")])
def test_times_in_words(seconds: float, words: str) -> None:
    assert probe.said(seconds) == words
