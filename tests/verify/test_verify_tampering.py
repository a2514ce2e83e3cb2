"""Whoever changes a committed study is told what was changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core import files
from stages.verify import lock, lock_check, rerun, scratch
from stages.verify.certificate import Check
from stages.verify.scratch import Place
from tests import tiny
from tests.verify import committed
from tests.verify.forgeries import (
    CELL,
    EACH_TIME,
    FORGERIES,
    changed_split,
    edited_metric,
    edited_picture,
    edited_report,
    removed_result,
)  # fmt: skip

pytestmark = pytest.mark.slow


def judge(clone: Path) -> Check:
    place = Place(clone, ".")
    with scratch.copy(place, "data/source") as copy:
        return lock_check.check(place, copy, "data/source")


def said(check: Check) -> str:
    return "\n".join(f"{f.what}: {f.detail}" for f in check.findings)


@pytest.mark.parametrize(
    ("tamper", "words"),
    [one if one[0] in EACH_TIME else pytest.param(*one, marks=pytest.mark.weekly) for one in FORGERIES],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_lock_check_names_what_was_changed(clone: Path, tamper: Callable[[Path], None], words: list[str]) -> None:
    tamper(clone)
    if tamper is not removed_result:  # one is left uncommitted: the tree is judged, not the commit
        tiny.commit(clone, "Improve the results")
    found = judge(clone)
    assert not found.holds
    for expected in words:
        assert expected in said(found)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("data/raw/manifest.csv", "data/raw: not what dvc.lock recorded: manifest.csv edited (row 1 "),
        ("data/clean/images", "data/clean/images: not what dvc.lock recorded: "),
        ("runs/mlp/0/logits.npz", "runs/mlp/0/logits.npz: not what dvc.lock recorded: edited (tensor test: 1 of"),
    ],
)
def test_data_that_lies_here_is_judged_too(study: Path, tmp_path: Path, path: str, words: str) -> None:
    """A clone with its data, as `dvc pull` leaves it: pictures, labels and logits are held against dvc.lock."""
    copy = Path(shutil.copytree(study, tmp_path / "pulled", symlinks=True))
    assert judge(copy).holds
    target = copy / path
    if target.is_dir():
        target = next(target.rglob("*.png"))
        with Image.open(target) as picture:
            changed = picture.copy()
        changed.putpixel((0, 0), (1, 2, 3))
        changed.save(target)
        words += f"{target.relative_to(copy / path)} edited (1 of 64 pixels differ, the first at x 0, y 0)"
    elif target.suffix == ".npz":
        with np.load(target) as arrays:
            logits = dict(arrays)
        logits["test"][2, 1] += 1
        np.savez(target, **logits)
    else:
        rows = files.read_rows(target)
        rows[0]["label"] = rows[-1]["label"]
        files.write_rows(target, list(rows[0]), rows)
    found = judge(copy)
    assert not found.holds
    assert words in said(found)


@pytest.mark.slow
def test_a_page_that_is_not_in_git_is_made_again_and_held_against_its_hash(clone: Path) -> None:
    page = clone / "reports/index.html"
    page.unlink()
    (clone / ".gitignore").write_text("/reports/index.html\n")
    tiny.commit(clone, "Take the page out of git")
    assert judge(clone).holds
    assert rerun.from_git(Place(clone, ".")).holds
    committed.replace(clone / "dvc.lock", lock.read(Place(clone, ".")).made["reports/index.html"], "a" * 32)
    assert judge(clone).holds
    assert "reports/index.html: another hash than recorded" in said(rerun.from_git(Place(clone, ".")))


def test_logits_whose_hashes_were_edited_too_are_found_by_running_the_cell_again(clone: Path) -> None:
    """Without the bytes nothing else can know: every hash of them in dvc.lock tells the same."""
    place = Place(clone, ".")
    made = lock.read(place).made["runs/mlp/0/logits.npz"]
    (clone / "dvc.lock").write_text((clone / "dvc.lock").read_text().replace(made, "a" * 32))
    assert judge(clone).holds
    again = rerun.from_raw(place, [("mlp", 0)], "data/source")
    assert not again.holds
    assert "runs/mlp/0/logits.npz: another hash than recorded" in said(again)
    assert f"(dvc.lock: {'a' * 32}, made again: {made})" in said(again)


def test_an_untouched_clone_holds_without_data_or_remote(clone: Path) -> None:
    found = judge(clone)
    assert found.holds, said(found)
    assert found.compared > 40
    pages = rerun.from_git(Place(clone, "."))
    assert pages.verdict == "equal", said(pages)


def test_made_again_from_git_the_changed_line_and_row_are_named(clone: Path) -> None:
    edited_report(clone)
    changed_split(clone)
    edited_picture(clone)
    words = said(rerun.from_git(Place(clone, ".")))
    assert "reports/report.md: line" in words
    assert "99.99" in words
    assert "data/split/seeds: 0.csv: row" in words
    assert "curves_mlp.png: 400 of" in words


@pytest.mark.weekly
def test_a_forgery_that_fits_together_is_found_by_running_it_again(clone: Path) -> None:
    """Metric, lock, tables and page all agree with one another; only the pictures and the code know better."""
    place = Place(clone, ".")
    edited_metric(clone)
    committed.forge(clone, CELL)
    tiny.run(clone, "dvc", "repro", "--single-item", "aggregate", "report")
    committed.forge(clone, "results")  # of the stage `pictures`, which needs the data that a clone lacks
    tiny.commit(clone, "Improve the results")
    assert judge(clone).holds
    assert rerun.from_git(place).holds
    words = said(rerun.from_raw(place, [("mlp", 0)], "data/source"))
    assert f"{CELL}: metrics.csv: row" in words and "here 0.01, made again" in words  # noqa: PT018
    assert rerun.from_raw(place, [("mlp", 1)], "data/source").verdict == "equal"
