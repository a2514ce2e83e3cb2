"""A scratch copy has what its study needs, and nothing that another one made; it touches nothing outside of it."""

import os
from pathlib import Path

import pytest

from stages.core.errors import UserError
from stages.verify import scratch
from stages.verify.scratch import Place
from tests import tiny

FILES = (
    "dvc.yaml", "dvc.lock", "params.yaml", "stages/core/a.py", "results/mlp/0/a.csv", "data/digits.sha256",
    "studies/leak.csv", "studies/one/params.yaml", "studies/one/dvc.lock", "studies/one/results/mlp/0/a.csv",
    "studies/one/leak.csv", "studies/two/params.yaml", "studies/two/dvc.lock", "studies/two/reports/index.html",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a study in its root and two more, one of them joined by a link."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "studies/two/dvc.yaml").symlink_to("../../dvc.yaml")
    tiny.run(tmp_path, "git", "init", "--quiet")
    (tmp_path / "untracked.txt").write_text("it is judged too")
    return tmp_path


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith((".git/", ".dvc/"))}


def test_of_the_root(root: Path) -> None:
    others = {name for name in FILES if name.startswith("studies/") and name.endswith(("dvc.lock", "a.csv", "html"))}
    with scratch.copy(Place(root, ".")) as copy:
        assert files(copy.folder) == {*FILES, "untracked.txt"} - others


@pytest.mark.parametrize("study", ["one", "two"])
def test_of_a_published_study_with_or_without_its_link(root: Path, study: str) -> None:
    with scratch.copy(Place(root, f"studies/{study}")) as copy:
        found = files(copy.root)
        assert {
            f"studies/{study}/dvc.lock",
            f"studies/{study}/dvc.yaml",
            "stages/core/a.py",
            "studies/leak.csv",
        } < found
        assert not {"dvc.yaml", "dvc.lock", "results/mlp/0/a.csv"} & found, "DVC would read the root's pipeline too"
        assert not (copy.folder / "dvc.yaml").is_symlink()
    assert not (root / "studies/one/dvc.yaml").exists(), "the tree is left alone"


def test_a_folder_that_is_no_study_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "studies/one")
    assert scratch.here().study == "studies/one"
    (root / "dvc.yaml").unlink()
    with pytest.raises(UserError, match=r"dvc\.yaml is neither in"):
        scratch.here()
    (root / "studies/one/dvc.lock").unlink()
    with pytest.raises(UserError, match=r"dvc\.lock is not in"):
        scratch.here()


@pytest.mark.parametrize("link", [".dvc", ".dvc/config.local", "results/mlp", "data/old"])
def test_links_that_lead_out_of_the_clone_are_left_out(
    root: Path, tmp_path_factory: pytest.TempPathFactory, link: str
) -> None:
    victim = tmp_path_factory.mktemp("home")
    (victim / "config.local").write_text("mine")
    target = victim / "config.local" if link.endswith("local") else victim
    tiny.run(root, "sh", "-c", f"rm -rf {link}; mkdir -p $(dirname {link}); ln -s {target} {link}; git add -Af {link}")
    with scratch.copy(Place(root, ".")) as copy:
        assert not (copy.root / link).is_symlink()
    assert {p.name: p.read_text() for p in victim.iterdir()} == {"config.local": "mine"}


def test_nothing_is_removed_behind_a_link(tmp_path: Path) -> None:
    kept, clone = tmp_path / "kept/clean", tmp_path / "clone"
    kept.mkdir(parents=True)
    clone.mkdir()
    (clone / "linked").symlink_to(tmp_path / "kept")
    for path in (clone / "linked/clean", clone / "../kept", clone):
        with pytest.raises(UserError, match="outside of the scratch copy"):
            scratch.remove(path, clone)
    scratch.remove(clone / "linked", clone)
    assert kept.exists()
    assert not (clone / "linked").is_symlink()


def test_a_pipe_or_device_among_the_files_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    os.mkfifo(root / "results/mlp/0/pipe")
    with pytest.raises(UserError, match=r"results/mlp/0/pipe is or leads to a pipe"):
        scratch.here()
    (root / "results/mlp/0/pipe").unlink()
    (root / "requirements.lock").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"requirements\.lock is or leads to a pipe"):
        scratch.here()
