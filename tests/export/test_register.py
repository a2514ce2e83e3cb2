"""The registered model: one version for one content, no pickle; its server answers with the numbers of predict."""

import base64
import contextlib
import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.clean import isolate
from stages.core import files, params
from stages.core.errors import UserError
from stages.export import __main__ as export
from stages.export import package, register
from stages.predict import __main__ as predict
from stages.track.store import FINGERPRINT_TAG
from stages.train import checkpoint
from tests import tiny

pytestmark = pytest.mark.slow

MODEL = "models:/tiny one@champion"
TRACKING = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
TWICE = """
from stages.export import register
for _ in range(2):
    register.main()
import mlflow
found = mlflow.MlflowClient().get_model_version_by_alias("tiny one", "champion")
print("tags:", __import__("json").dumps(found.tags))
"""


@contextlib.contextmanager
def server(study: Path) -> Iterator[str]:
    """MLflow's own server on a free port of this machine."""
    port = tiny.free_port()
    command = ["mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    with tiny.serving(study, command, f"http://127.0.0.1:{port}/ping", **TRACKING, PYTHONPATH=""):
        yield f"http://127.0.0.1:{port}/invocations"


def post(address: str, images: list[str], body: Any = None) -> list[dict[str, Any]]:
    body = body or {"dataframe_records": [{"image": image} for image in images]}
    sent = json.dumps(body).encode()
    request = urllib.request.Request(address, sent, {"Content-Type": "application/json"})  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return list(json.load(answer)["predictions"])


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # of MLflow's own classes
def test_a_request_uses_the_processes_of_the_last_also_side_by_side(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.export import served

    monkeypatch.chdir(trained)
    study = params.read()
    package.write(tmp_path, study, "cnn", [0, 1], package.trained("cnn", [0, 1]))
    started: list[int] = []
    start = isolate._Worker.__init__

    def counted(worker: Any, *arguments: Any) -> None:
        started.append(1)
        start(worker, *arguments)

    monkeypatch.setattr(isolate._Worker, "__init__", counted)
    champion = served.Champion()
    champion.load_context(SimpleNamespace(artifacts={"champion": str(tmp_path)}))
    images = [path.read_bytes() for path in sorted((trained.parent / "source").rglob("*.png"))[::9]]
    tables = [pd.DataFrame({"image": images[k : k + 3]}) for k in range(8)]
    alone = [champion.predict(None, one) for one in tables]
    assert len(started) == 1
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: champion.predict(None, one), tables))
    assert together == alone
    assert len(started) == len(champion.kept) == 1
    many = champion.predict(
        None, pd.DataFrame({"image": [images[:2], np.array(["AAAA", "no base64"]), images[2], None]})
    )
    assert many[:2] + many[4:5] == alone[0]
    assert [one["problem"][:24] for one in many] == ["", "", "picture 3: not_an_image:", "picture 4: not_an_image:", "",
                                                    "picture 6: not_an_image:"]  # fmt: skip
    for worker in champion.kept:
        worker.end()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
def test_content_that_comes_back_makes_no_second_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After A, B, A again: the version of A, to which the alias goes back."""
    import mlflow

    client = mlflow.MlflowClient(registry_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.create_registered_model("one")
    client.create_registered_model("other")
    folder = tmp_path / "champion"
    folder.mkdir()
    (folder / "README.md").write_text("card")
    monkeypatch.setattr(
        register, "_logged", lambda client, _, name, *_rest: client.create_model_version(name, str(folder)).version
    )

    def registered(name: str, content: str) -> str:
        return str(register._registered(client, "0", name, tmp_path, {FINGERPRINT_TAG: content}))

    assert [registered("one", content) for content in "ABABBA"] == ["1", "2", "1", "2", "2", "1"]
    assert registered("other", "A") == "1"


@pytest.mark.parametrize("changed", ["label", "classes", "images"])
@pytest.mark.parametrize("command", [export.main, register.main])
def test_networks_of_other_data_are_not_handed_on(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, command: Any
) -> None:
    """A decision by hand, and no training since: the manifest, the split or the classes are new, the networks old."""
    shutil.copytree(trained, tmp_path / "study", ignore=shutil.ignore_patterns(".git", "export", "mlflow.db"))
    monkeypatch.chdir(tmp_path / "study")
    package.trained("cnn", [0, 1])
    split, manifest = Path("data/split/seeds/0.csv"), Path("data/clean/manifest.csv")
    rows = files.read_rows(split)
    if changed == "images":
        files.write_rows(split, list(rows[0]), rows[:-1])
    elif changed == "classes":
        path = Path("data/split/classes.json")
        files.write_json(path, sorted([*json.loads(path.read_text()), "new"]))
    else:
        held_out = next(row["image_id"] for row in rows if row["split"] == "test")
        kept = files.read_rows(manifest)
        labels = sorted({row["label"] for row in kept})
        for row in kept:
            if row["image_id"] == held_out:
                row["label"] = next(label for label in labels if label != row["label"])
        files.write_rows(manifest, list(kept[0]), kept)
    monkeypatch.setattr("sys.argv", ["x", "--variant", "cnn"])
    with pytest.raises(UserError, match=r"trained on other data than data/split/seeds/0\.csv"):
        command()


@pytest.mark.slow
def test_the_server_answers_with_the_numbers_of_predict(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tiny.run(trained, sys.executable, "-c", TWICE)
    assert said.count("version 1: cnn, alias champion") == 2
    tags = json.loads(said.partition("tags:")[2].splitlines()[0])
    assert tags["data"] == files.sha256(trained / "data/clean/manifest.csv")
    assert tags["split"] == files.sha256(trained / "data/split/seeds/0.csv")
    assert tags["code"] == checkpoint.code()
    stored = [path for path in (trained / "mlartifacts").rglob("*") if path.is_file()]
    assert any(path.name == "model.safetensors" for path in stored)
    assert not [path for path in stored if path.suffix in (".pkl", ".pickle", ".pth", ".pt", ".joblib")]

    picture = next(iter(sorted((trained.parent / "source/9").glob("*.png"))))
    monkeypatch.chdir(trained)
    monkeypatch.setattr("sys.argv", ["predict", str(picture), "--format", "jsonl", "--out", "said.jsonl"])
    predict.main()
    expected = json.loads((trained / "said.jsonl").read_text())
    data = base64.b64encode(picture.read_bytes()).decode()
    with server(trained) as address:
        good, address_of, text, cut = post(address, [data, "http://127.0.0.1:1/x.png", "aGVsbG8=", data[:80]])
        no_picture = post(address, [], {"inputs": ["AAAA"]})
        listed = [post(address, [], {key: [data, "AAAA"]}) for key in ("inputs", "instances")]
        listed.append(post(address, [], {"inputs": {"image": [data, "AAAA"]}}))
    chances = {one["label"]: one["probability"] for one in expected["top"]}
    assert good["probabilities"] == pytest.approx(chances, abs=1e-6)
    assert (good["label"], good["problem"]) == ("9", "")
    assert good["unlike"] == expected["unlike"]
    assert "addresses are not fetched" in address_of["problem"]
    assert [one["problem"] for one in no_picture] == ["picture 1: not_an_image: no known image format in 3 bytes"]
    for found in listed:
        assert found == [good, {**no_picture[0], "problem": no_picture[0]["problem"].replace("1", "2", 1)}]
    for bad in (address_of, text, cut):
        assert bad["problem"]
        assert (bad["label"], bad["probabilities"]) == (None, {})
