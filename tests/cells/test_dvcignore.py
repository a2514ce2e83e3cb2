"""`.dvcignore`: what a computer leaves in a folder of code makes no cell stale; all code counts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc_data.hashfile.build import build

from tests import tiny

STRAYS = [
    ".DS_Store", "Thumbs.db", "desktop.ini", "._loop.py", ".loop.py.swp", "loop.py~", "#loop.py#", "loop.py.orig",
    "loop.pyc", "__pycache__/loop.cpython-311.pyc", ".ipynb_checkpoints/loop-checkpoint.py", "notes.txt", "@eaDir/a",
    "Icon\r", ".~lock.a.csv#", "core.1234", "nohup.out", ".mypy_cache/3.11/a.json",
]  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repo]:
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny.ROOT / ".dvcignore", ".dvcignore")
    for name in ("loop.py", "zoo/layers.py", "page.j2", "page.css"):
        path = Path("stages/train", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    with Repo.init(str(tmp_path), no_scm=True) as made:
        yield made


def hashed(repo: Repo, folder: str = "stages/train") -> str:
    repo._reset()
    path = str(Path(folder).absolute())
    return str(build(repo.cache.local, path, repo.fs, "md5", ignore=repo.dvcignore, dry_run=True)[2].hash_info.value)


@pytest.fixture(params=["stages/train", "studies/mine/stages/train"])
def code(request: pytest.FixtureRequest) -> str:
    """The folder as the repository's study names it, and as one below studies/ does, through its link."""
    Path("studies/mine").mkdir(parents=True)
    Path("studies/mine/stages").symlink_to("../../stages")
    return str(request.param)


@pytest.mark.parametrize("stray", STRAYS)
def test_strays_make_nothing_stale(repo: Repo, code: str, stray: str) -> None:
    before = hashed(repo, code)
    for folder in ("stages/train", "stages/train/zoo"):
        Path(folder, stray).parent.mkdir(parents=True, exist_ok=True)
        Path(folder, stray).write_text("stray")
    assert hashed(repo, code) == before


@pytest.mark.parametrize("name", ["loop.py", "zoo/layers.py", "page.j2", "page.css", "zoo/new.py"])
def test_code_counts(repo: Repo, code: str, name: str) -> None:
    before = hashed(repo, code)
    assert before == hashed(repo)
    Path("stages/train", name).write_text("other")
    assert hashed(repo, code) != before


def test_every_file_of_code_in_git_counts() -> None:
    listed = tiny.run(tiny.ROOT, "git", "ls-files", "-co", "--exclude-standard", "stages").splitlines()
    with Repo(str(tiny.ROOT)) as repo:
        ignored = [name for name in listed if repo.dvcignore.is_ignored(repo.fs, str(tiny.ROOT / name))]
    assert listed
    assert ignored == []


def test_a_scrape_hides_nothing_by_it(repo: Repo) -> None:
    Path("data/raw/files/stages").mkdir(parents=True)
    Path("data/raw/files/stages/a.txt").write_text("1")
    before = hashed(repo, "data/raw")
    Path("data/raw/files/.hidden.png").write_text("2")
    assert hashed(repo, "data/raw") != before
