"""Progress on a terminal, silence elsewhere."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import category

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable


_Item = TypeVar("_Item")
_silent = False


def progress(items: Iterable[_Item] | None = None, **options: Any) -> tqdm[_Item]:
    """A tqdm bar, shown only on a terminal and never in CI."""
    quiet = _silent or not sys.stderr.isatty() or bool(os.environ.get("CI"))
    return tqdm(items, disable=quiet, dynamic_ncols=True, **options)  # type: ignore[return-value]


def say(line: str) -> None:
    """Show one line on the terminal; results go to files."""
    if not _silent:
        tqdm.write(shown(line), file=sys.stderr)


def in_child(*, silent: bool) -> None:
    """For a child process that may be killed, and shows nothing where another child does."""
    global _silent  # noqa: PLW0603 - of this process, as its terminal is
    _silent = silent
    tqdm.set_lock(threading.RLock())  # tqdm's own lock is shared by processes; Python would warn about it after a kill


def shown(text: str, keep: str = "\n") -> str:
    """Text for a terminal, with escapes for characters that move its cursor, set its title or reverse the line."""
    return "".join(c if c.isprintable() or c in keep or category(c) == "Zs" else ascii(c)[1:-1] for c in text)
