"""dvc.lock as a table of hashes, and DVC's hashes of files and folders."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stages.verify.scratch import Place


@dataclass(frozen=True)
class Lock:
    """What dvc.lock recorded: stage -> path -> MD5 (of a folder: of its listing, with `.dir` at the end)."""

    outs: dict[str, dict[str, str]]
    deps: dict[str, dict[str, str]]

    @property
    def made(self) -> dict[str, str]:
        """Every output, path -> MD5."""
        return {path: md5 for outs in self.outs.values() for path, md5 in outs.items()}


def read(place: Place) -> Lock:
    """Read dvc.lock of the study; one that is missing counts as empty."""
    path = place.folder / "dvc.lock"
    stages = (
        (YAML(typ="safe", pure=True).load(path.read_text("utf-8")) or {}).get("stages", {}) if path.exists() else {}
    )
    return Lock(*({name: _hashes(entry.get(kind, [])) for name, entry in stages.items()} for kind in ("outs", "deps")))


def without_output(place: Place) -> set[str]:
    """Stages that make nothing which dvc.lock could hold, such as the logging of runs."""
    pipeline = YAML(typ="safe", pure=True).load((place.folder / "dvc.yaml").read_text("utf-8"))["stages"]
    return {name for name, stage in pipeline.items() if not stage.keys() & {"outs", "metrics", "plots"}}


def cached(place: Place) -> set[str]:
    """The outputs that live in the DVC cache, not in git: their bytes may be out of a reviewer's reach."""
    pipeline = YAML(typ="safe", pure=True).load((place.folder / "dvc.yaml").read_text("utf-8"))["stages"]
    patterns = [
        re.compile("[^/]+".join(map(re.escape, re.split(r"\$\{.*?\}", template))))
        for stage in pipeline.values()
        for entry in stage.get("outs", [])
        for template, options in (entry.items() if isinstance(entry, dict) else [(entry, {})])
        if options.get("cache", True)
    ]
    return {path for path in read(place).made if any(pattern.fullmatch(path) for pattern in patterns)}


def listing(folder: Path) -> dict[str, str]:
    """The files of an output folder, relative path -> MD5."""
    return {p.relative_to(folder).as_posix(): md5(p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def digest(path: Path) -> str:
    """The MD5 that DVC 3 records for a file or a folder."""
    return folder_digest(listing(path)) if path.is_dir() else md5(path.read_bytes())


def folder_digest(files: Mapping[str, str]) -> str:
    """DVC's MD5 of a folder, from the MD5 of its files by relative path."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files, key=lambda n: tuple(n.split("/")))]
    return md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def md5(data: bytes) -> str:
    """MD5 in hexadecimal: DVC's name for bytes, not a defence; forged bytes are found by running the study again."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def cache_file(place: Place, digest: str) -> Path:
    """Where the DVC cache of `place` keeps the bytes of a digest."""
    return place.cache / "files" / "md5" / digest[:2] / digest[2:]


def _hashes(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in entries if "md5" in entry}
