"""A hostile file, or a node that is lost, costs as little on a Ray cluster as on one machine; the nodes are local."""

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests import tiny
from tests.pipeline.test_cluster import cluster  # noqa: F401 - a fixture
from tests.pipeline.test_cluster_pictures import WITH_CODE, command
from tests.pipeline.test_side_by_side import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: `make cluster` installs it"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
# Runs what stands in the files of a folder, and prints what became of each.
EACH = """
import hashlib, json, sys
from pathlib import Path
from stages.clean import decode, describe
from stages.tools import cluster_pictures
from tests.clean import jobs
cluster_pictures.FILES = 4
files = sorted(Path(sys.argv[2]).iterdir(), key=lambda file: int(file.name))
tasks = [(describe.Job(str(file)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
nodes = cluster_pictures.Nodes(sys.argv[1])
found = nodes.each(jobs.of_file, tasks, workers=1, seconds=float(sys.argv[3]), gigabytes=1)
for result in found:
    print("=", json.dumps(str(result) if isinstance(result, decode.Refused) else result), flush=True)
nodes.leave()
"""


@pytest.fixture(scope="module", autouse=True)
def _nodes_have_the_tests() -> Iterator[None]:
    """The nodes run functions of the tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", WITH_CODE)
        yield


def texts(folder: Path, content: list[str]) -> Path:
    folder.mkdir()
    for number, text in enumerate(content):
        (folder / str(number)).write_text(text)
    return folder


def results(said: str) -> list[object]:
    return [json.loads(line.removeprefix("= ")) for line in said.splitlines() if line.startswith("= ")]


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
