"""dvc.lock as a table of hashes, and how an edited file differs from before."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.core import intact
from stages.core.errors import UserError
from stages.verify import difference

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.verify.scratch import Place

    Listing = dict[str, str]  # relative path -> MD5; a file alone has the path ""
    Read = Callable[[str], bytes]  # relative path -> bytes as they were

DEPTH = 50  # the search goes back so many commits that changed the folder
NAMED = 3  # so many files are named; further files are only counted


@dataclass(frozen=True)
class Lock:
    """What dvc.lock recorded: stage -> path -> MD5 (of a folder: of its listing, with `.dir` at the end)."""

    outs: dict[str, dict[str, str]]
    deps: dict[str, dict[str, str]]
    params: dict[str, set[str]] = field(default_factory=dict)  # stage -> keys of params.yaml
    sizes: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)  # of outputs: bytes, files

    @property
    def made(self) -> dict[str, str]:
        """Every output, path -> MD5."""
        return {path: md5 for outs in self.outs.values() for path, md5 in outs.items()}

    @cached_property
    def needs(self) -> dict[str, list[str]]:
        """Stage -> the stages whose outputs it needs, in the order of dvc.lock."""
        makers = [(path, stage) for stage, outs in self.outs.items() for path in outs]
        return {
            stage: list(dict.fromkeys(m for dep in deps for path, m in makers if m != stage and _overlap(dep, path)))
            for stage, deps in self.deps.items()
        }

    @property
    def order(self) -> list[str]:
        """The stages, each after those whose outputs it needs; dvc.lock has them in the order of their first run.

        Raises:
            UserError: stages depend on each other in a circle.
        """
        try:
            return list(TopologicalSorter(self.needs).static_order())
        except CycleError as error:
            raise UserError(
                f"dvc.lock: these stages depend on each other in a circle: {', '.join(error.args[1])}"
            ) from None


@dataclass(frozen=True)
class AskedStage:
    """A stage as dvc.yaml and params.yaml ask for it, matrix and variables resolved."""

    deps: set[str]
    outs: set[str]
    in_git: set[str]  # outputs that DVC does not cache
    params: set[str]
    frozen: bool


def read(place: Place) -> Lock:
    """Read dvc.lock of the study; one that is missing or empty has no stages.

    Raises:
        UserError: it is not what DVC writes, or an output leads out of the study, where `verify` would remove it.
    """
    path = place.folder / "dvc.lock"
    try:
        stages = ((_yaml(path) if path.exists() else None) or {}).get("stages", {})
        entries = {name: {"deps": [], "outs": [], "params": {}} | entry for name, entry in stages.items()}
        for out in (out["path"] for entry in entries.values() for out in entry["outs"]):
            if PurePosixPath(out).is_absolute() or ".." in out.split("/") or not out.isprintable():
                raise UserError(
                    f"dvc.lock has the output {out!r}, which leads out of the study; DVC does not write this, so do "
                    "not trust this clone"
                )
        return Lock(
            {name: _hashes(entry["outs"]) for name, entry in entries.items()},
            {name: _hashes(entry["deps"]) for name, entry in entries.items()},
            {name: {key for keys in entry["params"].values() for key in keys} for name, entry in entries.items()},
            {o["path"]: (o.get("size"), o.get("nfiles")) for entry in entries.values() for o in entry["outs"]},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"dvc.lock does not have the form that DVC writes ({error!r}); `git log -p dvc.lock` shows its edits"
        ) from None


@cache  # DVC needs a second, and two checks of a scratch copy ask
def asked(place: Place) -> dict[str, AskedStage]:
    """What dvc.yaml and params.yaml ask for, by name of the stage, as DVC resolves it.

    Raises:
        UserError: DVC cannot read them.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(place.folder)) as repo:
            stages = repo.stage.load_all(str(place.folder / "dvc.yaml"))
            return {
                stage.name: AskedStage(
                    deps={dep.def_path for dep in stage.deps if not hasattr(dep, "params")},
                    outs={out.def_path for out in stage.outs},
                    in_git={out.def_path for out in stage.outs if not out.use_cache},
                    params={key for dep in stage.deps for key in getattr(dep, "params", [])},
                    frozen=stage.frozen,
                )
                for stage in stages
            }
    except DvcException as error:
        raise UserError(
            f"DVC cannot read dvc.yaml with dvc.lock and params.yaml: {' '.join(str(error).split())}"
        ) from None


