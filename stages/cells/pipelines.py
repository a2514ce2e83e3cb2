"""Which dvc.yaml and .dvc files of a clone count: part of the guard (guard.py).

DVC takes every such file for a pipeline, also one that a scrape brought, and runs its commands where they make what a
stage of ours reads.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from typing import Any

from evenhand_source import COMMAND, content, section


def leave_out(module: Any) -> None:
    """Take no file of pictures for a pipeline, wherever in a clone of Evenhand they lie.

    Args:
        module: `dvc.repo.index`, whose `Index.from_file` reads each dvc.yaml and .dvc file that DVC finds.
    """
    read = module.Index.from_file.__func__

    def read_ours(cls: Any, repo: Any, path: str) -> Any:
        if repo.fs.parent(path) != repo.root_dir and _is_ours(repo):
            if _in_source(repo, path):
                return cls(repo)
            if why := _is_strange(repo, path):
                sys.stderr.write(f"{os.path.relpath(path, repo.root_dir)} is left out: {why}\n")
                return cls(repo)
        return read(cls, repo, path)

    module.Index.from_file = classmethod(read_ours)


def _is_ours(repo: Any) -> bool:
    """Whether the repository is one of Evenhand; DVC is left as it is in others."""
    lines = content(repo.fs, repo.fs.join(repo.root_dir, "dvc.yaml")).splitlines()
    return any(line.strip() == f"cmd: {COMMAND}".encode() for line in lines)


def _in_source(repo: Any, path: str) -> bool:
    """Whether the file lies in a folder that `ingest.path` of the root or of a study names."""
    fs, root = repo.fs, repo.root_dir
    studies = fs.join(root, "studies")
    inner = [fs.join(one, "params.yaml") for one in (fs.ls(studies, detail=False) if fs.isdir(studies) else [])]
    params = [(one, content(fs, one)) for one in (fs.join(root, "params.yaml"), *inner)]
    return any(_inside(path, source) for file, text in params if (source := _source_of(file, text)))


@functools.cache
def _source_of(file: str, text: bytes) -> str:
    """The source that a params.yaml names, with all links followed; empty where it is unknown, or holds the study."""
    path = section(text).get("path")
    source = os.path.join(os.path.dirname(file), str(path or ""))  # noqa: PTH118, PTH120
    return source if path and not _inside(file, source) else ""


def _inside(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))  # noqa: PTH118


def _is_strange(repo: Any, path: str) -> str:
    """Why a dvc.yaml or .dvc file may come with pictures; empty for those of the user.

    Pictures that no params.yaml names yet may lie anywhere. A pipeline counts where git has it, or where it is that of
    the repository, in a study. A file of `dvc add` has neither a command nor an address.
    """
    from dvc.fs import LocalFileSystem

    fs, folder = repo.fs, repo.fs.parent(path)
    if not isinstance(fs, LocalFileSystem) or _has(repo, path):
        return ""
    unknown = "git does not know it, and it could run commands; `git add` it if it is yours"
    if fs.name(path) != "dvc.yaml":
        return unknown if re.search(rb"(?m)^\W*(cmd|deps)\b", content(fs, path)) else ""
    code = os.path.realpath(os.path.join(folder, "stages"))  # noqa: PTH118
    study = fs.parent(folder) == fs.join(repo.root_dir, "studies")
    same = content(fs, path) == content(fs, fs.join(repo.root_dir, "dvc.yaml"))
    if not (study and same and code == os.path.realpath(os.path.join(repo.root_dir, "stages"))):  # noqa: PTH118
        return unknown
    if _has(repo, fs.join(folder, "params.yaml")):
        return ""
    own = [name for name in os.listdir(folder) if name != "stages" and _is_code(os.path.join(folder, name))]  # noqa: PTH118, PTH208
    why = "beside it could run in place of a library; `git add` its params.yaml if it is yours"
    return f"{own[0]} {why}" if own else ""


def _is_code(path: str) -> bool:
    """Whether Python, which looks into the folder of a study first, would take it for a module."""
    if not os.path.isdir(path):  # noqa: PTH112
        return path.endswith((".py", ".pyc", ".so", ".pyd"))
    return any(name.endswith((".py", ".pyc", ".so", ".pyd")) for _, _, names in os.walk(path) for name in names)


def _has(repo: Any, path: str) -> bool:
    """Whether git has the file."""
    try:
        return bool(repo.scm.is_tracked(path))
    except Exception:  # noqa: BLE001 - without git, or outside of it, nothing is known
        return False
