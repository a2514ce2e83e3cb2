"""What travels to the nodes of a cluster and back, and where it may not go; no Ray is needed here."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dvc.repo import Repo

from stages.core import params
from stages.core.errors import UserError
from stages.tools import cargo, node, parcels
from tests.pipeline.test_house import ROOT, reached


def test_what_was_packed_comes_out_the_same_in_parts_of_a_size(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for name, size in {"a/1.png": 40, "a/b/2.png": 50, "a/__pycache__/x.pyc": 9, "c.csv": 10, "d.csv": 1}.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(b"x" * size)
    parts = list(parcels.pack(here, ["a", "c.csv", "missing"], part=60))
    assert [sorted(part) for part in parts] == [["a/1.png"], ["a/b/2.png", "c.csv"]]
    for part in parts:
        parcels.unpack(there, part)
    assert parcels.digest(there, "a") == parcels.digest(here, "a")
    assert sorted(p.name for p in there.rglob("*.*")) == ["1.png", "2.png", "c.csv"], "no partial file is left"
    (there / "a/b/2.png").rename(there / "a/b/3.png")
    assert parcels.digest(there, "a") != parcels.digest(here, "a"), "names count"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", ".", "a\0b"])
def test_no_path_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="leads out of the folder"):
        parcels.unpack(tmp_path / "study", {"first": b"", name: b""})
    with pytest.raises(ValueError, match="leads out of the folder"):
        list(parcels.pack(tmp_path, [name]))
    assert not list(tmp_path.iterdir()), "nothing is written where one name is refused"


class Store:
    """An object store in which references are the things themselves."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, thing: Any) -> Any:
        self.count += 1
        return thing


