"""Which file of a folder was changed since dvc.lock recorded it: git may still have the folder as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.verify import lock

if TYPE_CHECKING:
    from stages.verify.scratch import Place

DEPTH = 50  # commits that touched the folder: further back nothing is looked for


def changed(place: Place, path: str, recorded: str) -> list[str]:
    """What differs between `path` as it lies there and as it was when it had the MD5 `recorded`.

    Returns:
        Phrases such as "metrics.csv edited"; empty where git does not have that state.
    """
    now = place.folder / path
    files = lock.listing(now) if now.is_dir() else {"": lock.digest(now)} if now.exists() else {}
    commits = place.git("log", f"-{DEPTH}", "--format=%H", "--", path, check=False).split()
    for commit in commits:
        then = _listing(place, commit, path)
        if recorded in (lock.folder_digest(then), then.get("")):
            return _difference(then, files)
    return []


def _difference(then: dict[str, str], now: dict[str, str]) -> list[str]:
    words = [f"{name} removed" for name in then.keys() - now.keys()]
    words += [f"{name} added" for name in now.keys() - then.keys()]
    words += [f"{name} edited" for name in then.keys() & now.keys() if then[name] != now[name]]
    return sorted(word.strip() for word in words)


def _listing(place: Place, commit: str, path: str) -> dict[str, str]:
    """Files of a folder at a commit, relative path -> MD5; a file alone has the path ""."""
    names = place.git("ls-tree", "-r", "-z", "--name-only", commit, "--", path, check=False).split("\0")
    return {
        name[len(path) :].lstrip("/"): lock.md5(place.git_bytes("show", f"{commit}:./{name}")) for name in names if name
    }
