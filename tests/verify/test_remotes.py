"""Data and experiments travel over DVC remotes: a folder, and an S3-compatible store."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.verify import committed

pytestmark = pytest.mark.slow


@pytest.fixture
def origin(study: Path, tmp_path: Path) -> Path:
    """The study with its cache, to which a remote can be added."""
    return Path(shutil.copytree(study, tmp_path / "origin", symlinks=True))


def test_a_second_clone_pulls_and_has_nothing_to_do(origin: Path, tmp_path: Path) -> None:
    tiny.run(origin, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    tiny.commit(origin, "Add a remote")
    tiny.run(origin, "dvc", "push")
    second = committed.clone(origin, tmp_path / "second")
    tiny.run(second, "dvc", "pull")
    assert "up to date" in tiny.run(second, "dvc", "status", *made(second))
    assert "Running stage" not in tiny.run(second, "dvc", "repro", "report")
    assert (second / "runs/mlp/0/model.safetensors").read_bytes() == (
        origin / "runs/mlp/0/model.safetensors"
    ).read_bytes()


def test_without_access_the_reviewer_reads_what_is_missing_and_keeps_the_results(origin: Path, tmp_path: Path) -> None:
    tiny.run(origin, "dvc", "remote", "add", "--default", "store", str(tmp_path / "out of reach"))
    tiny.commit(origin, "Add a remote")
    second = committed.clone(origin, tmp_path / "second")
    output = tiny.run(second, "dvc", "pull", check=False)
    assert "data/raw" in output
    assert "runs/mlp/0/model.safetensors" in output
    assert (second / "reports/index.html").exists()
    assert "Running stage" not in tiny.run(second, "dvc", "repro", "--allow-missing", "--dry", "report")


@pytest.mark.weekly
def test_experiments_are_pushed_and_pulled(origin: Path, tmp_path: Path) -> None:
    bare = tmp_path / "shared.git"
    tiny.run(origin, "git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    tiny.run(origin, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    tiny.commit(origin, "Add a remote")
    tiny.run(origin, "git", "remote", "remove", "origin", check=False)
    tiny.run(origin, "git", "remote", "add", "origin", str(bare))
    tiny.run(origin, "git", "push", "--quiet", "origin", "main")
    tiny.run(origin, "dvc", "exp", "run", "--temp", "--name", "faster", "-S", "lr=0.01", "report")
    tiny.run(origin, "dvc", "exp", "push", "origin", "faster")
    second = committed.clone(bare, tmp_path / "second")
    assert "faster" in tiny.run(second, "dvc", "exp", "list", "origin")
    tiny.run(second, "dvc", "exp", "pull", "origin", "faster")
    tiny.run(second, "dvc", "exp", "apply", "faster")
    assert "lr: 0.01" in (second / "params.yaml").read_text()
    assert "Running stage" not in tiny.run(second, "dvc", "repro", "report")


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of an S3-compatible store on this machine, with a bucket `evenhand`."""
    port = tiny.free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        create = (
            f"import boto3; boto3.client('s3', endpoint_url='http://127.0.0.1:{port}').create_bucket(Bucket='evenhand')"
        )
        subprocess.run([sys.executable, "-c", create], env=os.environ | KEYS, check=True)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}


def test_an_s3_compatible_store(origin: Path, tmp_path: Path, s3: str) -> None:
    def run(folder: Path, *arguments: str) -> str:
        return tiny.run(folder, sys.executable, "-m", "dvc", *arguments, check=True, **KEYS)

    run(origin, "remote", "add", "--default", "store", "s3://evenhand/study")
    run(origin, "remote", "modify", "store", "endpointurl", s3)
    tiny.commit(origin, "Add a remote")
    run(origin, "push")
    second = committed.clone(origin, tmp_path / "second")
    run(second, "pull")
    assert "up to date" in run(second, "status", *made(second))


def made(study: Path) -> list[str]:
    """All stages but `track`, which writes to a store of runs and not to files."""
    return [s for s in tiny.run(study, "dvc", "stage", "list", "--name-only").split() if s != "track"]
