"""Check 1: dvc.lock matches dvc.yaml, params.yaml, the code and the files; no cell is stale, extra or missing."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from stages.core import cells as places
from stages.core import files, intact, params
from stages.core.errors import UserError
from stages.verify import difference, lock
from stages.verify.certificate import Check
from stages.verify.scratch import MADE

if TYPE_CHECKING:
    from pathlib import Path

    from stages.verify.scratch import Place
CELLS = ("results", "runs")  # <variant>/<seed> below
PAGE = "reports/index.html"  # git has no copy of it below studies/; check 2 makes it again and compares the hash
# The settings are resolved by the code that is verified, in a process of its own: verify imports no stage.
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


def check(place: Place, scratch: Place, source: str) -> Check:
    """Hold dvc.lock of `scratch`, a copy of `place` without data, against everything around it.

    Args:
        place: the study.
        scratch: a copy of it.
        source: `ingest.path` of params.yaml; where it is out of reach, a note says so.
    """
    found = Check(
        "lock",
        "the file dvc.lock matches dvc.yaml, params.yaml, the code, every file in git and the data that is "
        "present; no cell is stale, extra or missing; every result file is the output of a stage",
    )
    recorded = lock.read(scratch)
    _stages(scratch, recorded, found)
    away = lock.cached(scratch)
    _files(place, recorded, away, found)
    _every_file_is_an_output(place, scratch, recorded, away, found)
    _trained_as_asked(place, scratch, found)
    _chain(recorded, found)
    _status(scratch, recorded, away, source, found)
    return found


def _stages(scratch: Place, recorded: lock.Lock, found: Check) -> None:
    """dvc.lock has the stages of dvc.yaml and params.yaml, each with the same dependencies, outputs and parameters."""
    asked = lock.asked(scratch)
    wanted = {name: stage for name, stage in asked.items() if stage.outs}  # `track` has no output file
    found.compared += len(wanted)
    for name, stage in wanted.items():
        if stage.frozen:
            found.add(name, "different", "the stage is frozen in dvc.yaml, so DVC would not notice that it is stale")
        if name not in recorded.outs:
            found.add(
                name,
                "missing",
                "dvc.yaml and params.yaml ask for this stage, but dvc.lock does not have it: it was not run",
            )
            continue
        for kind, here, there in (
            ("dependency", stage.deps, recorded.deps[name].keys()),
            ("output", stage.outs, recorded.outs[name].keys()),
            ("parameter", stage.params, recorded.params[name]),
        ):
            for word in sorted(here - there):
                found.add(name, "different", f"dvc.yaml names the {kind} {word}, but dvc.lock does not have it")
            for word in sorted(there - here):
                found.add(name, "different", f"dvc.lock has the {kind} {word}, but dvc.yaml does not name it")
    for name in sorted(recorded.outs.keys() - asked.keys()):
        found.add(
            name,
            "different",
            "dvc.lock has this stage, but dvc.yaml and params.yaml do not ask for it: an unlisted cell",
        )


def _files(place: Place, recorded: lock.Lock, away: set[str], found: Check) -> None:
    """Compare every output that is in git or otherwise present with its hash."""
    for path, md5 in sorted(recorded.made.items()):
        file = place.folder / path
        if not file.exists() and (path in away or path == PAGE):
            continue
        found.compared += 1
        if not file.exists():
            found.add(path, "missing", "dvc.lock recorded this file, but it is not in git")
        elif intact.md5(file) != md5:
            words = lock.changed(place, path, md5)
            found.add(path, "different", "not what dvc.lock recorded" + (f": {words}" if words else ""))
        elif (size := lock.size(file)) != recorded.sizes[path]:
            words = " and ".join(
                f"{in_lock} {unit}, the file has {true}"
                for in_lock, true, unit in zip(recorded.sizes[path], size, ("bytes", "files"), strict=True)
                if in_lock != true
            )
            found.add(path, "different", f"dvc.lock was edited: it says {words}")


def _chain(recorded: lock.Lock, found: Check) -> None:
    """Each dependency has the hash that the stage which made it recorded, even if the bytes are not present."""
    made = recorded.made
    for stage, deps in recorded.deps.items():
        for path, md5 in deps.items():
            found.compared += path in made
            if made.get(path, md5) != md5:
                found.add(stage, "different", f"stale: it was run on a {path} that differs from the one in dvc.lock")


def _status(scratch: Place, recorded: lock.Lock, away: set[str], source: str, found: Check) -> None:
    """What DVC reports as changed, except files that are only absent on this machine."""
    status: dict[str, list[Any]] = json.loads(scratch.dvc("status", "--json", "dvc.yaml").stdout or "{}")
    if not (scratch.folder / source).exists():
        away = {*away, source}
        found.notes.append(f"the source {source} is not available on this machine, so it was not compared")
    for stage, changes in status.items():
        if not recorded.outs.get(stage):
            continue  # already named, or without output
        reasons = []
        for change in changes:
            if isinstance(change, str):
                reasons.append(change)
            else:
                reasons += _reasons(change.get("changed deps", {}), away)
        if reasons:
            found.add(stage, "different", f"stale: {'; '.join(reasons)} since it was run")


def _reasons(deps: dict[str, Any], away: set[str]) -> list[str]:
    """`{"params.yaml": {"lr": "modified"}, "stages/core": "modified"}` in words."""
    reasons = []
    for path, state in deps.items():
        if isinstance(state, dict):
            reasons += [f"{key} of {path} {word}" for key, word in state.items()]
        elif path not in away:
            reasons.append(f"{path} {state}")
    return reasons


def _every_file_is_an_output(place: Place, scratch: Place, recorded: lock.Lock, away: set[str], found: Check) -> None:
    """Name files in the folders of the results that are not the output of a stage, even if git ignores them.

    Args:
        place: the study, with ignored files.
        scratch: its copy, without ignored files.
        recorded: dvc.lock.
        away: outputs in the DVC cache, to which DVC may link.
        found: the check that gets the findings.
    """
    made = {PurePosixPath(path) for path in recorded.made}
    within = {parent for path in made for parent in path.parents}
    count: dict[PurePosixPath, int] = {}
    for top in MADE:
        for file in sorted(p for p in (place.folder / top).rglob("*") if p.is_file() or p.is_symlink()):
            path = PurePosixPath(file.relative_to(place.folder).as_posix())
            if not made & {path, *path.parents}:
                # Name the highest folder that holds no output, so that a whole cell is one line.
                highest = next(p for p in (*reversed(path.parents), path) if p not in within)
                count[highest] = count.get(highest, 0) + (file.name != ".gitignore" or highest != path)
    for path, number in count.items():
        if number:
            found.add(str(path), "different", _words(path, number, recorded, scratch.folder))
    for path in sorted(made):
        if (place.folder / path).is_symlink() and str(path) not in away:
            found.add(str(path), "different", "a link to another place, not the output of a stage")


def _words(path: PurePosixPath, files: int, recorded: lock.Lock, scratch: Path) -> str:
    words = f"{files} files here are not" if files > 1 else "this file is not"
    words += " the output of a stage in dvc.lock"
    if path.parts[0] in CELLS and len(path.parts) in (2, 3):
        known = sorted({stage.removeprefix("train@") for stage in recorded.outs if stage.startswith("train@")})
        words += f"; the cells of this study are {', '.join(known)}" if len(known) <= 40 else ""
        words = f"an unlisted cell: {words}"
    return words if (scratch / path).exists() else f"{words}; an ignore rule hides it from git"


@cache  # the check and the certificate both need them, and each time costs a process
def resolved_settings(scratch: Place) -> dict[str, dict[str, Any]]:
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


def _trained_as_asked(place: Place, scratch: Place, found: Check) -> None:
    """Name cells whose config.json has another variant, another seed or other settings than params.yaml asks for.

    dvc.lock alone cannot show it: `dvc commit --force` or an edit makes it match params.yaml without any training.
    """
    settings = resolved_settings(scratch)
    for variant, seed in params.read(scratch.folder / params.FILE).cells:
        path = places.train_folder(variant, seed) / "config.json"
        if not (place.folder / path).exists():
            continue  # already named as missing
        config = files.read_json(place.folder / path)
        trained = {"variant": config.get("variant"), "seed": config.get("seed"), "cell": config.get("cell")}
        found.compared += 1
        words = difference.values(trained, {"variant": variant, "seed": seed, "cell": settings[variant]}, SIDES)
        if words:
            found.add(str(path), "different", f"not a run of this cell: {words}")