def cached(place: Place) -> set[str]:
    """The outputs in dvc.lock that dvc.yaml does not put into git: a reviewer may not have their bytes."""
    return set(read(place).made) - {path for stage in asked(place).values() for path in stage.in_git}


def size(path: Path) -> tuple[int, int | None]:
    """Bytes, and of a folder the number of its files, as DVC records them."""
    if not path.is_dir():
        return path.stat().st_size, None
    sizes = [p.stat().st_size for p in path.rglob("*") if p.is_file()]
    return sum(sizes), len(sizes)


def cache_file(place: Place, digest: str) -> Path:
    """Where the DVC cache of `place` keeps the bytes of a digest."""
    return place.cache / "files" / "md5" / digest[:2] / digest[2:]


def _hashes(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: str(entry["md5"]) for entry in entries if "md5" in entry}


def _overlap(one: str, two: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return one == two or one.startswith(f"{two}/") or two.startswith(f"{one}/")


def _yaml(path: Path) -> Any:
    try:
        return _parsed(path.read_text("utf-8"))
    except YAMLError as error:
        raise UserError(f"{path.name} is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{path.name} is nested too deep; DVC writes no such file") from None


@cache  # a long dvc.lock takes a third of a second, and the copies have the same text
def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def changed(place: Place, path: str, recorded: str) -> str:
    """How `path` differs from the state in which it had the MD5 `recorded`.

    Returns:
        Words such as "metrics.csv edited (row 3 (test, nll), value: recorded 0.5, here 0.4)"; empty if neither the
        DVC cache nor git has that state.
    """
    now = place.folder / path
    files = intact.listing(now) if now.is_dir() else {"": intact.md5(now)} if now.exists() else {}
    before = _cached(place, recorded) or _committed(place, path, recorded)
    return _words(now, before[0], files, before[1]) if before else ""


def _words(folder: Path, then: Listing, now: Listing, read: Read) -> str:
    edits = [f"{name} removed" for name in sorted(then.keys() - now.keys())]
    edits += [f"{name} added" for name in sorted(now.keys() - then.keys())]
    for name in sorted(n for n in then.keys() & now.keys() if then[n] != now[n]):
        words = _first(read(name), folder / name) if len(edits) < NAMED else None
        edits.append(f"{name} edited".strip() + (f" ({words})" if words else ""))
    return "; ".join(edits[:NAMED]) + (f"; and {len(edits) - NAMED} more" if len(edits) > NAMED else "")


def _first(then: bytes, now: Path) -> str | None:
    with tempfile.NamedTemporaryFile(suffix=now.suffix) as file:
        file.write(then)
        file.flush()
        return difference.first(Path(file.name), now, difference.HERE)


def _cached(place: Place, recorded: str) -> tuple[Listing, Read] | None:
    def read(name: str) -> bytes:
        return cache_file(place, then[name]).read_bytes()

    then, path = {"": recorded}, cache_file(place, recorded)
    if recorded.endswith(".dir"):
        then = {e["relpath"]: e["md5"] for e in json.loads(path.read_text("utf-8"))} if path.is_file() else {}
        if intact.folder_md5(then) != recorded:
            return None
    return (then, read) if all(cache_file(place, md5).is_file() for md5 in then.values()) else None


def _committed(place: Place, path: str, recorded: str) -> tuple[Listing, Read] | None:
    commits = place.git("log", f"-{DEPTH}", "--format=%H", "--", path, check=False).split()
    for commit in commits:
        then = _committed_listing(place, commit, path)
        if recorded in (intact.folder_md5(then), then.get("")):
            return then, lambda name: _show(place, commit, f"{path}/{name}".rstrip("/"))  # noqa: B023 - left at once
    return None


def _committed_listing(place: Place, commit: str, path: str) -> Listing:
    names = place.git("ls-tree", "-r", "-z", "--name-only", commit, "--", path, check=False).split("\0")
    return {name[len(path) :].lstrip("/"): _md5(_show(place, commit, name)) for name in names if name}


def _md5(data: bytes) -> str:
    """DVC's name for bytes, not a defence: forged bytes are found by running the study again."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _show(place: Place, commit: str, name: str) -> bytes:
    return place.git_bytes("show", f"{commit}:./{name}")
