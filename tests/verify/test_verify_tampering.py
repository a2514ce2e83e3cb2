"""Whoever changes a committed study is told what was changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from stages.core import files
from stages.verify import consistency, lock, rerun, scratch
from stages.verify.result import Check
from stages.verify.scratch import Place
from tests import tiny
from tests.verify import committed

pytestmark = pytest.mark.slow
CELL = "results/mlp/0/evaluate"


def judge(clone: Path) -> Check:
    place = Place(clone, ".")
    with scratch.copy(place, "data/source") as copy:
        return consistency.check(place, copy, "data/source")


def said(check: Check) -> str:
    return "\n".join(f"{f.what}: {f.detail}" for f in check.findings)


def value(path: Path, metric: str) -> str:
    return next(row["value"] for row in files.read_rows(path) if (row["split"], row["metric"]) == ("test", metric))


def edited_metric(clone: Path) -> None:
    path = clone / CELL / "metrics.csv"
    committed.replace(path, f"test,nll,{value(path, 'nll')}", "test,nll,0.01")


def edited_picture(clone: Path) -> None:
    path = clone / "reports/figures/curves_mlp.png"
    with Image.open(path) as picture:
        changed = picture.copy()
    changed.paste(0, (0, 0, 20, 20))
    changed.save(path)


def swapped_label(clone: Path) -> None:
    path = clone / "data/clean/manifest.csv"
    rows = files.read_rows(path)
    rows[0]["label"] = rows[-1]["label"]
    files.write_rows(path, list(rows[0]), rows)


def picture_in_another_class(clone: Path) -> None:
    (clone / "data/source/8/0.png").rename(clone / "data/source/9/stray.png")


def unlisted_seed(clone: Path) -> None:
    shutil.copytree(clone / "results/mlp/0", clone / "results/mlp/7")


def changed_split(clone: Path) -> None:
    path = clone / "data/split/seeds/0.csv"
    rows = files.read_rows(path)
    one = next(r for r in rows if r["split"] == "test")
    two = next(r for r in rows if r["split"] == "train")
    one["split"], two["split"] = two["split"], one["split"]
    files.write_rows(path, list(rows[0]), rows)


def edited_report(clone: Path) -> None:
    path = clone / "reports/report.md"
    words = next(word for word in path.read_text().split() if word[:1].isdigit())
    committed.replace(path, words, "99.99")


def other_lr(clone: Path) -> None:
    committed.replace(clone / "params.yaml", "lr: 0.001", "lr: 0.002")


def other_code(clone: Path) -> None:
    path = clone / "stages/train/run.py"
    path.write_text(path.read_text() + "\n# a change\n")


def missing_cell(clone: Path) -> None:
    tiny.edit(clone / "params.yaml", lambda params: params["seeds"].append(2))


def extra_cell(clone: Path) -> None:
    tiny.edit(clone / "params.yaml", lambda params: params["seeds"].remove(1))


def removed_result(clone: Path) -> None:
    shutil.rmtree(clone / CELL)


def other_hash(clone: Path) -> None:
    """The weights' hash is edited where train wrote it, but not where evaluate read it."""
    path = clone / "dvc.lock"
    lines = path.read_text().splitlines()
    out = next(i for i, line in enumerate(lines) if line.endswith("path: runs/mlp/0/model.safetensors"))
    at = next(i for i in range(out, len(lines)) if "md5: " in lines[i])
    lines[at] = lines[at].split("md5: ")[0] + "md5: " + "a" * 32
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (edited_metric, [f"{CELL}: not what dvc.lock recorded: metrics.csv edited"]),
        (edited_picture, ["reports/figures: not what dvc.lock recorded: curves_mlp.png edited"]),
        (swapped_label, ["data/clean/manifest.csv: not what dvc.lock recorded"]),
        (picture_in_another_class, ["ingest: stale: data/source modified since it was run"]),
        (unlisted_seed, ["results/mlp/7/train/history.csv: no stage of dvc.lock made it", "results modified"]),
        (changed_split, ["data/split/seeds: not what dvc.lock recorded: 0.csv edited", "train@mlp-0: stale"]),
        (edited_report, ["reports/report.md: not what dvc.lock recorded"]),
        (other_lr, ["train@mlp-0: stale: lr of params.yaml modified", "train@mlp-1: stale"]),
        (other_code, ["train@mlp-0: stale: stages/train modified since it was run"]),
        (missing_cell, ["train@mlp-2: dvc.yaml and params.yaml ask for it", "evaluate@mlp-2: dvc.yaml"]),
        (extra_cell, ["train@mlp-1: dvc.lock has it, dvc.yaml and params.yaml do not ask for it"]),
        (removed_result, [f"{CELL}: dvc.lock recorded it, but it is not in git"]),
        (other_hash, ["evaluate@mlp-0: stale: it was run on another runs/mlp/0/model.safetensors than"]),
    ],
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


def test_a_forgery_that_fits_together_is_found_by_running_it_again(clone: Path) -> None:
    """Metric, lock, tables and page all agree with one another; only the pictures and the code know better."""
    place = Place(clone, ".")
    edited_metric(clone)
    committed.replace(clone / "dvc.lock", lock.read(place).made[CELL], lock.digest(clone / CELL))
    tiny.run(clone, "dvc", "repro", "--single-item", "aggregate", "report")
    tiny.commit(clone, "Improve the results")
    assert judge(clone).holds
    assert rerun.from_git(place).holds
    words = said(rerun.from_raw(place, [("mlp", 0)], "data/source"))
    assert f"{CELL}: metrics.csv: row" in words
    assert "recorded 0.01, now" in words
    assert rerun.from_raw(place, [("mlp", 1)], "data/source").verdict == "equal"
