"""The registered model: one version for one content, no pickle; its server answers with the numbers of predict."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.core import files
from stages.predict import __main__ as predict
from tests import tiny

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTHONPATH"))} | TRACKING
    environment["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{environment['PATH']}"
    with (study / "server.log").open("w") as log:
        process = subprocess.Popen(
            ["mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)],
            cwd=study, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(600):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
                break
            assert process.poll() is None, (study / "server.log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def post(address: str, images: list[str]) -> list[dict[str, Any]]:
    body = json.dumps({"dataframe_records": [{"image": image} for image in images]}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return list(json.load(answer)["predictions"])


@pytest.mark.slow
def test_the_server_answers_with_the_numbers_of_predict(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tiny.run(trained, sys.executable, "-c", TWICE)
    assert said.count("version 1, alias champion") == 2
    tags = json.loads(said.partition("tags:")[2].splitlines()[0])
    assert tags["data"] == files.sha256(trained / "data/clean/manifest.csv")
    assert tags["split"] == files.sha256(trained / "data/split/seeds/0.csv")
    assert len(tags["code"]) == 64
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
    chances = {one["label"]: one["probability"] for one in expected["top"]}
    assert good["probabilities"] == pytest.approx(chances, abs=1e-6)
    assert (good["label"], good["problem"]) == ("9", "")
    assert good["unlike"] == expected["unlike"]
    assert "addresses are not fetched" in address_of["problem"]
    for bad in (address_of, text, cut):
        assert bad["problem"]
        assert (bad["label"], bad["probabilities"]) == (None, {})
