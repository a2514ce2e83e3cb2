"""Which file of a folder was changed since dvc.lock recorded it, and where: git or the DVC cache may have it so."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stages.verify import difference, lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.verify.scratch import Place

    Listing = dict[str, str]  # relative path -> MD5; a file alone has the path ""
    Read = Callable[[str], bytes]  # relative path -> bytes as they were

DEPTH = 50  # commits that touched the folder: further back nothing is looked for
NAMED = 3  # files of which the first difference is named; further ones are counted


def changed(place: Place, path: str, recorded: str) -> str:
    """What differs between `path` as it lies there and as it was when it had the MD5 `recorded`.

    Returns:
        Words such as "metrics.csv edited (row 3 (test, nll), value: recorded 0.5, here 0.4)"; empty where that state
        is not to be had.
    """
    now = place.folder / path
    files = lock.listing(now) if now.is_dir() else {"": lock.digest(now)} if now.exists() else {}
    before = _cached(place, recorded) or _committed(place, path, recorded)
    return _words(now, before[0], files, before[1]) if before else ""


def _words(folder: Path, then: Listing, now: Listing, read: Read) -> str:
    said = [f"{name} removed" for name in sorted(then.keys() - now.keys())]
    said += [f"{name} added" for name in sorted(now.keys() - then.keys())]
    for name in sorted(n for n in then.keys() & now.keys() if then[n] != now[n]):
        words = _first(read(name), folder / name) if len(said) < NAMED else None
        said.append(f"{name} edited".strip() + (f" ({words})" if words else ""))
    return "; ".join(said[:NAMED]) + (f"; and {len(said) - NAMED} more" if len(said) > NAMED else "")


def _first(then: bytes, now: Path) -> str | None:
    with tempfile.NamedTemporaryFile(suffix=now.suffix) as file:
        file.write(then)
        file.flush()
        return difference.first(Path(file.name), now, difference.HERE)


def _cached(place: Place, recorded: str) -> tuple[Listing, Read] | None:
    def read(name: str) -> bytes:
        return lock.cache_file(place, then[name]).read_bytes()

    then = lock.cached_listing(place, recorded) if recorded.endswith(".dir") else {"": recorded}
    whole = lock.folder_digest(then) == recorded or not recorded.endswith(".dir")
    whole = whole and all(lock.cache_file(place, md5).is_file() for md5 in then.values())
    return (then, read) if whole else None


def _committed(place: Place, path: str, recorded: str) -> tuple[Listing, Read] | None:
    commits = place.git("log", f"-{DEPTH}", "--format=%H", "--", path, check=False).split()
    for commit in commits:
        then = _listing(place, commit, path)
        if recorded in (lock.folder_digest(then), then.get("")):
            return then, lambda name: _show(place, commit, f"{path}/{name}".rstrip("/"))  # noqa: B023 - left at once
    return None


def _listing(place: Place, commit: str, path: str) -> Listing:
    names = place.git("ls-tree", "-r", "-z", "--name-only", commit, "--", path, check=False).split("\0")
    return {name[len(path) :].lstrip("/"): lock.md5(_show(place, commit, name)) for name in names if name}


def _show(place: Place, commit: str, name: str) -> bytes:
    return place.git_bytes("show", f"{commit}:./{name}")
