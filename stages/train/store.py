"""Folders that DVC does not track: `.cache/` (deletable at any time) and `.checkpoints/` (unfinished cells)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.errors import UserError
from stages.core.files import atomic, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

_BLOCK, _ROWS = 1 << 28, 1 << 16  # bytes and rows that are filled before they are written to the disk
_READ, _GAP = 1 << 22, 1 << 18  # bytes read at once; bytes between two rows from which on they are not read


def home() -> Path:
    """The repository: DVC names it, also to queued experiments, so that all workspaces share one cache."""
    if os.environ.get("DVC_ROOT"):
        return Path(os.environ["DVC_ROOT"])
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def digest(value: Any) -> str:
    """A short content key: 128 bits of SHA-256 of the JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def content(paths: Sequence[Path]) -> str:
    """One digest of the bytes of many files, in order; remembered by size and time of change: cells start fast."""
    states = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns, stat.st_ino) for path in paths]
    memo = home() / ".cache" / "content" / digest([str(Path.cwd()), states])
    if memo.exists():
        return memo.read_text()
    whole = hashlib.sha256()
    for path in paths:
        whole.update(bytes.fromhex(sha256(path)))
    with atomic(memo) as partial:
        partial.write_text(whole.hexdigest())
    return whole.hexdigest()


def array(folder: str, key: Any, build: Callable[[Path], None]) -> NDArray[Any]:
    """The cached array of `key`, memory-mapped read-only; made by `build(path)` where it is missing or damaged.

    A digest stands beside the array, since a damaged array would change a model unnoticed. One process builds while
    others that need the same array wait; what a killed builder leaves is read by the next builder alone.
    """
    path = home() / ".cache" / folder / f"{digest(key)}.npy"
    if not _intact(path):
        with _lock(path):
            if not _intact(path):
                with atomic(path) as whole:
                    partial = path.with_name(f".partial-{path.name}")  # always the same: `blocks` goes on with it
                    try:
                        build(partial)
                        partial.replace(whole)
                    except Exception:
                        _remove(partial)
                        raise
                    _remove(partial)
                with atomic(_recorded(path)) as partial:
                    partial.write_text(content([path]))
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def create(target: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """A new memory-mapped array, whose bytes are reserved: on a full disk, writing to it would kill the process.

    Raises:
        UserError: the disk is too small.
    """
    _remove(target)  # of a killed process: its bytes are free again
    needed, free = math.prod(shape) * np.dtype(dtype).itemsize, shutil.disk_usage(target.parent).free
    if needed > free:
        raise UserError(
            f"{target.parent} needs {needed:,} bytes for one array, and its disk has {free:,}; "
            "make room, or let `.cache` be a link to a folder on a larger disk"
        )
    made = np.lib.format.open_memmap(target, "w+", dtype, shape)
    if needed and hasattr(os, "posix_fallocate"):
        with target.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, target.stat().st_size)
    return made


def blocks(target: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> Iterator[tuple[NDArray[Any], range]]:
    """A new memory-mapped array, and the rows to fill next; goes on behind the rows that a killed builder has filled.

    Filled rows are written to the disk before the next ones are given, so that they need no memory.

    Raises:
        UserError: as `create`.
    """
    done = _filled(target)
    made = np.lib.format.open_memmap(target, "r+") if done else create(target, dtype, shape)
    step = min(max(1, _BLOCK // max(math.prod(shape[1:]) * made.itemsize, 1)), _ROWS)
    for start in range(done, shape[0], step):
        rows = range(start, min(start + step, shape[0]))
        yield made, rows
        made.flush()  # type: ignore[attr-defined]
        with atomic(_mark(target)) as partial:
            partial.write_text(str(rows.stop))


def fetch(stored: np.memmap[Any, Any], rows: NDArray[np.int64]) -> None:
    """Read rows of a memory-mapped array as they lie on the disk, in long stretches; the system caches them."""
    rows, width, buffer = np.sort(rows), stored[:1].nbytes, bytearray(_READ)
    with Path(str(stored.filename)).open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):  # else the system reads megabytes behind each stretch, which are not used
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for run in np.split(rows, np.flatnonzero(np.diff(rows) * width > _GAP) + 1):
            at, end = (int(stored.offset + row * width) for row in (run[0], run[-1] + 1)) if len(run) else (0, 0)
            file.seek(at)
            while at < end:
                at += file.readinto(memoryview(buffer)[: end - at]) or end


def _mark(target: Path) -> Path:
    """The file that says how many rows of a half-built array are filled."""
    return target.with_suffix(".rows")


def _remove(target: Path) -> None:
    """Remove a half-built array with its mark, which would be wrong for the next array at this path."""
    _mark(target).unlink(missing_ok=True)
    target.unlink(missing_ok=True)


def _filled(target: Path) -> int:
    """How many rows of an array are filled; 0 where it is missing or cut short, as a power loss can leave it."""
    try:
        np.lib.format.open_memmap(target, "r")  # refuses a short file, which the mode r+ would lengthen with zeros
        return int(_mark(target).read_text())
    except (OSError, ValueError):
        return 0


def _recorded(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _intact(path: Path) -> bool:
    return path.exists() and _recorded(path).exists() and _recorded(path).read_text() == content([path])


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        yield
