"""To FiftyOne and back: what goes out is what the tables say, and what comes back is what a person marked there.

It runs on a stand-in that has the few calls that are used, and on FiftyOne itself where EVENHAND_FIFTYONE names a
virtual environment that has it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from stages.clean.params import Clean
from stages.core import curation, files
from stages.core.errors import UserError
from stages.curate import app, fiftyone

if TYPE_CHECKING:
    from collections.abc import Iterator

ENV = os.environ.get("EVENHAND_FIFTYONE")
pytestmark = [pytest.mark.filterwarnings("ignore")] if ENV else []  # its packages have warnings of their own


class Sample(dict[str, Any]):
    """A sample keeps what was set when it is saved, and nothing else."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(fields)
        self.tags: list[str] = fields.get("tags", [])

    def save(self) -> None:
        self["tags"] = self.tags


class StandIn:
    """The calls of FiftyOne that are used."""

    def __init__(self) -> None:
        self.datasets: dict[str, Any] = {}
        self.Sample, self.Classification = Sample, SimpleNamespace

    def list_datasets(self) -> list[str]:
        return list(self.datasets)

    def load_dataset(self, name: str) -> Any:
        return self.datasets[name]

    def Dataset(self, name: str, persistent: bool) -> Any:  # noqa: N802 - FiftyOne's name
        assert persistent, "else it is gone when the program ends"

        class Dataset(list[Sample]):
            add_samples = list.extend

            def get_field_schema(self) -> set[str]:
                return {key for one in self for key in one}

        self.datasets[name] = Dataset()
        return self.datasets[name]


@pytest.fixture(params=["a stand-in", "FiftyOne"])
def fo(request: pytest.FixtureRequest) -> Any:
    if request.param == "a stand-in":
        return StandIn()
    if not ENV:
        pytest.skip("EVENHAND_FIFTYONE names no environment that has FiftyOne")
    return fiftyone.api(ENV)


@pytest.fixture
def name(fo: Any) -> Iterator[str]:
    made = f"evenhand-{uuid.uuid4().hex[:8]}"
    yield made
    if not isinstance(fo, StandIn) and made in fo.list_datasets():
        fo.delete_dataset(made)


@pytest.fixture
def desk(root: Path, monkeypatch: pytest.MonkeyPatch) -> app.Desk:
    monkeypatch.chdir(root)
    return app.Desk(Path(), Clean(), "study", "Ann")


def samples(fo: Any, name: str) -> dict[str, Any]:
    return {sample["source"]: sample for sample in fo.load_dataset(name)}


def marked(sample: Any, *tags: str, label: str = "") -> None:
    """As a person does in FiftyOne."""
    sample.tags = [*tags]
    if label:
        sample["ground_truth"].label = label
    sample.save()


def decided() -> dict[str, tuple[str, str, str, str]]:
    return {d.path: (d.decision, d.value, d.reason, d.who) for d in curation.read()}


def test_what_goes_out_is_what_the_tables_say(fo: Any, name: str, desk: app.Desk) -> None:
    suspect = files.read_rows("reports/suspects.csv")[0]["image_id"]
    columns = ["image_id", "label", "predicted", "label_probability", "predicted_probability", "distance"]
    doubted = dict(zip(columns, [suspect, "b", "a", 0.02, 0.75, 2.5], strict=True))
    files.write_rows("reports/audit/suspects.csv", columns, [doubted])
    files.write_rows("reports/audit/outliers.csv", columns, [doubted])
    for seed, part in enumerate(["val", "test", "val"]):
        files.write_rows(f"data/split/seeds/{seed}.csv", ["image_id", "split"], [{"image_id": suspect, "split": part}])
    digests = {one["path"]: one["sha256"] for one in files.read_rows("data/clean/ledger.csv")}
    curation.write([
        curation.Decision("b/11.png", digests["b/11.png"], "relabel", "a"),
        curation.pair("not_same", ("b/12.png", digests["b/12.png"]), ("b/13.png", digests["b/13.png"])),
    ])  # fmt: skip
    fiftyone.send(fo, desk, name)
    found = samples(fo, name)
    ledger = files.read_rows("data/clean/ledger.csv")
    assert set(found) == {row["path"] for row in ledger if row["sha256"]}, "all but the row without a file"
    for row in ledger:
        if row["sha256"]:
            one = found[row["path"]]
            assert [one[key] for key in ("label", "status", "reason", "detail")] == [
                row[key] for key in ("label", "status", "reason", "detail")
            ]
            assert one["ground_truth"].label == row["label"]
            with Image.open(one["filepath"]) as picture:
                picture.load()
            assert ("data/clean/images" in one["filepath"]) == (row["status"] == "kept"), "no file as it was brought"
    one = found["b/10.png"]
    assert not {"parts", "part", "split"} & set(fo.load_dataset(name).get_field_schema()), (
        "as the page, it tells no part"
    )
    assert (one["networks"].label, one["networks"].confidence) == ("a", 0.9)
    assert (one["audit"].label, one["audit"].confidence, one["distance"]) == ("a", 0.75, 2.5)
    groups = {row["image_id"]: row["group_id"] for row in files.read_rows("data/clean/manifest.csv")}
    assert one["group_id"] == groups[suspect]
    assert (list(found["b/11.png"].tags), found["b/11.png"]["decided"]) == (["relabel:a"], "relabel a")
    assert (list(found["b/12.png"].tags), found["b/12.png"]["decided"]) == (["not_same"], "")
    with pytest.raises(UserError, match=rf"has a dataset '{name}'; import its decisions and delete it"):
        fiftyone.send(fo, desk, name)


