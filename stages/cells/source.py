"""What DVC makes of the source, `${ingest.path}`, before the stage `ingest` sees it: part of the guard (guard.py).

DVC reads whatever lies in a dependency: it waits at a pipe, reads /dev/zero for ever, follows a link to any file of
this machine, and ends at a link that leads nowhere or at a name that is not UTF-8. Here such entries stand in DVC's
list of the source by what they are, and unread. All else is read as DVC reads it, so an ordinary source has the same
hash with and without the guard.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

COMMAND = "python -m stages.ingest"
CODE = "stages/"
DECISIONS = "data/curation.csv"  # of `clean`; a study from before decisions by hand has none
OURS = "python -m stages."
TAKEN = ".dvcignore"  # DVC refuses a folder that has one


def of_the_system(path: str) -> bool:
    """Whether a path leads to where files may have no end."""
    real = os.path.join(os.path.realpath(path), "")  # noqa: PTH118
    return real.startswith(("/dev/", "/proc/", "/sys/")) and not real.startswith("/dev/shm/")  # noqa: S108


def hash_all(module: ModuleType) -> None:
    """Change `dvc.dependency.base`: every entry of the source counts, and none of them ends or stops the command."""
    dependency = module.Dependency
    build, exists = dependency._build, dependency.exists.fget  # noqa: SLF001 - DVC has no place for this; its version is pinned

    def there(self: Any) -> bool:
        found = self.fs_path
        if self.protocol != "local" or not str(getattr(self.stage, "cmd", "")).startswith(OURS):
            return bool(exists(self))
        # DVC would read a device for ever, and wait at a pipe.
        plain = os.path.isfile(found) or os.path.isdir(found)  # noqa: PTH113, PTH112
        return plain and not of_the_system(found) and (_is_source(self) or exists(self))

    def build_all(self: Any, odb: Any, path: str, fs: Any, name: str, **more: Any) -> Any:
        if not _is_source(self) or not os.path.isdir(path):  # noqa: PTH112
            return build(self, odb, path, fs, name, **more)
        walk = _Walk(path, lambda: _links_out(self.stage))
        staging, meta, tree = build(self, odb, path, fs, name, **{**more, "ignore": walk})
        return staging, meta, _add(tree, meta, walk.odd, staging, name) if walk.odd else tree

    dependency._build = build_all  # noqa: SLF001
    dependency.exists = property(there)


def ask_first(module: ModuleType) -> None:
    """Change `dvc.stage`: without a source or the file of decisions, a stage ends before DVC removes its outputs."""
    run = module.Stage.run

    def run_with_source(self: Any, *args: Any, **more: Any) -> Any:
        from dvc.exceptions import DvcException

        for dep in self.deps if self.cmd == COMMAND else ():
            if _is_source(dep) and not (dep.exists and os.access(dep.fs_path, os.R_OK)):
                raise DvcException(_missing(self, dep))
        if any(dep.def_path == DECISIONS and not dep.exists for dep in self.deps):
            raise DvcException(
                f"{DECISIONS} is not there; restore it from git, or write a file with the one line "
                "`path,sha256,decision,value,reason,who,when,seen`, which decides nothing (`make study` does so)"
            )
        return run(self, *args, **more)

    module.Stage.run = run_with_source


def _is_source(dep: Any) -> bool:
    from dvc.dependency.base import Dependency

    ours = type(dep) is Dependency and getattr(dep.stage, "cmd", None) == COMMAND and dep.protocol == "local"
    return ours and not os.path.normpath(dep.def_path).startswith(CODE)


def _missing(stage: Any, dep: Any) -> str:
    """What is said of a source that cannot be read."""
    why = "is no file and no folder that can be read" if os.path.lexists(dep.fs_path) else "is not there"
    go_on = "; to go on from what was brought in last, run `dvc checkout ingest` and then `dvc repro --allow-missing`"
    name = "name the source in params.yaml, or plug its disk in"
    return f"`ingest.path` is {dep}, which {why}; {name}{go_on if any(out.hash_info for out in stage.outs) else ''}"


def section(params: bytes) -> dict[str, Any]:
    """The section `ingest` of a params.yaml; empty where it cannot be read."""
    import evenhand_rendered as rendered

    with contextlib.suppress(rendered.RefusedError):
        found = rendered.parse(params).get("ingest")
        return found if isinstance(found, dict) else {}
    return {}


def content(fs: Any, path: str) -> bytes:
    """The beginning of a file, and so all of a params.yaml that counts; empty where it cannot be read."""
    with contextlib.suppress(OSError), fs.open(path, "rb") as file:
        return bytes(file.read(1_000_000))
    return b""


def _links_out(stage: Any) -> bool:
    fs = stage.repo.fs
    return section(content(fs, fs.join(stage.wdir, "params.yaml"))).get("links_out") is True


class _Walk:
    """Stands where DVC asks which files to leave out: leaves out what it cannot read, and keeps a list of it.

    A `.dvcignore`, `.git` or `.dvc` hides nothing, so that a source inside the repository counts as one outside of it.

    Attributes:
        odd: path -> (kind, what of it counts), of what was left out; a kind `file` counts with its content.
    """

    def __init__(self, source: str, links_out: Any) -> None:
        self.source, self.odd = source, {}  # type: ignore[var-annotated]
        self._inside, self._links_out = os.path.join(os.path.realpath(source), ""), links_out  # noqa: PTH118

    def walk(self, fs: Any, path: str, **more: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        more.pop("ignore_subrepos", None)
        for root, folders, names in fs.walk(path, **more):
            plain = []
            for name in names:
                kind = self._odd(root, name)
                if kind:
                    self.odd[os.path.relpath(f"{root}{os.sep}{name}", self.source)] = kind
                else:
                    plain.append(name)
            names[:] = plain
            for name in folders:  # DVC counts no link to a folder and no empty folder; `ingest` has rows for them
                path = f"{root}{os.sep}{name}"
                if os.path.islink(path):  # noqa: PTH114
                    self.odd[os.path.relpath(path, self.source)] = "link", os.readlink(path)  # noqa: PTH115
                elif os.path.splitext(name)[1] and _is_empty(path):  # noqa: PTH122
                    self.odd[os.path.relpath(path, self.source)] = "empty", ""
            yield root, folders, names

    def _odd(self, root: str, name: str) -> tuple[str, str] | None:
        path, link = f"{root}{os.sep}{name}", None
        try:
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                link = "link", os.readlink(path)  # noqa: PTH115
                leads_out = not os.path.realpath(path).startswith(self._inside)
                if of_the_system(path) or (leads_out and not self._may_leave()):
                    return link
                mode = os.stat(path).st_mode  # noqa: PTH116
                if not stat.S_ISREG(mode):
                    return link
        except OSError as error:  # it leads nowhere, or in a circle, or has vanished
            return link or ("gone", str(error.errno))
        if not stat.S_ISREG(mode):
            return "special", str(stat.S_IFMT(mode))
        if not os.access(path, os.R_OK):
            return "unreadable", ""
        return None if name != TAKEN and _utf8(path) else ("file", path)

    def _may_leave(self) -> bool:
        if callable(self._links_out):
            self._links_out = self._links_out()
        return bool(self._links_out)


def _is_empty(folder: str) -> bool:
    with contextlib.suppress(OSError):
        return not os.listdir(folder)  # noqa: PTH208
    return False


def _add(tree: Any, meta: Any, odd: dict[str, tuple[str, str]], staging: Any, name: str) -> Any:
    """DVC's list of the source with what it could not read, each under a path that no file has: `path//kind`."""
    from dvc_data.hashfile.db import add_update_tree
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    for path, (kind, what) in odd.items():
        digest, size = hashlib.md5(usedforsecurity=False), 0
        if kind == "file":
            with open(what, "rb") as file:  # noqa: PTH123
                while piece := file.read(1 << 20):
                    digest.update(piece)
                    size += len(piece)
        else:
            digest.update(os.fsencode(what))
        tree.add((*map(_escaped, Path(path).parts), "", kind), Meta(size=size), HashInfo(name, digest.hexdigest()))
        meta.size = (meta.size or 0) + size
    meta.nfiles = len(tree)
    tree.digest()
    return add_update_tree(staging, tree)


def _utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    r"""The name with `\xff` for what is not UTF-8; two names are never written alike."""
    return name if _utf8(name) else os.fsencode(name.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")
