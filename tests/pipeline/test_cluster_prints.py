"""Pictures that were described on a Ray cluster are those of one machine; the nodes here are local."""

import importlib.util
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from benchmarks.made import many, stage
from tests import tiny
from tests.pipeline.test_cluster import cluster  # noqa: F401 - a fixture
from tests.pipeline.test_side_by_side import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: `make cluster` installs it"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
AHEAD = """
import sys
from stages.core import errors
from stages.tools import prints
errors.run(lambda: prints.ahead(sys.argv[1]))
"""
# Runs what stands in the files of a folder, and prints what became of each.
EACH = """
import hashlib, json, sys
from pathlib import Path
from stages.clean import decode, describe
from stages.tools import prints
from tests.clean import jobs
prints.FILES = 4
files = sorted(Path(sys.argv[2]).iterdir(), key=lambda file: int(file.name))
tasks = [(describe.Job(str(file)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
nodes = prints.Nodes(sys.argv[1])
found = nodes.each(jobs.of_file, tasks, workers=1, seconds=float(sys.argv[3]), gigabytes=1)
for result in found:
    print("=", json.dumps(str(result) if isinstance(result, decode.Refused) else result), flush=True)
nodes.leave()
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
    tiny.run(folder, sys.executable, "-m", "stages.clean")
    places = [path for top in ("data/clean", "reports/clean") for path in (folder / top).rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in places if path.is_file()}


def texts(folder: Path, content: list[str]) -> Path:
    folder.mkdir()
    for number, text in enumerate(content):
        (folder / str(number)).write_text(text)
    return folder


def command(program: str, *more: Any) -> list[str]:
    return [sys.executable, "-c", program, *map(str, more)]


def results(said: str) -> list[object]:
    return [json.loads(line.removeprefix("= ")) for line in said.splitlines() if line.startswith("= ")]


def test_a_cluster_remembers_what_one_machine_does(tmp_path: Path, cluster: Any) -> None:  # noqa: F811
    here, there = study(tmp_path / "here"), study(tmp_path / "there")
    expected = cleaned(here)
    said = tiny.run(there, *command(AHEAD, cluster.address))
    assert remembered(there) == remembered(here), said
    assert len(remembered(there)) == 302
    assert cleaned(there) == expected
    assert list(tmp_path.parent.glob("nodes*/evenhand-*"))
    assert not list(tmp_path.parent.glob("nodes*/evenhand-*/*")), "nothing is left on the nodes"


def test_what_is_known_is_not_sent_again(tmp_path: Path, cluster: Any) -> None:  # noqa: F811
    there = study(tmp_path / "there", 20)
    cleaned(there)
    program = AHEAD.replace("errors.run", "prints.Nodes._chunks = lambda _, items: iter(list(items)); errors.run")
    tiny.run(there, *command(program, cluster.address))


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


def test_hostile_files_cost_themselves_alone(tmp_path: Path, cluster: Any) -> None:  # noqa: F811
    files = texts(tmp_path / "files", ["eat 1", "loop", "eat 2", "crash", "refuse no", "eat 5000", "exit", "eat 3"])
    assert results(tiny.run(tmp_path, *command(EACH, cluster.address, files, 1))) == [
        1 << 20,
        "unreadable: took longer than 1 s (clean.seconds)",
        2 << 20,
        "unreadable: crashed the decoder (SIGSEGV)",
        "unreadable: no",
        "unreadable: needs more than 1 GB of memory (clean.gigabytes)",
        "unreadable: crashed the decoder (exit code 3)",
        3 << 20,
    ]


@pytest.mark.parametrize("lost", ["node", "worker"])
def test_a_node_that_is_lost_costs_its_chunk(tmp_path: Path, cluster: Any, lost: str) -> None:  # noqa: F811
    (tmp_path / "hold").touch()
    files = texts(tmp_path / "files", [f"hold {tmp_path}" if k in (0, 12) else f"eat {k % 3}" for k in range(40)])
    with subprocess.Popen(
        command(EACH, cluster.address, files, 20), cwd=tmp_path, env=tiny.surroundings(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        until(lambda: len(list(tmp_path.glob("at-work-*"))) == 2)
        if lost == "node":
            cluster.remove_node(cluster.second, allow_graceful=False)
        else:
            pid = next(tmp_path.glob("at-work-*")).name.rpartition("-")[2]
            next(p for p in psutil.Process(int(pid)).parents() if "Describer" in " ".join(p.cmdline())).kill()
            until(lambda: len(list(tmp_path.glob("at-work-*"))) == 3)
        (tmp_path / "hold").unlink()
        said = process.communicate()[0]
    if lost == "node":
        cluster.second = cluster.add_node(num_cpus=1)
    assert process.returncode == 0, said
    assert results(said) == ["held" if k in (0, 12) else k % 3 << 20 for k in range(40)]
    assert "a node was lost" in said


def test_a_file_that_changes_meanwhile_is_named(tmp_path: Path, cluster: Any) -> None:  # noqa: F811
    there = study(tmp_path / "there", 5)
    program = AHEAD.replace("errors.run", "prints.describe.read = lambda file: b'other'; errors.run", 1)
    assert "changed while it was read" in tiny.run(there, *command(program, cluster.address), check=False)
