"""Check 1: dvc.lock matches dvc.yaml, params.yaml, code and files; no cell is stale, extra or missing."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from stages.verify import history, lock
from stages.verify.result import Check

if TYPE_CHECKING:
    from stages.verify.scratch import Place

JUDGED = ("results", "reports", "data/clean", "data/split")  # every file in here must be some stage's output


def check(place: Place, scratch: Place, source: str) -> Check:
    """Hold dvc.lock of `scratch`, a copy of `place` without data, against everything around it.

    Args:
        place: the study.
        scratch: a copy of it.
        source: `ingest.path` of params.yaml; where it is out of reach, a note says so.
    """
    found = Check(
        "lock",
        "dvc.lock matches dvc.yaml, params.yaml, the code and every file in git; no cell is stale, extra or missing",
    )
    recorded = lock.read(scratch)
    _stages(scratch, recorded, found)
    _files(place, scratch, recorded, found)
    _strangers(scratch, recorded, found)
    _chain(recorded, found)
    _status(scratch, recorded, source, found)
    return found


def _stages(scratch: Place, recorded: lock.Lock, found: Check) -> None:
    listed = scratch.dvc("stage", "list", "--name-only", "dvc.yaml").stdout.split()
    idle = lock.without_output(scratch)
    wanted = [name for name in listed if name not in idle]
    found.compared += len(wanted)
    for name in wanted:
        if name not in recorded.outs:
            found.add(name, "missing", "dvc.yaml and params.yaml ask for it, dvc.lock does not know it: it was not run")
    for name in sorted(recorded.outs.keys() - set(listed)):
        found.add(name, "different", "dvc.lock has it, dvc.yaml and params.yaml do not ask for it: an unlisted cell")


def _files(place: Place, scratch: Place, recorded: lock.Lock, found: Check) -> None:
    """Every output in git against its hash."""
    away = lock.cached(scratch)
    for path, md5 in sorted(recorded.made.items()):
        if path in away:
            continue
        found.compared += 1
        file = scratch.folder / path
        if not file.exists():
            found.add(path, "missing", "dvc.lock recorded it, but it is not in git")
        elif lock.digest(file) != md5:
            edits = history.changed(place, path, md5)
            which = f": {'; '.join(edits)}" if edits and edits != ["edited"] else ""
            found.add(path, "different", f"not what dvc.lock recorded{which}")


def _strangers(scratch: Place, recorded: lock.Lock, found: Check) -> None:
    """Files among the results that no stage made, such as a further seed that params.yaml does not list."""
    made = {PurePosixPath(path) for path in recorded.made}
    for top in JUDGED:
        for file in sorted(p for p in (scratch.folder / top).rglob("*") if p.is_file()):
            relative = PurePosixPath(file.relative_to(scratch.folder).as_posix())
            if file.name != ".gitignore" and not made & {relative, *relative.parents}:
                found.add(str(relative), "different", "no stage of dvc.lock made it: not a result of this study")


def _chain(recorded: lock.Lock, found: Check) -> None:
    """Each dependency has the hash that its maker recorded, also where the bytes are not here."""
    made = recorded.made
    for stage, deps in recorded.deps.items():
        for path, md5 in deps.items():
            found.compared += path in made
            if made.get(path, md5) != md5:
                found.add(stage, "different", f"stale: it was run on another {path} than the one that dvc.lock records")


def _status(scratch: Place, recorded: lock.Lock, source: str, found: Check) -> None:
    """What DVC calls changed, except bytes that are simply not here."""
    status: dict[str, list[Any]] = json.loads(scratch.dvc("status", "--json", "dvc.yaml").stdout or "{}")
    away = lock.cached(scratch)
    if not (scratch.folder / source).exists():
        away.add(source)
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
