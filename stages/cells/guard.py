"""Every DVC of this environment checks params.yaml before it renders dvc.yaml, and writes its own files whole.

MLflow's telemetry is off there too, unless MLFLOW_DISABLE_TELEMETRY=false is set.

`make setup` runs this file, which copies itself, source.py, pipelines.py and `core/rendered.py` to the packages of
.venv, with a `.pth` line that has every Python there load it. DVC has no plug-in for any of this (docs/decisions/0605
says what holds without it):

- DVC puts values of params.yaml into paths and names of stages before a stage of ours runs, so a check in a stage comes
  too late for `dvc repro -s train`;
- DVC reads the source before `ingest` does, and stops or ends at what a scrape may hold (source.py);
- DVC takes every dvc.yaml and .dvc file in a clone for a pipeline, and runs its commands, whoever put it there
  (pipelines.py);
- DVC reads names of files as the locale says, which need not be UTF-8;
- DVC rewrites `dvc.lock` and `.dvc/tmp/rwlock` in place, so a kill in that moment leaves them cut.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

INSTALLED, RENDERED = "evenhand_guard", "evenhand_rendered"


class _Whole:
    """A file system of DVC whose files are written beside their place and renamed."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)

    def open(self, path: Any, mode: str = "r", **kwargs: Any) -> Any:
        return _whole(path, **kwargs) if "w" in mode else self._fs.open(path, mode, **kwargs)


@contextlib.contextmanager
def _whole(path: Any, **kwargs: Any) -> Iterator[Any]:
    path = os.path.realpath(path)  # a link stays a link
    # DVC writes each of its files under a lock, so one name is enough; the next run overwrites what a kill has left.
    partial = os.path.join(os.path.dirname(path), f".partial-{os.path.basename(path)}")  # noqa: PTH118, PTH120, PTH119
    try:
        with open(partial, "w", **kwargs) as file:  # noqa: PTH123 - as DVC opens it
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(partial, os.stat(path).st_mode & 0o7777)  # noqa: PTH101, PTH116
        os.replace(partial, path)  # noqa: PTH105
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)  # noqa: PTH108


def _write_whole(module: ModuleType) -> None:
    """`dvc.lock`, `dvc.yaml` and params.yaml."""
    dump = module._dump_data  # noqa: SLF001 - DVC has no place for this; its version is pinned

    def dump_whole(path: Any, data: Any, dumper: Any, fs: Any = None, **arguments: Any) -> None:
        from dvc.fs import LocalFileSystem, localfs

        local = fs is None or isinstance(fs, LocalFileSystem)
        dump(path, data, dumper, fs=_Whole(fs or localfs) if local else fs, **arguments)

    module._dump_data = dump_whole  # type: ignore[attr-defined] # noqa: SLF001


def _reserve_whole(module: ModuleType) -> None:
    """`.dvc/tmp/rwlock`; one that is cut, by a DVC without this guard or by a power cut, names only what is dead."""
    edit = module._edit_rwlock  # noqa: SLF001

    @contextlib.contextmanager
    def edit_whole(folder: str, fs: Any, hardlink: Any) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(edit(folder, _Whole(fs), hardlink))
            except module.RWLockFileCorruptedError:
                fs.remove(fs.join(folder, module.RWLOCK_FILE))
                lock = stack.enter_context(edit(folder, _Whole(fs), hardlink))
            yield lock

    module._edit_rwlock = edit_whole  # type: ignore[attr-defined] # noqa: SLF001


def _check_first(module: ModuleType) -> None:
    """params.yaml of a pipeline of ours is checked before DVC makes paths and names of it."""
    begin = module.DataResolver.__init__

    def checked(self: Any, repo: Any, wdir: str, d: dict[str, Any]) -> None:
        ours = (d.get("stages") or {}).get("cells") or {}
        if isinstance(ours, dict) and ours.get("cmd") == "python -m stages.cells":
            _refuse_bad_params(repo.fs, repo.fs.join(wdir, "params.yaml"))
        begin(self, repo, wdir, d)

    module.DataResolver.__init__ = checked


def _refuse_bad_params(fs: Any, path: str) -> None:
    import evenhand_rendered as rendered  # type: ignore[import-not-found]
    from dvc.exceptions import DvcException

    with contextlib.suppress(FileNotFoundError), fs.open(path, "rb") as file:  # DVC itself names a missing file
        try:
            name = os.path.relpath(path)
            raw = rendered.parse(file.read(rendered.MAX_BYTES + 1), name)
            rendered.check(raw, name)
            rendered.check_paths(raw, name)
            _refuse_odd_tables(raw["report"], os.path.dirname(path), name)  # noqa: PTH120
        except rendered.RefusedError as error:
            raise DvcException(str(error)) from None


def _refuse_odd_tables(report: dict[str, Any], folder: str, name: str) -> None:
    """DVC would read a device for ever, and wait at a pipe; one that is missing is named by DVC itself."""
    import evenhand_rendered as rendered
    import evenhand_source as source  # type: ignore[import-not-found]

    for key in ("published", "leak"):
        path = os.path.join(folder, report[key])  # noqa: PTH118
        if os.path.exists(path) and (source.of_the_system(path) or not os.path.isfile(path)):  # noqa: PTH110, PTH113
            raise rendered.RefusedError(
                f"{name}: `report.{key}` is {rendered.shown(report[key])}, which is no file; name a CSV"
            )


def _by(name: str, function: str) -> Callable[[ModuleType], None]:
    """The function of another module of the guard, which is loaded when DVC is."""

    def change(module: ModuleType) -> None:
        getattr(importlib.import_module(name), function)(module)

    return change


def _begin_in_utf8(_module: ModuleType) -> None:
    """Under an old locale DVC would store other names of files than `ingest` writes, so it begins anew."""
    program = os.path.splitext(sys.argv[0])[0].replace(os.sep, "/")  # noqa: PTH122
    if sys.getfilesystemencoding() != "utf-8" and program.endswith(("/dvc", "/dvc/__main__")):
        os.execve(  # noqa: S606
            sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"}
        )


class _Finder:
    """Changes seven modules of DVC right after each was loaded; costs nothing where DVC is not imported."""

    changes = {  # noqa: RUF012
        "dvc.utils.serialize._common": _write_whole,
        "dvc.rwlock": _reserve_whole,
        "dvc.parsing": _check_first,
        "dvc.dependency.base": _by("evenhand_source", "hash_all"),
        "dvc.stage": _by("evenhand_source", "ask_first"),
        "dvc.repo.index": _by("evenhand_pipelines", "leave_out"),
        "dvc.cli": _begin_in_utf8,
    }

    @classmethod
    def find_spec(cls, name: str, path: Any = None, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        change = cls.changes.get(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path) if change else None
        if change is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            change(module)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Copy this file to where the packages of this Python lie, and have each process there load it."""
    import shutil
    import sysconfig
    from pathlib import Path

    packages, here = Path(sysconfig.get_path("purelib")), Path(__file__)
    shutil.copyfile(here.parents[1] / "core" / "rendered.py", packages / f"{RENDERED}.py")
    for name in ("source", "pipelines"):
        shutil.copyfile(here.parent / f"{name}.py", packages / f"evenhand_{name}.py")
    shutil.copyfile(here, packages / f"{INSTALLED}.py")
    (packages / f"{INSTALLED}.pth").write_text(f"import {INSTALLED}\n", encoding="utf-8")


if __name__ == INSTALLED:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # also for a bare `mlflow ui`
    sys.meta_path.insert(0, _Finder)
elif __name__ == "__main__":
    install()
