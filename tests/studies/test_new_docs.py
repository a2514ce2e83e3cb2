"""What the documents of newcomers say holds: the reference is current, the how-tos are valid, the tutorial runs."""

import contextlib
import csv
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.cells.check import check
from stages.clean import __main__ as clean
from stages.core import files, params, rendered
from stages.ingest import ingest
from stages.ingest.params import check_source
from stages.split import __main__ as split
from stages.tools import params_page
from studies.new import networks, study
from studies.new.proposal import Proposal, Source
from tests import tiny
from tests.clean.conftest import photo
from tests.studies.new_folders import make

DOCS = tiny.ROOT / "docs"
SERVERS = {"make curate STUDY=mine": "http://127.0.0.1:8765/", "mlflow models serve": "http://127.0.0.1:{}/ping"}


def test_the_reference_is_current() -> None:
    assert params_page.PAGE.read_text(encoding="utf-8") == params_page.page(), (
        "run `python -m stages.tools.params_page`"
    )


def test_the_reference_has_every_key_that_the_repository_uses() -> None:
    written = set(re.findall(r"^\| `(\w+)`", params_page.page(), re.M))
    raw = params.read(tiny.ROOT / "params.yaml").raw

    def keys(value: Any) -> set[str]:
        if isinstance(value, list):
            return {key for inner in value for key in keys(inner)}
        return set(value) | {k for inner in value.values() for k in keys(inner)} if isinstance(value, dict) else set()

    used = set(raw) | {key for name in params.SECTIONS for key in keys(raw[name])}
    assert used - set(params.SECTIONS) <= written | {"layers"}


def _proposal(setting: networks.Setting, counts: Counter[str], *, balanced: bool = False) -> Proposal:
    split = {"seed": 0, "val": 0.2, "test": 0.2, "per_seed": True}
    return Proposal(Source("folder", "source"), {"label": "parent"}, split, 5, counts, balanced, setting, 20, 60)


def _merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}


def _check(raw: dict[str, Any]) -> None:
    rendered.check(raw)
    check(params.Study(raw["study"], float(raw["lr"]), list(raw["seeds"]), raw["variants"], raw))


