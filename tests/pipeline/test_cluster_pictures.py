"""Pictures that were described on a Ray cluster are those of one machine; the nodes here are local."""

import importlib.util
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made import many, stage
from stages.tools import cluster as clusters
from tests import tiny
from tests.pipeline.test_cluster import cluster  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: `make cluster` installs it"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
# A study of these tests has no link to the code. The nodes get the code from the driver, not from here.
WITH_CODE = os.pathsep.join([str(tiny.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
AHEAD = """
import sys
from stages.core import errors
from stages.tools import cluster_pictures
errors.run(lambda: cluster_pictures.ahead(sys.argv[1]))
"""


def study(folder: Path, count: int = 300) -> Path:
    """A folder with pictures, and files that are none."""
    files = [*many.photographs(count, 32), ("0/broken.jpg", b"\xff\xd8 no picture", "0"), ("0/empty.jpg", b"", "0")]
    stage.lay(folder, files)
    shutil.copy(tiny.ROOT / "params.yaml", folder)
    (folder / "data/curation.csv").write_text("path,sha256,decision,value,reason,who,when,seen\n")
    return folder


def remembered(folder: Path) -> dict[bytes, bytes]:
    with sqlite3.connect(folder / ".cache/clean.sqlite") as base:
        return dict(base.execute("SELECT key, value FROM prints"))


def cleaned(folder: Path) -> dict[str, bytes]:
    tiny.run(folder, sys.executable, "-m", "stages.clean", PYTHONPATH=WITH_CODE)
    places = [path for top in ("data/clean", "reports/clean") for path in (folder / top).rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in places if path.is_file()}


def command(program: str, *more: Any) -> list[str]:
    return [sys.executable, "-c", program, *map(str, more)]


def test_a_cluster_remembers_what_one_machine_does(
    tmp_path: Path,
    cluster: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = study(tmp_path / "here"), study(tmp_path / "there")
    expected = cleaned(here)
    said = tiny.run(there, *command(AHEAD, cluster.address), PYTHONPATH=WITH_CODE)
    assert remembered(there) == remembered(here), said
    assert len(remembered(there)) == 302
    assert cleaned(there) == expected
    assert list(tmp_path.parent.glob("nodes*/evenhand-*"))
    monkeypatch.chdir(there)
    left = list(tmp_path.parent.glob(f"nodes*/evenhand-*/{clusters.folder_name()}-*"))
    assert not left, "nothing is left on the nodes"


def test_what_is_known_is_not_sent_again(tmp_path: Path, cluster: Any) -> None:  # noqa: F811
    there = study(tmp_path / "there", 20)
    cleaned(there)
    without_checks = "cluster_pictures.Nodes._chunks = lambda _, items: iter(list(items)); errors.run"
    program = AHEAD.replace("errors.run", without_checks)
    tiny.run(there, *command(program, cluster.address), PYTHONPATH=WITH_CODE)


def test_make_repro_describes_on_the_cluster(tmp_path: Path, cluster: Any) -> None:  # noqa: F811
    made = tiny.copy(tmp_path, lambda p: p.update(variants={"mlp": tiny.VARIANT}, seeds=[0]))
    serial = tmp_path / "serial"
    shutil.copytree(made, serial)
    tiny.run(serial, "dvc", "repro", "--quiet", "clean")
    shutil.rmtree(serial / ".cache")
    run = [sys.executable, "-m", "stages.tools.side_by_side", "--cluster", cluster.address]
    tiny.run(made, *run, EVENHAND_TRACKING="off")
    for name in ("data/clean/manifest.csv", "data/clean/ledger.csv", "data/clean/audit.json"):
        assert (made / name).read_bytes() == (serial / name).read_bytes()


def test_a_file_that_changes_meanwhile_is_named(tmp_path: Path, cluster: Any) -> None:  # noqa: F811
    there = study(tmp_path / "there", 5)
    program = AHEAD.replace("errors.run", "cluster_pictures.describe.read = lambda file: b'other'; errors.run", 1)
    assert "changed while it was read" in tiny.run(
        there, *command(program, cluster.address), check=False, PYTHONPATH=WITH_CODE
    )
