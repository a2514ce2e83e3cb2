"""A dvc.yaml or .dvc file among pictures is no pipeline, wherever in the clone they lie."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tiny

DVC = (sys.executable, "-m", "dvc")
EVIL = "stages:\n  evil:\n    cmd: touch {mark}\n    outs: [{{../params.yaml: {{cache: false, persist: true}}}}]\n"


def linked(study: Path) -> str:
    (study / "pictures").rename(study / "elsewhere")
    (study / "pictures").symlink_to("elsewhere")
    return "pictures"


def from_above(study: Path) -> str:
    (study.parent / "home").symlink_to(study.parent)
    return str(study.parent / "home" / study.name / "pictures")


def deeper(study: Path) -> str:
    (study / "studies/group/other").mkdir(parents=True)
    (study / "pictures").rename(study / "studies/group/other/pictures")
    return "studies/group/other/pictures"


def of_a_refused_study(study: Path) -> str:
    (study / "studies/stranger").mkdir(parents=True)
    (study / "studies/stranger/params.yaml").write_text("study: !x s")
    (study / "pictures").rename(study / "studies/stranger/pictures")
    return str(study.parent / "source")


def like_a_study(study: Path) -> str:
    """With the pipeline of the repository, and code of its own."""
    (study / "pictures").rename(study / "studies/pictures")
    (study / "studies/pictures/dvc.yaml").write_bytes((study / "dvc.yaml").read_bytes())
    (study / "studies/pictures/stages/cells").mkdir(parents=True)
    (study / "studies/pictures/stages/cells/__main__.py").write_text("open('../../mark', 'w')")
    (study / "studies/pictures/params.yaml").write_bytes((study / "params.yaml").read_bytes())
    return "studies/pictures"


def at_a_study(study: Path) -> str:
    """With the pipeline and the code of the repository, and a module in place of a library."""
    (study / "pictures").rename(study / "studies/pictures")
    mine = study / "studies/pictures"
    (mine / "dvc.yaml").write_bytes((study / "dvc.yaml").read_bytes())
    (mine / "params.yaml").write_bytes((study / "params.yaml").read_bytes())
    (mine / "stages").symlink_to("../../stages")
    (mine / "numpy.py").write_text("open('../../mark', 'w')")
    return "studies/pictures"


def beside_a_study(study: Path) -> str:
    at_a_study(study)
    return str(study.parent / "source")


PLACES: dict[str, Callable[[Path], str]] = {
    "inside": lambda _: "pictures", "another": lambda study: str(study.parent / "source"), "a link": linked,
    "a link above": from_above, "deeper": deeper,
    "of a refused study": of_a_refused_study, "like a study": like_a_study,
    "at a study": at_a_study, "beside a study": beside_a_study,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_pipeline_among_pictures_runs_nothing(tmp_path: Path, guard: str, place: str) -> None:
    """A scrape may hold a dvc.yaml with commands, one that is broken, and a .dvc file that fetches an address."""
    study = tiny.copy(tmp_path)
    (study / "studies").mkdir(exist_ok=True)
    (study / "pictures/cat").mkdir(parents=True)
    mark = study / "mark"
    (study / "pictures/dvc.yaml").write_text(EVIL.format(mark=mark))
    (study / "pictures/cat/dvc.yaml").write_text("stages: [broken")
    (study / "pictures/cat/x.png.dvc").write_text("deps:\n- path: http://127.0.0.1:9/x\nouts:\n- path: x.png\n")
    path = PLACES[place](study)
    tiny.edit(study / "params.yaml", lambda params: params["ingest"].update(path=path))
    for command in (("repro", "cells"), ("stage", "list", "--all")):
        said = tiny.run(study, *DVC, *command, PYTHONPATH=guard)
        assert "evil" not in said
        assert "studies/pictures/dvc.yaml:" not in said
    assert not mark.exists()


def test_a_study_below_studies_is_a_pipeline(tmp_path: Path, guard: str) -> None:
    study = tiny.copy(tmp_path)
    mine = study / "studies/mine"
    mine.mkdir(parents=True)
    (mine / "params.yaml").write_bytes((study / "params.yaml").read_bytes())
    for link in ("dvc.yaml", "stages"):
        (mine / link).symlink_to(f"../../{link}")
    assert "studies/mine/dvc.yaml:cells" in tiny.run(study, *DVC, "stage", "list", "--all", PYTHONPATH=guard)


@pytest.mark.slow
def test_what_the_user_adds_to_dvc_is_kept(tmp_path: Path, guard: str) -> None:
    study = tiny.copy(tmp_path)
    (study / "data/mine").mkdir(parents=True)
    (study / "data/mine/a.txt").write_text("hello")
    tiny.run(study, *DVC, "add", "data/mine", PYTHONPATH=guard)
    for path in (study / "data/mine/a.txt", study / "data/mine"):
        path.unlink() if path.is_file() else path.rmdir()
    tiny.run(study, *DVC, "gc", "--workspace", "--force", PYTHONPATH=guard)
    tiny.run(study, *DVC, "checkout", "data/mine.dvc", PYTHONPATH=guard)
    assert (study / "data/mine/a.txt").read_text() == "hello"


@pytest.mark.slow
def test_a_pipeline_of_the_user_counts_once_git_knows_it(tmp_path: Path, guard: str) -> None:
    study = tiny.copy(tmp_path)
    (study / "analysis").mkdir()
    (study / "analysis/dvc.yaml").write_text("stages: {plot: {cmd: echo plot}}")
    listed = (*DVC, "stage", "list", "--all")
    said = tiny.run(study, *listed, PYTHONPATH=guard)
    assert "analysis/dvc.yaml is left out: git does not know it" in said
    assert "plot" not in said
    tiny.run(study, "git", "add", "analysis/dvc.yaml")
    said = tiny.run(study, *listed, PYTHONPATH=guard)
    assert "analysis/dvc.yaml:plot" in said
    assert "left out" not in said


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/proc", "/sys/kernel", "/dev"])
def test_a_folder_of_the_system_is_no_source(tmp_path: Path, guard: str, path: str) -> None:
    study = tiny.copy(tmp_path, lambda params: params["ingest"].update(path=path))
    said = tiny.run(study, "timeout", "60", *DVC, "repro", "ingest", check=False, PYTHONPATH=guard)
    assert f"`ingest.path` is {path}, which is no file and no folder that can be read" in said
