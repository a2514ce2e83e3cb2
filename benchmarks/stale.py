"""`python -m benchmarks.stale`: how many trained cells each past commit made stale, by the deps of then and of now.

"Then" a cell depended on the whole of stages/core and stages/train; now it depends on what dvc.yaml names. Only code is
counted: a commit may retrain cells by its data or its settings too.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
THEN = ["stages/core", "stages/train"]
# Files that have left the deps of train, under the names that they had.
MOVED = {"stages/train/inputs.py", "stages/train/sheet.py"}


def read(path: Path) -> dict[str, Any]:
    """The stages of a YAML file of DVC."""
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text())["stages"]
    return stages


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stale", description=__doc__)
    parser.add_argument("--commits", type=int, default=60, help="how many are looked at")
    parser.add_argument("--code", action="store_true", help="only commits that changed stages/core or stages/train")
    chosen = parser.parse_args()
    locks = [ROOT / "dvc.lock", *sorted(ROOT.glob("studies/*/dvc.lock"))]
    cells = sum(name.startswith("train@") for lock in locks for name in read(lock))
    deps = [d for d in read(ROOT / "dvc.yaml")["train"]["deps"] if d.startswith("stages/")]
    paths = ["--", *THEN] if chosen.code else []
    command = ["git", "log", f"-{chosen.commits}", "--format=%x00%h %s", "--name-only", *paths]
    log = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    total = [0, 0]
    print(f"{cells} trained cells are committed\n\n| commit | before | after |\n|---|---|---|")
    for entry in log.split("\0")[1:]:
        title, *changed = (line for line in entry.splitlines() if line)
        before = cells * any(_inside(path, THEN) for path in changed)
        after = cells * any(_inside(path, deps) for path in changed if path not in MOVED)
        total = [total[0] + before, total[1] + after]
        if before or after:
            print(f"| {title} | {before} | {after} |")
    print(f"| all {chosen.commits} | {total[0]} | {total[1]} |")


def _inside(path: str, deps: list[str]) -> bool:
    return path.endswith(".py") and any(path == dep or path.startswith(f"{dep}/") for dep in deps)


if __name__ == "__main__":
    main()
