"""What a node of a cluster does, and how a cluster is shared out; no Ray is needed here."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.core.errors import UserError
from stages.tools import cluster, node
from tests import tiny


class Ray(SimpleNamespace):
    """As much of Ray as a node asks for."""

    def __init__(self) -> None:
        super().__init__(get=lambda thing: thing)

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "0123456789")


TRAIN = """
import os, sys
from pathlib import Path
cell, root = os.environ["DVC_STAGE"].partition("@")[2], Path(os.environ["DVC_ROOT"])
if not Path("data.txt").read_text():
    sys.exit("error: runs: No space left on device; free space on its disk")
if Path("data.txt").read_text() == "nothing":
    sys.exit()
if Path("data.txt").read_text() == "bad":
    sys.exit("error: bad data")
for kept in root.glob(".checkpoints/ab/last.pt"):
    print("from", kept.read_text())
print(os.environ.get("OMP_NUM_THREADS"), os.environ["EVENHAND_X"], "RAY_X" in os.environ)
Path("runs").mkdir(exist_ok=True)
Path("runs", cell).write_text(Path("data.txt").read_text())
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[node.Node]:
    """A node, without Ray."""
    monkeypatch.setitem(sys.modules, "ray", Ray())
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_X", "1")
    place = node.Node("study", {})
    yield place
    place._end_helper()
    node.leave("study")
    assert not place.folder.exists()


def work(data: bytes, state: list[Any] | None = None) -> node.Work:
    content = {
        f"stages/core/{name}.py": (tiny.ROOT / f"stages/core/{name}.py").read_bytes()
        for name in ("children", "__init__")
    }
    content |= {
        "stages/__init__.py": b"",  # without it, a package of that name elsewhere in PYTHONPATH would come first
        "stages/tools/forked.py": (tiny.ROOT / "stages/tools/forked.py").read_bytes(),
        "stages/tools/preload.py": b"",
    }
    content |= {"stages/train/__main__.py": TRAIN.encode(), "data.txt": data}
    found = [node.Parcel(name, str(hash(there)), [{name: there}]) for name, there in content.items()]
    environment = {"DVC_STAGE": "train@v-0", "EVENHAND_X": "x", "DVC_ROOT": "/elsewhere"}
    return node.Work("v-0", "stages.train", environment, found, state or [], ["runs/v-0"])


def test_a_node_runs_a_command_in_a_copy_of_the_folder(place: node.Node) -> None:
    assert place.hello().kind == "here"
    event = place.begin(work(b"pictures"))
    assert event == node.Event("ended", "None x False", 0, {"runs/v-0": b"pictures"}), (
        "no setting of Ray or of the node"
    )
    assert place.begin(work(b"bad")) == node.Event("ended", "error: bad data", 1)
    assert place.begin(work(b"nothing")) == node.Event("ended"), "an older output is not taken for a new one"
    event = place.begin(work(b""))
    assert event.kind == "broken"
    assert "No space left" in event.said
    (place.folder / "study/stages/train/__main__.py").write_text("damaged")
    event = place.begin(work(b"others", [{"ab/last.pt": b"epoch 3"}]))
    assert event.code, "what is here already is not sent again"
    place.folder.joinpath("marks").rename(place.folder / "gone")
    assert place.begin(work(b"others", [{"ab/last.pt": b"epoch 3"}])).said.startswith("from epoch 3")


def test_other_versions_are_named() -> None:
    here = node.versions_of(["torch", "dvc"])
    assert node.unlike(here) == ""
    assert "torch" in node.unlike(here | {"torch": "1.0"})
    assert "not 1.0" in node.unlike(here | {"torch": "1.0"})
    assert "no-such-package none, not 2" in node.unlike({"no-such-package": "2"})
    assert "and 2 more" in node.unlike(dict.fromkeys("abcdef", "1"))
    assert {"torch", "dvc", "numpy"} <= set(cluster.pinned())


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = node.own_folder(tmp_path, "study")
    assert found.parent.stat().st_mode & 0o077 == 0
    user = os.getuid()
    (tmp_path / f"evenhand-{user + 1}").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    with pytest.raises(PermissionError, match="another user"):
        node.own_folder(tmp_path, "study")


def test_without_ray_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="make cluster"):
        cluster.library()


@pytest.mark.parametrize(
    ("jobs", "gpus", "device", "needs", "at_once"),
    [
        (None, 0, "auto", (4, 0.0), 6),
        (None, 3, "auto", (4, 1.0), 3),
        (6, 3, "auto", (4, 0.5), 6),
        (7, 3, "auto", (4, 1 / 3), 7),
        (2, 3, "cuda", (4, 1.0), 2),
        (None, 3, "cpu", (4, 0.0), 6),
    ],
)
def test_a_cell_asks_for_its_threads_and_a_gpu(
    jobs: int | None, gpus: int, device: str, needs: tuple[int, float], at_once: int
) -> None:
    now: Any = object.__new__(cluster.Cluster)
    nodes = [{"Alive": True, "Resources": {"CPU": 4, "memory": 5e9}}, {"Alive": True, "Resources": {"CPU": 2}}]
    nodes.append({"Alive": False, "Resources": {"CPU": 64}})
    now.ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 6.0, "GPU": float(gpus)}, nodes=lambda: nodes)
    now.given, now.devices, now.threads, now.memory = jobs, {"v": device, "w": "cpu"}, {"v": 8, "w": 1}, 10**10
    now.processes = {"v": 1, "w": 1}
    found = now._needs("v")
    assert found == (needs[0], pytest.approx(needs[1]), 5 * 10**9)
    assert now._needs("w")[:2] == (1, 0.0)
    assert now.jobs == at_once
    assert now.fits("v", []), "one alone is always run"
    assert not now.fits("w", ["w"] * at_once)
    assert now.fits("w", ["w"] * (at_once - 1))


def test_a_cell_that_every_node_refuses_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now: Any = object.__new__(cluster.Cluster)
    now.quiet, now.refused = 0, ""
    now.ray = SimpleNamespace(exceptions=SimpleNamespace(RayError=OSError), kill=lambda _: None)
    remote: Any = SimpleNamespace(placed=False, actor=None, exitcode=None, log=tmp_path / "folder/log")
    for _ in range(2 * cluster.PATIENCE):
        now._look_for_room([remote], heard=False)
    assert not remote.exitcode, "a node may join"
    assert capsys.readouterr().err.count("waiting for one") == 1
    now.refused = "its disk is full"
    now._look_for_room([remote], heard=False)
    assert remote.exitcode == 1
    assert "its disk is full" in remote.log.read_text()
    now.quiet = cluster.PATIENCE
    now._look_for_room([SimpleNamespace(placed=True)], heard=False)
    assert now.quiet == 0


def test_the_cluster_is_asked_for_before_any_work() -> None:
    program = """if True:
        import sys
        sys.modules["ray"] = None
        from stages.core import errors
        from stages.tools import side_by_side
        errors.run(side_by_side.main)
    """
    said = tiny.run(tiny.ROOT, sys.executable, "-c", program, "--cluster", "auto", check=False)
    assert "CLUSTER needs Ray" in said
    assert "Traceback" not in said
