"""What each cell says that it was trained with, against what params.yaml asks for."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from stages.core import cells as places
from stages.core import files, params
from stages.core.errors import UserError
from stages.verify import difference

if TYPE_CHECKING:
    from stages.verify.result import Check
    from stages.verify.scratch import Place

# The engine resolves its own settings, from the code under judgement: the judge imports no stage.
_PROGRAM = """
import sys
from stages.core import errors, files, params
from stages.train.params import cell
def main():
    study = params.read()
    files.write_json(sys.argv[1], {variant: cell(study, variant).model_dump() for variant in study.variants})
errors.run(main)
"""
SIDES = difference.Sides("trained with", "asked for")


@cache  # asked for by the check and by the certificate: each time is a process that loads the engine
def resolved(scratch: Place) -> dict[str, dict[str, Any]]:
    """The settings of each variant, as the code in `scratch` reads its params.yaml.

    Raises:
        UserError: it cannot.
    """
    target = scratch.root.parent / "settings.json"
    done = subprocess.run(  # noqa: S603 - this Python with our own program
        [sys.executable, "-c", _PROGRAM, str(target)],
        cwd=scratch.folder, env={"PYTHONPATH": str(scratch.root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"params.yaml cannot be resolved: {' '.join(done.stderr.split())[-600:]}")
    settings: dict[str, dict[str, Any]] = files.read_json(target)
    return settings


def check(place: Place, scratch: Place, found: Check) -> None:
    """Name cells whose config.json tells of another variant, another seed or other settings.

    dvc.lock alone does not know: `dvc commit --force`, or a hand, makes it fit params.yaml without any training.
    """
    settings = resolved(scratch)
    for variant, seed in params.read(scratch.folder / params.FILE).cells:
        path = places.train_folder(variant, seed) / "config.json"
        if not (place.folder / path).exists():
            continue  # named as missing
        config = files.read_json(place.folder / path)
        told = {"variant": config.get("variant"), "seed": config.get("seed"), "cell": config.get("cell")}
        found.compared += 1
        words = difference.values(told, {"variant": variant, "seed": seed, "cell": settings[variant]}, SIDES)
        if words:
            found.add(str(path), "different", f"not a run of this cell: {words}")
