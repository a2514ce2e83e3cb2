"""Places outside of what DVC tracks: `.cache/` (deletable at any time) and `.checkpoints/` (unfinished cells)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.files import atomic, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray


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
    others that need the same array wait; a crashed builder leaves nothing that would be read.
    """
    path = home() / ".cache" / folder / f"{digest(key)}.npy"
    if not _intact(path):
        with _lock(path):
            if not _intact(path):
                with atomic(path) as partial:
                    build(partial)
                with atomic(_recorded(path)) as partial:
                    partial.write_text(content([path]))
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


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