def test_what_was_marked_there_becomes_decisions_and_is_taken_back(fo: Any, name: str, desk: app.Desk) -> None:
    fiftyone.send(fo, desk, name)
    found = samples(fo, name)
    fiftyone.bring(fo, desk, name, "r")
    assert not Path(curation.FILE).exists(), "nothing was marked"
    marked(found["b/11.png"], "drop", "a tag of my own")
    marked(found["a/cut.png"], "drop")
    marked(found["b/12.png"], "relabel: a ")
    marked(found["b/13.png"], label="a")
    marked(found["a/1.png"], "keep")
    fiftyone.bring(fo, desk, name, "as I saw")
    more = "as I saw", "Ann"
    every = {
        "a/1.png": ("keep", "", *more), "a/cut.png": ("drop", "", *more), "b/11.png": ("drop", "", *more),
        "b/12.png": ("relabel", "a", *more), "b/13.png": ("relabel", "a", *more),
    }  # fmt: skip
    assert decided() == every
    assert all(d.when and d.seen == files.sha256("reports/metrics.json")[:16] for d in curation.read())
    before = Path(curation.FILE).read_bytes()
    fiftyone.bring(fo, desk, name, "again")
    assert Path(curation.FILE).read_bytes() == before
    marked(samples(fo, name)["b/11.png"], "a tag of my own")
    fiftyone.bring(fo, desk, name, "no")
    assert decided() == {path: row for path, row in every.items() if path != "b/11.png"}


def test_what_the_page_would_refuse_or_ask_is_named_and_not_taken(
    fo: Any, name: str, desk: app.Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    fiftyone.send(fo, desk, name)
    found = samples(fo, name)
    marked(found["b/10.png"], "drop", "keep")
    marked(found["b/11.png"], "relabel:new")
    marked(found["b/12.png"], "relabel:B")
    marked(found["b/13.png"], "relabel:" + "x" * 501)
    marked(found["b/14.png"], "relabel:")
    marked(found["b/15.png"], "drop")
    page = app.Desk(Path(), Clean(), "study", "Eve")
    number = next(p.number for p in page.study.pictures if p.name == "b/15.png")
    page.decide(app.Asked(pictures=[number], decision="keep"))
    fiftyone.bring(fo, desk, name, "r")
    said = capsys.readouterr().err
    for line in (
        "b/10.png: it is marked as drop and keep; leave one",
        "b/11.png: the label 'new' is new, or that of no other picture; --sure takes it",
        "b/12.png: the label 'B' is nearly 'b'; --sure takes it",
        "b/13.png: the new label has more than 500 letters",
        "b/14.png: the new label is empty",
        "b/15.png: data/curation.csv has another decision since the export",
        "0 changes are in",
    ):
        assert line in said
    assert decided() == {"b/15.png": ("keep", "", "", "Eve")}
    fiftyone.bring(fo, desk, name, "r", sure=True)
    assert {path: row[:2] for path, row in decided().items()} == {
        "b/11.png": ("relabel", "new"), "b/12.png": ("relabel", "B"), "b/15.png": ("keep", ""),
    }  # fmt: skip
    desk.study.pictures.clear()
    marked(samples(fo, name)["b/16.png"], "drop")
    fiftyone.bring(fo, desk, name, "r")
    assert "b/16.png: this study does not have the file any more" in capsys.readouterr().err


def packages(env: Path) -> None:
    """An environment with nothing in it."""
    (env / "lib/python{}.{}/site-packages".format(*sys.version_info)).mkdir(parents=True)


def test_the_commands_of_the_how_to(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there, but for the folders; the environment that is named has nothing but a stand-in."""
    page = (Path(__file__).parents[2] / "docs/howto.md").read_text()
    export, bring = re.findall(r"python -m stages\.curate\.fiftyone ((?:export|import).*)$", page, re.MULTILINE)
    stand_in = StandIn()
    params = {"study": "made", "lr": 0.1, "seeds": [0], "variants": {"a": {}}, "clean": {}}
    params |= {"split": {"seed": 0, "val": 0.2, "test": 0.2}}
    params |= dict.fromkeys(("ingest", "train", "evaluate", "aggregate", "report"))
    (root / "params.yaml").write_text(json.dumps(params))
    monkeypatch.chdir(root)
    packages(root / "fiftyone")
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.setitem(sys.modules, "fiftyone", stand_in)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "argv", ["fiftyone", *shlex.split(export, comments=True)])
    fiftyone.main()
    marked(samples(stand_in, "made")["b/11.png"], "drop")
    monkeypatch.setattr(sys, "argv", ["fiftyone", *shlex.split(bring, comments=True)])
    fiftyone.main()
    assert decided()["b/11.png"][:2] == ("drop", "")


def test_another_dataset_is_not_imported(fo: Any, name: str, desk: app.Desk) -> None:
    with pytest.raises(UserError, match="has no dataset"):
        fiftyone.bring(fo, desk, name, "r")
    fo.Dataset(name, persistent=True).add_samples([fo.Sample(filepath="/x.png")])
    with pytest.raises(UserError, match=r"that `python -m stages\.curate\.fiftyone export` made"):
        fiftyone.bring(fo, desk, name, "r")


def test_without_fiftyone_an_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    packages(tmp_path)
    for env in (None, str(tmp_path)):
        with pytest.raises(UserError, match=r"~/fiftyone/bin/pip install fiftyone`\), and name that: --env ~/fiftyone"):
            fiftyone.api(env)


def test_an_environment_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nope: no folder .*nope/lib/python3.*; name a virtual environment"):
        fiftyone.api(str(tmp_path / "nope"))
