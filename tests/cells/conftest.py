import shutil

import pytest

from tests import tiny

INSTALLED = {
    "evenhand_guard": tiny.ROOT / "stages/cells/guard.py",
    "evenhand_source": tiny.ROOT / "stages/cells/source.py",
    "evenhand_pipelines": tiny.ROOT / "stages/cells/pipelines.py",
    "evenhand_rendered": tiny.ROOT / "stages/core/rendered.py",
}


@pytest.fixture(scope="session")
def guard(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder that gives every Python the guard of this tree, as `make setup` gives it to those of .venv."""
    folder = tmp_path_factory.mktemp("guard")
    for name, path in INSTALLED.items():
        shutil.copy(path, folder / f"{name}.py")
    (folder / "sitecustomize.py").write_text("import evenhand_guard\n")
    return str(folder)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder that takes the guard away from every Python."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "evenhand_guard.py").touch()
    return str(folder)