BLOCKS = re.findall(r"```yaml\n(.*?)```", (DOCS / "howto.md").read_text(encoding="utf-8"), re.S)
INLINE = re.findall(r"`(split: \{.*?\} \})`", (DOCS / "howto.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("block", [*BLOCKS, *INLINE])
def test_the_how_tos_are_valid(block: str) -> None:
    setting = networks.Setting(images=500, side=400, pretrained=True, gpu=False, threads=2)
    text = study.params_text("mine", _proposal(setting, Counter(a=250, b=250)))
    raw = rendered.parse(text.encode())
    change = YAML(typ="safe").load(block)
    assert change
    _check(_merged(raw, change))


def test_the_column_of_the_how_to_defines_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented settings, on a folder of pictures whose table is longer than the documented one."""
    text = (DOCS / "howto.md").read_text(encoding="utf-8").partition("## Take the split from a column")[2]
    table, settings = re.findall(r"```(?:yaml)?\n(.*?)```", text.partition("\n## ")[0], re.S)
    header, *examples = table.split()
    rows = [line.split(",") for line in examples]
    values = ["train", "train", "val", "test", "later", ""]
    rows += [[f"{i}.jpg", "cat" if i % 2 else "dog", values[i // 2 % 6]] for i in range(4, 40)]
    (tmp_path / "pictures").mkdir()
    for number, (name, _, _) in enumerate(rows):
        photo(number).save(tmp_path / "pictures" / name)
    (tmp_path / "pictures/list.csv").write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    change = _merged({"split": {"seed": 0}}, YAML(typ="safe").load(settings))
    change["ingest"] |= {"source": "folder", "path": "pictures"}
    top: dict[str, Any] = {"study": "x", "lr": 1, "seeds": [0], "variants": {"v": {}}}
    monkeypatch.chdir(tmp_path)
    files.write_json("params.yaml", {name: {} for name in params.SECTIONS} | top | change)
    ingest(check_source(change["ingest"]))
    monkeypatch.setattr(sys, "argv", ["clean"])
    clean.main()
    split.main()
    paths = {r["image_id"]: r["path"] for r in files.read_rows("data/clean/ledger.csv") if r["status"] == "kept"}
    found = {Path(paths[r["image_id"]]).name: r["split"] for r in files.read_rows("data/split/seeds/0.csv")}
    assert found == {name: part if part in ("val", "test") else "train" for name, _, part in rows}


@pytest.mark.parametrize("side", [8, 28, 64, 65, 4000])
@pytest.mark.parametrize("images", [30, 3000, 200_000])
@pytest.mark.parametrize(("pretrained", "gpu"), [(True, False), (False, False), (True, True)])
def test_every_proposal_is_valid(side: int, images: int, pretrained: bool, gpu: bool) -> None:
    setting = networks.Setting(images, side, pretrained, gpu, threads=2)
    raw = rendered.parse(study.params_text("x", _proposal(setting, Counter(a=5), balanced=True)).encode())
    _check(raw)
    assert raw["variants"]["prior"]["model"]["name"] == "random"
    assert ("audit" in raw["aggregate"]) == (pretrained and side > networks.TINY and images <= 20_000)
    assert ("tuned_all" in raw["variants"]) == (gpu and side > networks.TINY)


@pytest.mark.parametrize("label", ["yes", "no", "null", "1", "1.0", "a: b", "# x", "'", '"', "ภาพ", "{x}", "x\\d", "-"])
def test_texts_stay_texts(label: str) -> None:
    """Whatever a column or pattern is called, params.yaml gives it back."""
    found = YAML(typ="safe", pure=True).load(f"a: {study._value({'file': label, 'label': label})}")
    assert found == {"a": {"file": label, "label": label}}


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Each of its commands in turn, on a made folder in the home of the reader; cells are made few after step 2."""
    paths = [f"{label}/{i}.jpg" for label in ("cat", "dog") for i in range(12)]
    make(tmp_path / "home/pictures", paths, side=16)
    place = tiny.copy(tmp_path)
    shutil.copytree(tiny.ROOT / "studies/new", place / "studies/new", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", ".gitignore"):
        shutil.copyfile(tiny.ROOT / "studies" / name, place / "studies" / name)
    tiny.commit(place, "make new")
    port = tiny.free_port()
    blocks = re.findall(r"```bash\n(.*?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.S)
    commands = [line for block in blocks[1:] for line in block.strip().splitlines()]
    assert blocks[0].split("\n")[1:3] == ["cd evenhand", "make setup"]
    home: dict[str, Any] = {"HOME": str(tmp_path / "home"), "EVENHAND_TRACKING": "off"}
    said = {}
    with contextlib.ExitStack() as servers:
        for command in commands:
            ready = command.replace("make ", "make -o setup ").replace("5001", str(port))  # this environment is set up
            if answer := SERVERS.get(command.split(" -m ")[0]):
                servers.enter_context(tiny.serving(place, ["bash", "-c", ready], answer.format(port), **home))
                continue
            said[command] = tiny.run(place, "bash", "-c", ready, **home)
            if command.startswith("make new"):
                tiny.edit(place / "studies/mine/params.yaml", _few)
    assert "24 pictures, 2 classes" in said["make new IMAGES=~/pictures NAME=mine"]
    assert re.search(r"It will take about \d+ (seconds|minutes)", said["make new IMAGES=~/pictures NAME=mine"])
    assert "up to date" in said["dvc status studies/mine/dvc.yaml"]
    assert said["head -5 studies/mine/reports/summary.csv"].startswith("variant,split,metric")
    printed = said["make predict STUDY=mine IMAGES=~/pictures"]
    predicted = list(csv.DictReader(printed[printed.index("path,") :].splitlines()))
    assert [Path(row["path"]).parent.name for row in predicted[:24]] == ["cat"] * 12 + ["dog"] * 12
    served = json.loads(re.search(r"\{.*\}", said[commands[-3]])[0])["predictions"][0]  # type: ignore[index]
    asked = next(row for row in predicted if row["path"].endswith("cat/1.jpg"))
    assert served["label"] == asked["label"]
    assert served["probability"] == pytest.approx(float(asked["probability"]), abs=1e-6)
    listed = tiny.run(place, "git", "ls-files", "studies/mine").splitlines()
    assert "studies/mine/reports/index.html" in listed
    assert not [path for path in listed if path.endswith((".safetensors", "/source")) or "data/raw" in path]
    assert str(tmp_path) not in "".join(
        (place / p).read_text() for p in listed if p.endswith((".yaml", ".md", ".lock"))
    )


def _few(raw: dict[str, Any]) -> None:
    raw["seeds"] = [0, 1]
    raw["variants"] = {name: raw["variants"][name] for name in ("prior", "mlp")}
    raw["train"]["epochs"] = 2
