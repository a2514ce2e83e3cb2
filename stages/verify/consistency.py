"""Check 1: dvc.lock matches dvc.yaml, params.yaml, code and files; no cell is stale, extra or missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stages.verify import history, lock, settings, strangers
from stages.verify.result import Check

if TYPE_CHECKING:
    from stages.verify.scratch import Place


def check(place: Place, scratch: Place, source: str) -> Check:
    """Hold dvc.lock of `scratch`, a copy of `place` without data, against everything around it.

    Args:
        place: the study.
        scratch: a copy of it.
        source: `ingest.path` of params.yaml; where it is out of reach, a note says so.
    """
    found = Check(
        "lock",
        "the lock file dvc.lock matches dvc.yaml, params.yaml, the code, every file in git and the data that lies "
        "here; no cell is stale, extra or missing",
    )
    recorded = lock.read(scratch)
    _stages(scratch, recorded, found)
    away = lock.cached(scratch)
    _files(place, recorded, away, found)
    strangers.find(place, scratch, recorded, away, found)
    settings.check(place, scratch, found)
    _chain(recorded, found)
    _status(scratch, recorded, away, source, found)
    return found


def _stages(scratch: Place, recorded: lock.Lock, found: Check) -> None:
    """dvc.lock has the stages that are asked for, and each with what it is asked to depend on."""
    asked = lock.asked(scratch)
    wanted = {name: stage for name, stage in asked.items() if stage.outs}  # the logging of runs makes no file
    found.compared += len(wanted)
    for name, stage in wanted.items():
        if stage.frozen:
            found.add(name, "different", "frozen in dvc.yaml: DVC would not notice that it is stale")
        if name not in recorded.outs:
            found.add(name, "missing", "dvc.yaml and params.yaml ask for it, dvc.lock does not know it: it was not run")
            continue
        for kind, here, there in (
            ("dependency", stage.deps, recorded.deps[name].keys()),
            ("output", stage.outs, recorded.outs[name].keys()),
            ("parameter", stage.params, recorded.params[name]),
        ):
            for word in sorted(here - there):
                found.add(name, "different", f"dvc.yaml names the {kind} {word}, dvc.lock does not know it")
            for word in sorted(there - here):
                found.add(name, "different", f"dvc.lock has the {kind} {word}, dvc.yaml does not name it any more")
    for name in sorted(recorded.outs.keys() - asked.keys()):
        found.add(name, "different", "dvc.lock has it, dvc.yaml and params.yaml do not ask for it: an unlisted cell")


def _files(place: Place, recorded: lock.Lock, away: set[str], found: Check) -> None:
    """Every output in git against its hash, and every other one that lies here."""
    for path, md5 in sorted(recorded.made.items()):
        file = place.folder / path
        if path in away and not file.exists():
            continue
        found.compared += 1
        if not file.exists():
            found.add(path, "missing", "dvc.lock recorded it, but it is not in git")
        elif lock.digest(file) != md5:
            words = history.changed(place, path, md5)
            found.add(path, "different", "not what dvc.lock recorded" + (f": {words}" if words else ""))
        elif (size := lock.size(file)) != recorded.sizes[path]:
            words = " and ".join(
                f"{said} {unit}, here {true}"
                for said, true, unit in zip(recorded.sizes[path], size, ("bytes", "files"), strict=True)
                if said != true
            )
            found.add(path, "different", f"dvc.lock was edited: it gives {words}")


def _chain(recorded: lock.Lock, found: Check) -> None:
    """Each dependency has the hash that its maker recorded, also where the bytes are not here."""
    made = recorded.made
    for stage, deps in recorded.deps.items():
        for path, md5 in deps.items():
            found.compared += path in made
            if made.get(path, md5) != md5:
                found.add(stage, "different", f"stale: it was run on another {path} than the one that dvc.lock records")


def _status(scratch: Place, recorded: lock.Lock, away: set[str], source: str, found: Check) -> None:
    """What DVC calls changed, except bytes that are simply not here."""
    status: dict[str, list[Any]] = json.loads(scratch.dvc("status", "--json", "dvc.yaml").stdout or "{}")
    if not (scratch.folder / source).exists():
        away = {*away, source}
        found.notes.append(f"the source {source} is out of reach here, so it was not compared")
    for stage, changes in status.items():
        if not recorded.outs.get(stage):
            continue  # named above, or without output
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
