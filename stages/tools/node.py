"""What runs on a node of a Ray cluster: a copy of the study's folder, and the commands of its cells in there.

The standard library alone: Ray sends this module by value to nodes that have no other code of ours yet. A node needs
the same Python environment as the driver, and no checkout.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import select
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from stages.tools.parcels import inside, pack, unpack  # not the module, which is not on the node

# Variables that decide about bits: a cell has those of the driver, and none of the node or of Ray.
BITS = ("ATEN_", "CUBLAS_", "EVENHAND_", "MKL_", "NVIDIA_TF32", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTHONHASHSEED")
_FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))


class Parcel(NamedTuple):
    """A file or folder of the study, in Ray's object store."""

    name: str
    key: str  # of its content
    parts: list[Any]  # references to what `parcels.pack` gave


class Work(NamedTuple):
    """One command of one cell."""

    cell: str
    module: str
    environment: dict[str, str]
    parcels: list[Parcel]
    state: list[Any]  # a reference to files below `.checkpoints`, or nothing
    outputs: list[str]  # paths and patterns of what comes back


class Event(NamedTuple):
    """What happened to a command."""

    kind: str  # here: ready to begin | unlike: its versions | broken: not for this node | state: a checkpoint | ended
    said: str = ""
    code: int = 0
    files: dict[str, bytes] = {}  # noqa: RUF012 - never written to


