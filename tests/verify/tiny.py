"""A tiny study in a repository of its own: 3 classes x 20 pictures of 8 x 8 px, committed beside the code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CODE = (
    "stages",
    "dvc.yaml",
    "params.yaml",
    "requirements.lock",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
)
CLASSES = ("apple", "banana", "cherry")


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "GIT_", "MLFLOW_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    names = {f"GIT_{who}_{what}": "study@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | names | {"PATH": path, "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull, "CI": "1"} | more


def run(folder: Path, *command: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, env=environment(**more), capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def dvc(folder: Path, *arguments: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, "-m", "dvc", *arguments, check=check, **more)


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--allow-empty", "--message", message)


def make(folder: Path, *, epochs: int = 2, seeds: tuple[int, ...] = (0, 1)) -> Path:
    """Code, pictures and params of the tiny study in a new repository; nothing has run."""
    for name in CODE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    pictures(folder / "data" / "fruit")
    yaml = YAML()
    params = yaml.load((folder / "params.yaml").read_text())
    params |= {"study": "tiny", "seeds": list(seeds), "ingest": {"source": "folder", "path": "data/fruit"}}
    params["train"] |= {"epochs": epochs, "batch": 8, "device": "cpu"}
    params["variants"] = {"mlp": {"model": {"name": "mlp", "widths": [8]}}}
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    dvc(folder, "config", "core.autostage", "false")
    commit(folder, "A tiny study")
    return folder


def pictures(folder: Path) -> None:
    """Every class has its colour; noise keeps the pictures apart."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 200, (8, 8, 3))
            pixels[..., number] += 40
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index:02}.png")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))
