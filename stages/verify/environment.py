"""This machine and its packages, against what the repository pins and what the study's maker wrote down.

`environment.json` lies beside dvc.lock, in git. It is no output of a stage: on every machine it would be another one.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.core.errors import UserError

if TYPE_CHECKING:
    from stages.verify.scratch import Place

RECORD = "environment.json"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?:\s*;\s*(.+))?$")


def describe() -> dict[str, Any]:
    """Python, packages that decide about bits, processor, GPU, threads."""
    import torch

    gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {
            name: importlib.metadata.version(name) for name in ("torch", "torchvision", "timm", "numpy", "dvc")
        },
        "cpu": _cpu(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "driver": _driver() if gpu else None,
        "cuda": torch.version.cuda if gpu else None,
        "cudnn": torch.backends.cudnn.version() if gpu else None,  # type: ignore[no-untyped-call]
    }


def record(place: Place, here: dict[str, Any]) -> None:
    """Write down that the study, as its dvc.lock stands, was made `here`."""
    files.write_json(place.folder / RECORD, {"lock": files.sha256(place.folder / "dvc.lock"), "environment": here})


def recorded(place: Place) -> tuple[dict[str, Any], str | None]:
    """What the study was made with, empty if nobody wrote it down; and what is wrong with it, in words."""
    path = place.folder / RECORD
    alone = "what the study was made with is known from the cells alone"
    if not path.exists():
        return {}, f"{RECORD} is not here: {alone}"
    try:
        read = files.read_json(path)
        lock, environment = read["lock"], dict(read["environment"])
    except (UserError, ValueError, TypeError):
        return {}, f"{RECORD} cannot be read: {alone}"
    if lock != files.sha256(place.folder / "dvc.lock"):
        return environment, f"{RECORD} was written for another dvc.lock"
    return environment, None


def unpinned(place: Place) -> list[str]:
    """Packages of requirements.lock that are installed in another version, or not at all, each as words."""
    from packaging.markers import Marker

    path = place.root / "requirements.lock"
    words = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        match = _PIN.match(line.strip("\\ "))  # a hash follows in the next line
        if not match or (match[3] and not Marker(match[3]).evaluate()):
            continue
        try:
            version = importlib.metadata.version(match[1])
        except importlib.metadata.PackageNotFoundError:
            version = "nothing"
        if version.split("+")[0] != match[2].split("+")[0]:
            words.append(f"{match[1]}: pinned {match[2]}, here {version}")
    return words


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.split("\n")[0].strip() or None