def stage(name: str, deps: list[str], outs: list[str]) -> Any:
    entries = [[SimpleNamespace(fs_path=str(Path(path).absolute())) for path in paths] for paths in (deps, outs)]
    return SimpleNamespace(
        name=name, cmd=f"python -m stages.{name.split('@', maxsplit=1)[0]}", deps=entries[0], outs=entries[1]
    )


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with inputs of a cell."""
    folder = tmp_path / "study"
    for name in ("data/clean/manifest.csv", "data/clean/images/a.png", "runs/v/0/model", "stages/train/__main__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    monkeypatch.chdir(folder)
    return folder


def freight(stages: list[Any], settings: dict[str, Any] | None = None) -> tuple[cargo.Cargo, Store]:
    store, raw = Store(), {"train": None}
    asked = params.Study("study", 0.1, [0, 1], {"v": settings or {}}, raw)
    return cargo.Cargo(asked, stages, Path(".checkpoints/side_by_side"), store), store


def sent(work: node.Work) -> set[str]:
    return {name for parcel in work.parcels for part in parcel.parts for name in part}


def test_a_cell_takes_its_inputs_along_and_what_is_shared_is_sent_once(study: Path) -> None:
    deps = ["stages/train", "data/clean/manifest.csv"]
    stages = [stage(f"train@v-{seed}", deps, [f"runs/v/{seed}"]) for seed in (0, 1)]
    stages.append(stage("evaluate@v-0", [*deps, "runs/v/0"], ["results/v/0"]))
    loaded, store = freight(stages)
    first = loaded.work(stages[0], {"DVC_ROOT": str(study)})
    assert sent(first) == {"stages/train/__main__.py", "data/clean/manifest.csv", "data/clean/images/a.png"}
    assert first.module == "stages.train"
    assert first.outputs == ["runs/v/0", "timings/v/0.json", "timings/v/0.*.json"]
    put = store.count
    loaded.work(stages[1], {"DVC_ROOT": str(study)})
    assert store.count == put
    for _ in range(2):
        assert "runs/v/0/model" in sent(loaded.work(stages[2], {"DVC_ROOT": str(study)}))
    assert store.count == put + 2, "what one cell alone reads is not kept"
    Path("data/clean/manifest.csv").write_text("other pictures")
    loaded.work(stages[0], {"DVC_ROOT": str(study)})
    assert store.count == put + 4, "the list, and what it lists"


def test_inputs_outside_of_the_study_are_refused(study: Path) -> None:
    outside = stage("train@v-0", ["../secret"], [])
    loaded, _ = freight([])
    with pytest.raises(UserError, match="outside of the study's folder"):
        loaded.work(outside, {})
    (study.parent / "w.pth").touch()
    loaded, _ = freight([], {"model": {"weights": "../w.pth"}})
    with pytest.raises(UserError, match=r"w\.pth lies outside"):
        loaded.work(stage("train@v-0", [], []), {})


def test_weights_travel_the_studys_own_before_the_repositorys(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cargo, "ROOT", study.parent)
    for folder, names in ((study, "a"), (study.parent, "ab")):
        (folder / cargo.WEIGHTS).mkdir(parents=True)
        for name in names:
            (folder / cargo.WEIGHTS / f"{name}.pth").write_text(folder.name)
    Path("own.pth").write_text("mine")
    loaded, _ = freight([], {"phases": {"model": {"weights": "own.pth"}}})
    work = loaded.work(stage("train@v-0", [], []), {})
    content = {name: part[name] for parcel in work.parcels for part in parcel.parts for name in part}
    assert content["own.pth"] == b"mine"
    assert content[".cache/weights/a.pth"] == b"study"
    assert content[".cache/weights/b.pth"] == study.parent.name.encode()


def test_only_outputs_and_checkpoints_come_back(study: Path) -> None:
    cell = stage("train@v-0", [], ["runs/v/0/model", "results/v/0/train"])
    loaded, _ = freight([cell])
    work = loaded.work(cell, {"DVC_ROOT": str(study)})
    for name in ("params.yaml", "runs/v/1/model", "results/v/0/trainer", "stages/train/__main__.py", "../x"):
        with pytest.raises(UserError, match="none of its outputs"):
            loaded.write(work, {"runs/v/0/model": b"w", name: b""})
    for name in ("../x/last.pt", "last.pt", "ab/other.pt"):
        with pytest.raises(UserError, match="no checkpoint"):
            loaded.keep_state(work, {name: b""})
    assert loaded.state(work).state == []
    loaded.keep_state(work, {"ab/last.pt": b"1"})
    loaded.keep_state(work, {"cd/last.pt": b"2"})
    assert (study / ".checkpoints/cd/last.pt").read_bytes() == b"2", "where a cell on this machine finds it"
    assert loaded.state(work).state == [{"cd/last.pt": b"2"}]
    again, _ = freight([cell])
    assert again.state(work).state == [{"cd/last.pt": b"2"}], "after a kill too"
    loaded.write(work, {"runs/v/0/model": b"w", "results/v/0/train/a/b.csv": b"", "timings/v/0.json": b"{}"})
    assert (study / "runs/v/0/model").read_bytes() == b"w"
    assert loaded.state(work).state == []
    assert not (study / ".checkpoints/cd").exists()
    assert (study / ".checkpoints").exists()


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_all_code_that_a_cell_runs_is_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(cargo, "BESIDE", {})  # no pictures
    with Repo() as repo:
        stages = [s for s in repo.stage.collect("dvc.yaml") if s.name.startswith(("train@", "evaluate@"))]
    loaded = cargo.Cargo(params.read(), stages, Path("unused"), Store())
    cell = next(s for s in stages if s.name.startswith(f"{name}@"))
    found = sent(loaded.work(cell, {}))
    starts = [
        ROOT / f"stages/{start}.py"
        for start in ("train/__main__", "evaluate/__main__", "tools/forked", "tools/preload")
    ]
    needed = {path.relative_to(ROOT).as_posix() for start in starts for path in reached(start)}
    assert not needed - found
    assert "params.yaml" in found
    assert not any(path.startswith(("stages/report", "stages/clean")) for path in found)
