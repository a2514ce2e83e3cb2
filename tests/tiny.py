"""A copy of this repository, as it stands, with a study so small that a whole pipeline runs in seconds."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
WHO = {"NAME": "Test", "EMAIL": "test@example.org"}
VARIANT = {"model": {"name": "mlp", "widths": [8]}, "epochs": 2}


def images(folder: Path, per_class: int = 20) -> Path:
    """Three labels of noisy 8x8 px stripes that a small network can tell apart, all of them different."""
    rng = np.random.default_rng(0)
    for label in range(3):
        (folder / f"{label + 8}").mkdir(parents=True)
        for index in range(per_class):
            pixels = rng.integers(0, 120, (8, 8, 3))
            pixels[:, label::3] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label + 8}" / f"{index}.png")
    return folder


def copy(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Copy the repository to `folder / "study"` with a tiny study in params.yaml, and commit it there.

    Args:
        folder: an empty folder; the pictures go to its `source`.
        change: alters the mapping of params.yaml further.
    """
    study = folder / "study"
    listed = run(ROOT, "git", "ls-files", "-co", "--exclude-standard", "--deduplicate").splitlines()
    for name in listed:
        made = name.startswith(("reports/", "results/", "studies/", "data/clean", "data/split")) or name in (
            "dvc.lock",
            "environment.json",
            "data/planted.csv",
        )
        made = made and name not in ("studies/published.csv", "studies/leak.csv")
        if not made and (ROOT / name).is_file():
            (study / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, study / name)
    edit(study / "params.yaml", lambda params: _shrink(params, images(folder / "source")))
    if change:
        edit(study / "params.yaml", change)
    run(study, "git", "init", "--quiet", "--initial-branch=main")
    commit(study, "A tiny study")
    return study


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a YAML file in place, comments kept."""
    yaml = YAML()
    yaml.width = 4096  # a key that is broken over two lines cannot be read back
    values = yaml.load(path.read_text())
    change(values)
    with path.open("w") as file:
        yaml.dump(values, file)


def commit(study: Path, message: str) -> None:
    """Commit everything."""
    run(study, "git", "add", "--all")
    run(study, "git", "commit", "--quiet", "--allow-empty", "--message", message)


def run(study: Path, *command: str, check: bool = True, **environment: str) -> str:
    """Run a command in a study with this environment's programs first; returns what it printed.

    Raises:
        AssertionError: it failed; shows what it printed.
    """
    done = subprocess.run(
        command,
        cwd=study,
        env=surroundings() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(study: Path, command: list[str], address: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that serves until it is stopped; it answers at `address` when the block begins.

    It leads a group of processes of its own.

    Raises:
        AssertionError: it ended, or does not answer in two minutes; shows what it printed.
    """
    log = Path(tempfile.mkstemp(".log", dir=study.parent)[1])
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=study, env=surroundings() | environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        for _ in range(600):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(address, timeout=5)  # noqa: S310 - ours
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        else:
            raise AssertionError(f"{command} does not answer: {log.read_text()}")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGINT)
        process.wait(30)


def surroundings() -> dict[str, str]:
    """The environment of a command in a study."""
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()}
    return {**inherited, **who, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def _shrink(params: dict[str, Any], source: Path) -> None:
    params["study"] = "tiny"
    params["seeds"] = [0, 1]
    params["ingest"] = {"source": "folder", "path": str(source)}
    params["train"] = {**params["train"], "size": 8}
    params["variants"] = {"mlp": VARIANT}