class Node:
    """A place on a node where one command runs at a time. Ray makes an actor of it."""

    def __init__(self, study: str, versions: dict[str, str]) -> None:
        self.study, self.versions = study, versions
        self.helper: subprocess.Popen[str] | None = None
        self.code: list[str] = []  # keys of the code that the helper has loaded

    def hello(self) -> Event:
        """Whether this node is like the driver."""
        said = unlike(self.versions)
        return Event("unlike", said) if said else Event("here")

    def begin(self, work: Work) -> Event:
        """Begin a command; its first event."""
        self.work = work
        try:
            self.folder = folder_here(self.study)
            self.folder_of_study, self.cache = self.folder / "study", self.folder / "cache"
            self.home = self.folder / "cells" / work.cell  # DVC_ROOT: checkpoints of its own, and the cache of all
            self.home.mkdir(parents=True, exist_ok=True)
            # Ray lets an actor of a killed driver work on for a while; this lock waits for its end.
            self.busy = lock(self.home / "busy")
            self._receive(work)
            for name in self._outputs():  # files of an earlier attempt are not outputs of this one
                _remove(inside(self.folder_of_study, name))
                self._mark(name).unlink(missing_ok=True)
            self.seen = self._checkpoint()
            self._ask(work)
        except OSError as error:
            return Event("broken", f"{platform.node()}: {error}")
        return self.next()

    def next(self) -> Event:
        """Wait for the next event of the command."""
        assert self.helper is not None  # noqa: S101 - for the type checker
        assert self.helper.stdout is not None  # noqa: S101
        while not select.select([self.helper.stdout], [], [], 0.1)[0]:
            with contextlib.suppress(FileNotFoundError):  # the cell has ended in between
                found = self._checkpoint()
                if (path := found[1]) and found != self.seen:
                    self.seen = found
                    return Event("state", files={f"{path.parent.name}/{path.name}": path.read_bytes()})
        answer = self.helper.stdout.readline()
        code = int(answer) if answer else -9  # the helper is gone, and the command with it
        self.busy.close()
        if not answer:
            self._end_helper()
        log = self.home / "log"
        said = log.read_text(errors="replace").strip() if log.exists() else ""
        if code > 0 and any(reason in said for reason in _FULL):
            return Event("broken", f"{platform.node()}: {said.splitlines()[-1]}")
        packed: dict[str, bytes] = {}
        if code == 0:
            for part in pack(self.folder_of_study, self._outputs()):
                packed |= part
        return Event("ended", said, code, packed)

    def leave(self) -> str:
        """Remove the files of the study from this node; the id of the node."""
        self._end_helper()
        return leave(self.study)

    def _receive(self, work: Work) -> None:
        """Unpack the parcels whose content is not here; cells that begin at the same time wait for one another."""
        import ray

        for folder in (self.folder_of_study, self.cache):
            folder.mkdir(exist_ok=True)
        for shared in (self.folder_of_study, self.home):
            if not (shared / ".cache").is_symlink():
                (shared / ".cache").symlink_to(self.cache)
        with lock(self.folder / "lock"):
            for parcel in work.parcels:
                mark = self._mark(parcel.name)
                if mark.exists() and mark.read_text() == parcel.key:
                    continue
                mark.unlink(missing_ok=True)
                _remove(inside(self.folder_of_study, parcel.name))
                for part in parcel.parts:
                    unpack(self.folder_of_study, ray.get(part))
                mark.parent.mkdir(exist_ok=True)
                mark.write_text(parcel.key)
        for state in work.state:
            shutil.rmtree(self.home / ".checkpoints", ignore_errors=True)
            unpack(self.home / ".checkpoints", ray.get(state))

    def _outputs(self) -> list[str]:
        """The outputs of the command that are here."""
        top = self.folder_of_study
        return [path.relative_to(top).as_posix() for pattern in self.work.outputs for path in top.glob(pattern)]

    def _mark(self, name: str) -> Path:
        """The file with the digest of the content that this node has of a file or folder."""
        return self.folder / "marks" / hashlib.sha256(name.encode()).hexdigest()

    def _checkpoint(self) -> tuple[int, Path | None]:
        """The time (ns) and the path of the last checkpoint that the cell wrote; 0 and None where there is none."""
        return max(((p.stat().st_mtime_ns, p) for p in self.home.glob(".checkpoints/*/last.pt")), default=(0, None))

    def _ask(self, work: Work) -> None:
        """Let a process that has loaded the code run the command."""
        code = [parcel.key for parcel in work.parcels if parcel.name.startswith("stages/")]
        if code != self.code or self.helper is None:
            self._end_helper()
            self.code = code
            self.helper = subprocess.Popen(
                [sys.executable, "-m", "stages.tools.forked"],
                cwd=self.folder_of_study,
                env=surroundings(dict(os.environ), work.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.helper.stdin is not None  # noqa: S101 - for the type checker
        own = work.environment | {"DVC_ROOT": str(self.home)}
        asked = {"module": work.module, "environment": own, "log": str(self.home / "log")}
        print(json.dumps(asked), file=self.helper.stdin, flush=True)

    def _end_helper(self) -> None:
        if self.helper is not None:
            self.helper.communicate()  # closes its input, at which it ends
            self.helper = None


class Describer:
    """A place on a node where pictures are described, in a worker process of its own as `clean` has them."""

    def __init__(self, study: str, versions: dict[str, str]) -> None:
        self.study, self.versions = study, versions

    def hello(self, code: list[Any]) -> str:
        """Unpack the code of `clean`, as `parcels.pack` gave it; how this node is unlike the driver, in words."""
        import ray

        self.folder = Path(tempfile.mkdtemp(dir=folder_here(self.study)))
        for part in code:
            unpack(self.folder, ray.get(part))
        sys.path.insert(0, str(self.folder))
        return unlike(self.versions)

    def describe(self, function: Any, tasks: list[Any], contents: list[bytes], limits: dict[str, Any]) -> list[Any]:
        """What `clean` knows of pictures by their bytes; thumbnails stay here, since they are as large as pictures."""
        from stages.clean import isolate

        files = [self.folder / str(number) for number in range(len(tasks))]
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        here = [(job._replace(file=str(file)), digest) for file, (job, digest) in zip(files, tasks, strict=True)]
        found = isolate.each(function, here, workers=1, **limits)
        return [(one[0], None) if isinstance(one, tuple) else one for one in found]


def unlike(versions: dict[str, str]) -> str:
    """What differs between the versions of the driver and those here, in words; nothing where all are the same."""
    here = versions_of(versions)
    differ = [f"{name} {here[name]}, not {version}" for name, version in versions.items() if here[name] != version]
    more = f", and {len(differ) - 4} more" if len(differ) > 4 else ""
    return f"{platform.node()} has {'; '.join(differ[:4])}{more}" if differ else ""


def versions_of(names: dict[str, str] | list[str]) -> dict[str, str]:
    """Versions of installed packages, of Python, and the kind of processor."""
    found = {"Python": platform.python_version(), "processor": platform.machine()}
    for name in names:
        if name not in found:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = "none"
    return found


def surroundings(here: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    """The environment of a command: that of the node, without what Ray set in it, and with what the driver gives."""
    kept = {name: value for name, value in here.items() if not name.startswith((*BITS, "RAY_", "DVC_"))}
    return kept | {name: value for name, value in given.items() if name.startswith(BITS)}


def folder_here(study: str) -> Path:
    """The folder of a study on this node, and on no other node of the same machine."""
    import ray

    return own_folder(Path(tempfile.gettempdir()), f"{study}-{ray.get_runtime_context().get_node_id()[:8]}")


def leave(study: str) -> str:
    """Remove what a study left on this node; the node."""
    import ray

    shutil.rmtree(folder_here(study), ignore_errors=True)
    return str(ray.get_runtime_context().get_node_id())


def own_folder(top: Path, name: str) -> Path:
    """A folder below a temporary one that nobody else can read or has put there.

    Raises:
        OSError: another user has a folder of this name.
    """
    mine = top / f"evenhand-{os.getuid()}"
    mine.mkdir(mode=0o700, exist_ok=True)
    if mine.is_symlink() or mine.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "another user made this folder", str(mine))
    (mine / name).mkdir(exist_ok=True)
    return mine / name


def lock(path: Path) -> TextIO:
    """Wait for a lock; it is held until the returned file is closed or this process ends."""
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
